"""Names of a QuickBooks company file (accounts, items, classes), and what an IIF cell can hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from shared.errors import Refused
from shared.render.text import LOOKALIKES, one_line
from shared.terms import ClosedDocument, ClosedLine

ENCODING = "cp1252"
MEMO_LENGTH = 4_000
ITEM_LENGTH = 31
"""The most characters of an account, item or class, of each part where its name is a path."""
PATH_PARTS = 5
PATH_RULE = (
    f"at most {ITEM_LENGTH} characters of Windows-1252, no quotes; a path has at most {PATH_PARTS}"
    " such parts with a colon between"
)
CLASS_FIELDS = (
    "item_id",
    "billto_node",
    "project",
    "cost_center",
    "requirement_id",
    "time_type",
    "billing_company",
    "account_name",
)
"""What a class may come from: fields of a line, or of its document."""
_QUOTES = str.maketrans({'"': "'"})


@dataclass(frozen=True, slots=True)
class Accounts:
    """Names in the company file: accounts of receivables, income and tax, and the item for our
    work. A sub-account or sub-item has its full path, as in `Income:Staffing`.
    """

    receivable: str = "Accounts Receivable"
    income: str = "Staffing Income"
    tax: str = "Tax on Sales"
    item: str = "Staffing"

    @classmethod
    def named(cls, names: Iterable[str]) -> "Accounts":
        """Build from `key=name` texts.

        Refused for an unknown key, a name QuickBooks cannot take, or a parent of two account types.
        """
        known = [each.name for each in fields(cls)]
        given: dict[str, str] = {}
        for text in names:
            key, equals, name = text.partition("=")
            if key not in known or not equals or not name.strip():
                raise Refused(
                    "bad_account",
                    f"{text!r} does not say key=name with one of the keys {', '.join(known)}",
                    "as in: receivable=Debtors",
                )
            path = ":".join(part.strip() for part in name.split(":"))
            if not fits_path(path):
                message = f"{name!r} is no name that an IIF file can carry"
                raise Refused("bad_account", message, PATH_RULE)
            given[key] = path
        accounts = cls(**given)
        kinds = (accounts.receivable, accounts.income, accounts.tax)
        if len({name.partition(":")[0] for name in kinds}) < len(kinds):
            raise Refused(
                "bad_account",
                f"receivable, income and tax are {', '.join(kinds)}: two of them are one account"
                " or have one parent, and a sub-account has the type of its parent",
                "name accounts of three different parents",
            )
        return accounts


@dataclass(frozen=True, slots=True)
class Classes:
    """Which field of a line is its class, and the names of classes by its values.

    A value without a name is the class itself; an empty one is none. A subclass has its full path,
    as in `Permanent:Direct hire`.
    """

    field: str
    names: Mapping[str, str]

    @classmethod
    def named(cls, name: str, names: Iterable[str]) -> "Classes | None":
        """Build from a field and `value=class` texts; None without a field.

        Refused for an unknown field, for names without a field and for a class that QuickBooks
        cannot take.
        """
        given = list(names)
        if name not in CLASS_FIELDS and (name or given):
            raise Refused(
                "bad_class",
                f"{name!r} is no field that a class may come from: it is one of"
                f" {', '.join(CLASS_FIELDS)}",
                "as in: item_id",
            )
        found: dict[str, str] = {}
        for text in given:
            value, equals, path = text.rpartition("=")
            if not equals or not fits_path(path.strip()):
                raise Refused(
                    "bad_class",
                    f"{text!r} does not say value=class with a class that QuickBooks can take",
                    f"as in: DIRECT-HIRE=Permanent; {PATH_RULE}",
                )
            found[value] = path.strip()
        return cls(name, found) if name else None

    def of(self, document: ClosedDocument, line: ClosedLine) -> str:
        """Return the class of a line; "" if it has none."""
        owner = line if hasattr(line, self.field) else document
        value = str(getattr(owner, self.field)).strip()
        return self.names.get(value, value)


def fits_path(path: str) -> bool:
    """Whether QuickBooks takes a name, or a path of names, as it is."""
    parts = path.split(":")
    return len(parts) <= PATH_PARTS and all(
        part and part == part.strip() and kept(part) and len(part) <= ITEM_LENGTH for part in parts
    )


def iif_cell(text: str, most: int = MEMO_LENGTH) -> str:
    """Return free text for a cell; characters that the encoding lacks become question marks."""
    line = one_line(text.translate(_QUOTES).translate(LOOKALIKES))
    return line[:most].encode(ENCODING, "replace").decode(ENCODING)


def kept(name: str) -> bool:
    """Whether a name is written unchanged."""
    return iif_cell(name, len(name)) == name.strip()
