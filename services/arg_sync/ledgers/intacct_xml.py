"""The XML gateway of Sage Intacct: requests, responses, and what its errors mean.

Sources: developer.intacct.com/web-services/requests, /responses, /queries, /error-handling.
A response is read without entities, without a DTD and with a size limit (that of the HTTP client).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from lxml import etree

from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.http_client import Response, failure_of

DTD_VERSION = "3.0"
NOT_AUTHORIZED = ("XL03000006",)
TOO_MANY = ("GW-0010",)
DUPLICATE = re.compile(r"duplicat|already exists|already (been )?(used|executed|processed)", re.I)
DUPLICATION = "Duplication Prevention"
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FORMS = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
Row = dict[str, str]


def element(tag: str, *children: Any, **attributes: str) -> Any:
    """Return an element of texts and elements; what is None is left out."""
    made = etree.Element(tag, attributes)
    for child in children:
        if isinstance(child, str):
            made.text = FORBIDDEN.sub(" ", child)
        elif child is not None:
            made.append(child)
    return made


def day(tag: str, value: date) -> Any:
    """Return a date in the parts that functions of the older kind take."""
    parts = (("year", "%Y"), ("month", "%m"), ("day", "%d"))
    return element(tag, *(element(name, value.strftime(form)) for name, form in parts))


def text_of(made: Any) -> str:
    """Return an element as text."""
    return etree.tostring(made, encoding="unicode")


def parsed(content: bytes | str) -> Any:
    """Read XML. Raises ValueError for what is no XML or has a document type."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"it is no XML: {error}") from error
    tree: Any = root.getroottree()
    if tree.docinfo.doctype:
        raise ValueError("it has a document type, which no response has")
    return root


@dataclass(frozen=True, slots=True)
class Login:
    """With what a request is made. `location` is an entity, "" for the top level."""

    sender: str
    sender_password: str
    company: str
    user: str
    password: str
    location: str


def request(login: Login, control: str, function: Any, *, unique: bool) -> str:
    """Return a request with one function. `unique`: it is refused if it was executed before."""
    location = element("locationid", login.location) if login.location else None
    return text_of(
        element(
            "request",
            element(
                "control",
                element("senderid", login.sender),
                element("password", login.sender_password),
                element("controlid", control),
                element("uniqueid", "true" if unique else "false"),
                element("dtdversion", DTD_VERSION),
                element("includewhitespace", "false"),
                element("showadditionalerrorinfo", "true"),
            ),
            element(
                "operation",
                element(
                    "authentication",
                    element(
                        "login",
                        element("userid", login.user),
                        element("companyid", login.company),
                        element("password", login.password),
                        location,
                    ),
                ),
                element("content", element("function", function, controlid=control)),
            ),
        )
    )


def query(
    name: str,
    fields: Iterable[str],
    condition: Any,
    *,
    order: Sequence[str] = (),
    page: int = 0,
    size: int = 1000,
) -> Any:
    """Return a query for records of an object, those of a page."""
    ordered = element(
        "orderby",
        *(element("order", element("field", each), element("ascending")) for each in order),
    )
    return element(
        "query",
        element("object", name),
        element("select", *(element("field", each) for each in fields)),
        element("filter", condition) if condition is not None else None,
        ordered if order else None,
        element("pagesize", str(size)),
        element("offset", str(page * size)),
    )


def where(operator: str, field: str, *values: str) -> Any:
    """Return a condition on a field: equalto, in, greaterthanorequalto."""
    return element(operator, element("field", field), *(element("value", each) for each in values))


def result_of(response: Response, *, writes: bool) -> Any:
    """Return the `result` of a response with one function. Raises the failure that it means.

    Three levels can fail: control (nothing was executed), authentication, and the function.
    """
    if not response.body.lstrip().startswith(b"<"):
        failed = failure_of(response, writes=writes)
        raise failed or unreadable(f"the response is no XML: {response.words}", writes=writes)
    try:
        root = parsed(response.body)
    except ValueError as error:
        if (failed := failure_of(response, writes=writes)) is not None:
            raise failed from error
        raise unreadable(f"the response cannot be read: {error}", writes=writes) from error
    if root.tag != "response":
        failed = failure_of(response, writes=writes)
        raise failed or unreadable(f"it is no response: {response.words}", writes=writes)
    if root.findtext("control/status") == "failure":
        raise _failure(root, response, "auth" if _has(root, NOT_AUTHORIZED) else "permanent")
    if root.findtext("operation/authentication/status") == "failure":
        raise _failure(root, response, "auth")
    result = root.find("operation/result")
    if result is None and root.find("operation/errormessage") is not None:
        raise _failure(root, response, "permanent")
    if (failed := failure_of(response, writes=writes)) is not None:
        raise failed
    status = None if result is None else result.findtext("status")
    if status == "failure":
        duplicate = writes and _is_duplicate(result)
        raise _failure(result, response, "duplicate" if duplicate else "permanent")
    if status != "success":
        raise unreadable(f"the response has no result: {response.words}", writes=writes)
    return result


def _has(root: Any, numbers: Sequence[str]) -> bool:
    return any(each.text in numbers for each in root.iter("errorno"))


def _is_duplicate(result: Any) -> bool:
    if any((each.text or "") == DUPLICATION for each in result.iter("category")):
        return True
    words = " ".join(
        filter(None, (each.text for each in result.iter("description", "description2")))
    )
    return bool(DUPLICATE.search(words))


def _failure(root: Any, response: Response, failure: Any) -> Failure:
    """Return the failure that the errors mean, in the words of the system."""
    errors = [
        ". ".join(
            dict.fromkeys(
                text.strip()
                for text in (each.findtext(tag) for tag in ("description2", "correction"))
                if text and text.strip()
            )
        )
        or each.findtext("description")
        or each.findtext("errorno")
        or ""
        for each in root.iter("error")
    ]
    numbers = [each.text or "" for each in root.iter("errorno")]
    words = "; ".join(dict.fromkeys(filter(None, errors))) or response.words
    if _has(root, TOO_MANY):
        return Failure(
            "transient", TOO_MANY[0], words, retry_after=response.retry_after, everywhere=True
        )
    return Failure(failure, numbers[0] if numbers else failure, words)


def rows_in(result: Any, name: str, *, writes: bool = False) -> list[Row]:
    """Return the records of a result, field by field."""
    data = result.find("data")
    if data is None:
        raise unreadable("the result has no data", writes=writes)
    return [
        {str(field.tag).upper(): field.text or "" for field in record}
        for record in data
        if str(record.tag).upper() == name
    ]


def remaining(result: Any) -> int:
    """Return how many records a query has beyond this page. Raises ValueError."""
    data = result.find("data")
    return int((data.get("numremaining") if data is not None else "0") or 0)


def moment(text: str) -> str:
    """Return a time in a form that sorts. Raises ValueError."""
    plain = text.strip().removesuffix("Z").replace("T", " ").partition("+")[0].partition(".")[0]
    for form in FORMS:
        try:
            return datetime.strptime(plain, form).replace(tzinfo=UTC).isoformat()
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time")


def as_filter(iso: str) -> str:
    """Return a time as the filters of queries take it."""
    return datetime.fromisoformat(iso).strftime(FORMS[0])


def date_in(text: str) -> date | None:
    """Return the date of a field; None if it is empty."""
    return datetime.fromisoformat(moment(text)).date() if text.strip() else None


def secrets_of(values: Mapping[str, str]) -> set[str]:
    """Return the texts that no message may show."""
    return {value for value in values.values() if value}
