"""The mapping of a connection held against the codes that its ledger has.

An adapter that can list its codes is `ListsCodes`. A code that is missing, inactive or of no use
for a sales document is a problem, and so is a code of the billing company that nothing maps.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from services.arg_sync.ledgers.adapter import AdapterSpec
from shared.terms import similar_names

CodeKind = Literal["account", "item", "tax", "term", "currency"]
MAPPED: tuple[CodeKind, ...] = ("account", "item", "tax", "term")
KINDS: tuple[CodeKind, ...] = (*MAPPED, "currency")
NOUNS: Mapping[str, str] = {
    "account": "account",
    "item": "item",
    "tax": "tax code",
    "term": "payment term",
    "currency": "currency",
}


@dataclass(frozen=True, slots=True)
class LedgerCode:
    """A code of a ledger. `problem` says why no sales document may use it ("is inactive")."""

    code: str
    name: str = ""
    problem: str = ""


@runtime_checkable
class ListsCodes(Protocol):
    """An adapter that can list the codes of its ledger."""

    async def codes(self, kind: CodeKind, wanted: Collection[str]) -> Sequence[LedgerCode] | None:
        """Return those of the wanted codes that exist, and others that may be meant.

        None if documents of this system use no codes of the kind.
        """


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """A mapped code that the ledger does not take; or, with an empty `remote`, one not mapped."""

    what: CodeKind
    code: str
    remote: str
    message: str


@dataclass(frozen=True, slots=True)
class CompanyCodes:
    """The codes of a billing company: its currencies, tax codes and catalog items."""

    currencies: frozenset[str] = frozenset()
    taxes: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()


Mapped = Mapping[tuple[str, str], str]
"""(what, our code) → the ledger's code. The empty code holds the default."""


def wanted_codes(mapped: Mapped, company: CompanyCodes) -> dict[CodeKind, set[str]]:
    """Return the codes of the ledger that must exist, by kind."""
    wanted: dict[CodeKind, set[str]] = {kind: set() for kind in KINDS}
    for (what, _), remote in mapped.items():
        for kind in MAPPED:
            if kind == what:
                wanted[kind].add(remote)
    wanted["currency"] = set(company.currencies)
    return wanted


def code_problems(
    spec: AdapterSpec,
    mapped: Mapped,
    company: CompanyCodes,
    listed: Mapping[CodeKind, Sequence[LedgerCode]],
) -> list[CodeProblem]:
    """Return what is wrong with a mapping. Kinds that are not listed are not checked."""
    rows = [(what, code, remote) for (what, code), remote in mapped.items()]
    rows += [("currency", code, code) for code in company.currencies]
    found = [
        CodeProblem(kind, code, remote, message)
        for kind, there in listed.items()
        for what, code, remote in rows
        if what == kind and (message := _problem(spec.title, kind, remote, there))
    ]
    return sorted([*found, *_not_mapped(spec, mapped, company)], key=_order)


def _order(problem: CodeProblem) -> tuple[int, str]:
    return KINDS.index(problem.what), problem.code


def _problem(title: str, kind: CodeKind, remote: str, there: Sequence[LedgerCode]) -> str:
    found = [one for one in there if one.code == remote]
    usable = [one for one in found if not one.problem]
    if usable:
        return ""
    noun = NOUNS[kind]
    if found:
        name = f" ({found[0].name})" if found[0].name not in ("", remote) else ""
        return f"{noun} {remote}{name} {found[0].problem} in {title}"
    return f"{title} has no {noun} {remote}{_suggestion(remote, there)}"


def _suggestion(remote: str, there: Sequence[LedgerCode]) -> str:
    labels: dict[str, str] = {}
    for one in there:
        if not one.problem:
            label = one.code if one.name in ("", one.code) else f"{one.code} ({one.name})"
            labels.setdefault(one.code, label)
            labels.setdefault(one.name, label)
    labels.pop("", None)
    near = dict.fromkeys(labels[each] for each in similar_names(remote, labels))
    return f"; do you mean {', '.join(near)}?" if near else ""


def _not_mapped(spec: AdapterSpec, mapped: Mapped, company: CompanyCodes) -> list[CodeProblem]:
    """Return the codes of the billing company that the mapping lacks."""
    kinds: tuple[CodeKind, ...] = ("account", "item")
    if spec.line_code != "either":
        kinds = (spec.line_code,)
    ours = {code for what, code in mapped if what in kinds}
    names = [] if ours & {"", "product"} else sorted(company.items - ours)
    if not ours - company.items - {"product"}:  # neither time, a time type nor a default
        names.append("time")
    found = [
        CodeProblem(kinds[0], name, "", f"{NOUNS[kinds[0]]} of {name} is not mapped")
        for name in names
    ]
    return found + [
        CodeProblem("tax", code, "", f"tax code {code} is not mapped")
        for code in sorted(company.taxes)
        if ("tax", code) not in mapped
    ]
