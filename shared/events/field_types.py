"""Strict field types of messages: decimal strings, ISO dates, printable identifiers.

JSON numbers are refused for money and hours because JSON parsers turn them into floats
(12345678901234567890.12 would lose its last digits).
"""

import base64
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from shared.mail_text import FIELDS, REMINDER_FIELDS, check_template
from shared.money import known_currency, plain

MESSAGE_BYTES = 900_000
ID_LENGTH = 200
TEXT_LENGTH = 2_000
SEALED_LENGTH = 20_000
ADDRESS_LENGTH = 254
PICTURE_LENGTH = 400_000
PICTURE_MARKS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
FIRST_DATE = date(1970, 1, 1)
LAST_DATE = date(2999, 12, 31)
FIRST_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
REMEMBERED = 10_000
"""How many validated ids, hours and prices are cached: the same values arrive often."""


def wrong(code: str, words: str) -> PydanticCustomError:
    """Build a reader's error: the rejection code and what to send.

    Never the value (personal data).
    """
    return PydanticCustomError(code, words)


class DecimalString:
    """A Decimal sent as a JSON string with at most `places` decimals, within [ge, le]."""

    def __init__(
        self, places: int = 4, digits: int = 14, ge: str | None = None, le: str | None = None
    ) -> None:
        sign = "" if ge is not None and Decimal(ge) >= 0 else "-?"
        self.pattern = rf"^{sign}[0-9]{{1,{digits}}}(\.[0-9]{{1,{places}}})?$"
        self.low = None if ge is None else Decimal(ge)
        self.high = None if le is None else Decimal(le)

    def _read(self, text: str) -> Decimal:
        value = Decimal(text)
        if self.low is not None and value < self.low:
            raise wrong("too_low", f"must be {self.low} or more")
        if self.high is not None and value > self.high:
            raise wrong("too_high", f"must be {self.high} or less")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        read = lru_cache(maxsize=REMEMBERED)(self._read)
        text = core_schema.no_info_after_validator_function(
            read, core_schema.str_schema(strict=True, pattern=self.pattern)
        )
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(Decimal), text]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                plain, return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": self.pattern, "description": "decimal as a string"}


def _form(code: str, words: str, pattern: str) -> CoreSchema:
    return core_schema.custom_error_schema(
        core_schema.str_schema(strict=True, pattern=pattern),
        custom_error_type=code,
        custom_error_message=words,
    )


class DayString:
    """A date sent as an ISO string only: pydantic alone reads "20260308" as seconds since 1970."""

    pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text = _form("date_form", 'is not a date such as "2026-03-02"', self.pattern)
        return core_schema.json_or_python_schema(
            json_schema=core_schema.chain_schema(
                [text, core_schema.date_schema(strict=False, ge=FIRST_DATE, le=LAST_DATE)]
            ),
            python_schema=core_schema.date_schema(strict=True, ge=FIRST_DATE, le=LAST_DATE),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "date"}


class InstantString:
    """An instant with a time zone, sent as an ISO string only, for the same reason."""

    pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        text = _form(
            "instant_form", 'is not an instant such as "2026-03-02T17:00:00Z"', self.pattern
        )
        return core_schema.json_or_python_schema(
            json_schema=core_schema.chain_schema(
                [
                    text,
                    core_schema.datetime_schema(
                        strict=False, tz_constraint="aware", ge=FIRST_INSTANT, le=LAST_INSTANT
                    ),
                ]
            ),
            python_schema=core_schema.datetime_schema(
                strict=True, tz_constraint="aware", ge=FIRST_INSTANT, le=LAST_INSTANT
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "format": "date-time"}


_FORBIDDEN = re.compile("[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def _printable(text: str) -> str:
    if (not text.isascii() and _FORBIDDEN.search(text)) or not text.isprintable():
        if any(unicodedata.category(character) == "Cc" for character in text):
            raise wrong(
                "control_character",
                "holds a control character such as NUL or a line break: send the plain text",
            )
        raise wrong(
            "hidden_character",
            "holds direction marks or other characters that people can't see: send the plain text",
        )
    return text


@lru_cache(maxsize=REMEMBERED)
def _identifier(text: str) -> str:
    _printable(text)
    if _nothing_visible(text):
        raise wrong("hidden_character", "holds no character that people can see: send the id")
    if text != text.strip():
        raise wrong("not_trimmed", "begins or ends with a space: send it trimmed")
    return text


INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that fonts show as nothing (Default_Ignorable_Code_Point of Unicode), and the blank
Braille pattern. Unicode counts some of them as visible.
"""


def _nothing_visible(text: str) -> bool:
    """Whether a text that is not empty shows nothing, or nothing but spaces."""
    return not text.isascii() and not INVISIBLE.sub("", text).strip()


_UNPRINTED = re.compile("[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]")


def _text(text: str) -> str:
    if not text.isprintable() and _UNPRINTED.search(text):
        raise wrong(
            "control_character",
            "holds a control character other than a line break or a tab: send the plain text",
        )
    return "" if _nothing_visible(text) else text


@lru_cache(maxsize=REMEMBERED)
def _name(text: str) -> str:
    """Make every kind of space a plain one: names are compared exactly, and people see no
    difference. A name of which nothing can be seen is empty.
    """
    if _nothing_visible(text):
        return ""
    if not text.isascii():
        text = "".join(
            " " if unicodedata.category(character) == "Zs" else character
            for character in unicodedata.normalize("NFC", text)
        )
    return _printable(text.strip())


@lru_cache(maxsize=REMEMBERED)
def _email(text: str) -> str:
    """An address that every mail server takes: the part before @ in ASCII, the domain too."""
    from email_validator import EmailNotValidError, validate_email  # not needed by most commands

    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise wrong("not_an_address", f"is no e-mail address: {_without_braces(error)}") from error
    address = found.ascii_email or found.normalized
    if len(address) > ADDRESS_LENGTH:
        raise wrong("not_an_address", f"is longer than {ADDRESS_LENGTH} characters")
    return address


def _without_braces(error: Exception) -> str:
    """The words of an error; pydantic takes braces for fields of its own."""
    return str(error).translate({ord("{"): "(", ord("}"): ")"})


def _template(text: str) -> str:
    return _with_fields(text, FIELDS)


def _reminder_template(text: str) -> str:
    return _with_fields(text, REMINDER_FIELDS)


def _with_fields(text: str, fields: Mapping[str, str]) -> str:
    try:
        check_template(text, fields)
    except ValueError as error:
        raise wrong("bad_template", _without_braces(error)) from error
    return text


def _currency(text: str) -> str:
    if not known_currency(text):
        raise wrong("unknown_currency", "is not an ISO 4217 currency code such as USD or EUR")
    return text


Identifier = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=ID_LENGTH),
    AfterValidator(_identifier),
]
Name = Annotated[
    str, StringConstraints(strict=True, max_length=ID_LENGTH * 2), AfterValidator(_name)
]
Text = Annotated[str, StringConstraints(strict=True, max_length=TEXT_LENGTH), AfterValidator(_text)]
"""Text that people write (addresses, reasons, wordings); may have several lines."""
SealedBox = Annotated[
    str, StringConstraints(strict=True, max_length=SEALED_LENGTH), AfterValidator(_text)
]
"""A sealed box in base64; a private RSA key of 4096 bits in PEM fits."""


def _picture(text: str) -> str:
    """Check that a text is a PNG or JPEG in base64, or empty."""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        content = b"?"
    if content and not content.startswith(PICTURE_MARKS):
        raise wrong("not_a_picture", "is not a PNG or JPEG in base64: send the file's bytes so")
    return text


Picture = Annotated[
    str, StringConstraints(strict=True, max_length=PICTURE_LENGTH), AfterValidator(_picture)
]
"""A PNG or JPEG in base64, or nothing."""
MessageText = Annotated[str, StringConstraints(strict=True, max_length=TEXT_LENGTH)]
"""Text that our programs publish; it may quote another program's words unchanged."""
EmailAddress = Annotated[
    str,
    StringConstraints(strict=True, min_length=3, max_length=ADDRESS_LENGTH),
    AfterValidator(_email),
]
EmailOrNone = Annotated[
    str,
    StringConstraints(strict=True, max_length=ADDRESS_LENGTH),
    AfterValidator(lambda text: _email(text) if text else ""),
]
MailSubject = Annotated[
    str,
    StringConstraints(strict=True, max_length=ID_LENGTH * 2),
    AfterValidator(_name),
    AfterValidator(_template),
]
"""Template of the subject of an e-mail: one line. Empty: the default."""
MailText = Annotated[Text, AfterValidator(_template)]
"""Template of the text of an e-mail. Empty: the default."""
ReminderSubject = Annotated[
    str,
    StringConstraints(strict=True, max_length=ID_LENGTH * 2),
    AfterValidator(_name),
    AfterValidator(_reminder_template),
]
ReminderText = Annotated[Text, AfterValidator(_reminder_template)]
"""Templates of a reminder. Empty: the default."""
Code = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,39}$")]
CodeOrNone = Annotated[
    str, StringConstraints(strict=True, pattern=r"^([A-Za-z0-9][A-Za-z0-9_.+-]{0,39})?$")
]
CountryOrNone = Annotated[str, StringConstraints(strict=True, pattern=r"^([A-Z]{2})?$")]
"""A country by its code of ISO 3166 (US, DE), or nothing."""
PartyPair = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z]{1,40}:[A-Za-z]{1,40}$")
]
"""Two parties of which one sees what the other bills, such as MSP:Client."""
RequestType = Literal["staffing", "project", "payroll", "managed"]
Currency = Annotated[
    str, StringConstraints(strict=True, min_length=3, max_length=3), AfterValidator(_currency)
]
Day = Annotated[date, DayString()]
RowId = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""The number of a row, an offset: what a bigint holds."""
Word = Annotated[str, StringConstraints(strict=True, max_length=ID_LENGTH)]
"""A short text that is looked up, and refused if it is not found."""
CustomFields = Annotated[dict[Code, Name], Field(max_length=50)]
"""Fields that a client defines, by name."""
Revision = Annotated[int, Field(strict=True, ge=0, le=2**62)]
Hours = Annotated[Decimal, DecimalString(places=4, digits=4, ge="0", le="24")]
Quantity = Annotated[Decimal, DecimalString(places=4, digits=12)]
UnitPrice = Annotated[Decimal, DecimalString(places=4, digits=10, ge="0")]
Fee = Annotated[Decimal, DecimalString(places=4, digits=12)]
Amount = Annotated[Decimal, DecimalString(places=4, digits=16)]
Percent = Annotated[Decimal, DecimalString(places=4, digits=4, ge="0", le="1000")]
Instant = Annotated[datetime, InstantString()]


def absent(value: object) -> bool:
    """Return whether a message leaves an optional field out (`exclude_if`).

    Then messages without it are read by consumers that do not know it yet.
    """
    return value is None or value == ()


class Message(BaseModel):
    """A message of our own programs: frozen, strict, no undeclared field."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class AtsMessage(BaseModel):
    """A message of the ATS: frozen and strict; unknown fields are ignored and stay in the stored
    body.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
