"""People: who may do what, who is signed in, who signed in, and the keys of programs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse, Response

from services.console.columns.access import KEYS, PEOPLE, SESSIONS, SIGN_INS
from services.console.queries import access
from services.console.sessions.rules import session_id_of
from services.console.web.identity import ALL_COMPANIES, Grant
from services.console.web.pages import OpenPage, Outcome, Page, Refusal, Screen, cookie_name
from services.console.web.signing_in import address_of
from shared.errors import Refused
from shared.events.commands.permissions import ROLES

SCREEN = Screen("People", "/people")
router = APIRouter()
MOST_SIGN_INS = 100
MOST = 200
NOTHING_TYPED: dict[str, Any] = {
    "person": "",
    "name": "",
    "enabled": True,
    "grants": (),
    "reason": "",
}
SEE_SIGN_INS = ("admin", "controller")
"""The roles that see the sessions and sign-ins of others, with where they come from."""
END_SESSIONS = ("admin",)


@router.get("/people")
async def show_people(page: OpenPage) -> HTMLResponse:
    """People, keys, sessions and the last sign-ins; only his own for a limited role."""
    return await people_page(page)


@router.get("/people/new")
async def new_person(page: OpenPage) -> HTMLResponse:
    """The form of a person who is not known yet."""
    return await _person(page, None)


@router.get("/people/sign-ins")
async def show_sign_ins(page: OpenPage) -> HTMLResponse:
    """The record of sign-ins, of one person (`?person=`) or of all, page by page."""
    whose = page.query("person")
    if whose != page.identity.person and not page.identity.has(*SEE_SIGN_INS):
        raise Refused(
            "not_permitted",
            "your role sees only your own sign-ins",
            f"ask a person with the role {' or '.join(SEE_SIGN_INS)}",
        )
    before = page.query("before") or ""
    first = int(before) if before.isascii() and before.isdecimal() and len(before) < 18 else None
    found = await page.console.sessions.sign_ins(MOST_SIGN_INS + 1, whose, first)
    rows, more = found[:MOST_SIGN_INS], len(found) > MOST_SIGN_INS
    following = {"person": whose, "before": rows[-1]["sign_in_no"]} if more else None
    return page.show(
        "people/sign_ins.html",
        person=whose,
        rows=rows,
        columns=SIGN_INS,
        next_page=page.link("/people/sign-ins", **following) if following else None,
    )


@router.get("/people/person/{person:path}")
async def show_person(page: OpenPage, person: str) -> HTMLResponse:
    """One person: roles, sessions, sign-ins."""
    return await _person(page, person)


@router.post("/people/save")
async def save(
    page: OpenPage,
    form_id: Annotated[str, Form()],
    person: Annotated[str, Form(max_length=MOST)] = "",
    name: Annotated[str, Form(max_length=MOST)] = "",
    grant: Annotated[list[str] | None, Form()] = None,
    enabled: Annotated[str, Form()] = "",
    reason: Annotated[str, Form(max_length=1_000)] = "",
    known: Annotated[str, Form()] = "",
) -> Response:
    """Add or change a person. The roles that are ticked replace the earlier ones."""
    person = person.strip()

    async def unless_known() -> Refusal | None:
        if known or await page.read(access.person, person) is None:
            return None
        return Refusal("person_known", f"{person} is known already", "change him under People")

    outcome = await page.act(
        form_id,
        "set-person",
        unless=unless_known,
        reason=reason,
        person=person,
        name=name.strip(),
        roles=roles_of(grant or []),
        enabled=bool(enabled),
    )
    if not outcome.accepted:
        if outcome.refusal is None:
            return page.to_command(outcome, then=page.link("/people"))
        typed = {
            "person": person,
            "name": name,
            "enabled": bool(enabled),
            "reason": reason,
            "grants": {tuple(each.split(":", 1)) for each in grant or [] if ":" in each},
        }
        return await _person(page, person if known else None, outcome.refusal, typed)
    if not enabled:
        await _end(page, person)
    return _done(page, outcome)


@router.post("/people/end-sessions")
async def end_sessions(
    page: OpenPage,
    person: Annotated[str, Form(max_length=MOST)],
    session_id: Annotated[str, Form(max_length=MOST)] = "",
) -> Response:
    """End all sessions of a person, or one of them. Everyone may end his own."""
    if not _may_end(page, person):
        raise Refused(
            "not_permitted",
            f"your role may not end the sessions of {person}",
            f"ask a person with the role {' or '.join(END_SESSIONS)}",
        )
    ended = await _end(page, person, session_id or None)
    return page.redirect("/people", ended=ended)


async def people_page(
    page: Page, refusal: Refusal | None = None, at: str = "", typed: Mapping[str, Any] | None = None
) -> HTMLResponse:
    """The screen; `refusal` is shown beside the form `at` with what was typed there."""
    me, everyone = page.identity.person, page.identity.sees_all
    sees_sign_ins = page.identity.has(*SEE_SIGN_INS)
    async with page.snapshot() as connection:
        people = await access.people(connection)
        keys = await access.keys(connection) if everyone else []
    whose = None if sees_sign_ins else me
    return page.show(
        "people/list.html",
        status=400 if refusal else 200,
        people=people if everyone else [row for row in people if row["person"] == me],
        people_columns=PEOPLE,
        people_links={"person": lambda row: _link(page, row["person"])},
        keys=keys,
        key_columns=KEYS,
        sessions=await page.console.sessions.sessions(whose),
        session_columns=SESSIONS,
        own_session=_own_session(page),
        sign_ins=await page.console.sessions.sign_ins(10, whose),
        sign_in_columns=SIGN_INS,
        sees_all_sign_ins=sees_sign_ins,
        me=me,
        everyone=everyone,
        may_end=lambda whose: _may_end(page, whose),
        may=page.identity.may,
        refusal=refusal,
        refused_at=at,
        typed=typed or {},
        ended=page.query("ended"),
        done=page.query("done"),
    )


def role_rows(page: Page, grants: set[Grant]) -> list[tuple[str, str, list[tuple[str, bool]]]]:
    """The rows of the table of roles: company, its name, and each role with whether it is held."""
    companies = {ALL_COMPANIES: "all billing companies", **page.companies}
    companies |= {one: one for _, one in sorted(grants) if one not in companies}
    return [
        (company, name, [(role, (role, company) in grants) for role in ROLES])
        for company, name in companies.items()
    ]


def roles_of(ticked: Sequence[str]) -> list[dict[str, Any]]:
    """The roles of a command, from the ticks of the table of roles: `ROLE:COMPANY`, without a
    company for all of them.
    """
    found: dict[str, list[str]] = {}
    for role, _, company in (each.partition(":") for each in ticked):
        found.setdefault(role, []).append(company)
    return [
        {"role": role, "billing_companies": [] if ALL_COMPANIES in companies else companies}
        for role, companies in found.items()
    ]


async def _person(
    page: Page,
    person: str | None,
    refusal: Refusal | None = None,
    typed: Mapping[str, Any] | None = None,
) -> HTMLResponse:
    """One person, or the form of a new one."""
    if person != page.identity.person and not page.identity.sees_all:
        raise Refused(
            "other_billing_company",
            "your role is limited to billing companies, and people belong to none",
            "ask an admin",
        )
    found = await page.read(access.person, person) if person is not None else None
    if person is not None and found is None:
        raise Refused("unknown_person", f"no person {person} is known", "see People")
    values = NOTHING_TYPED | (found or {}) | dict(typed or {})
    sees_sign_ins = person == page.identity.person or page.identity.has(*SEE_SIGN_INS)
    return page.show(
        "people/person.html",
        status=400 if refusal else 200,
        known=found,
        values=values,
        roles=ROLES,
        rows=role_rows(page, set(values["grants"])),
        may_change=page.identity.may("set-person"),
        who_may=page.identity.who_may("set-person"),
        sessions=await page.console.sessions.sessions(person) if person and sees_sign_ins else [],
        session_columns=SESSIONS,
        own_session=_own_session(page),
        may_end=lambda whose: _may_end(page, whose),
        sees_sign_ins=sees_sign_ins and person,
        refusal=refusal,
    )


def _may_end(page: Page, person: str) -> bool:
    return person == page.identity.person or page.identity.has(*END_SESSIONS)


def _own_session(page: Page) -> str:
    return session_id_of(page.request.cookies.get(cookie_name(), ""))


async def _end(page: Page, person: str, session_id: str | None = None) -> int:
    sessions = page.console.sessions
    return await sessions.end_sessions(
        person, page.identity.person, address_of(page.request), session_id
    )


def _link(page: Page, person: str) -> str:
    return page.link(f"/people/person/{person}")


def _done(page: Page, outcome: Outcome) -> Response:
    message = outcome.result["message"] if outcome.result else ""
    return page.redirect("/people", done=message[:300])
