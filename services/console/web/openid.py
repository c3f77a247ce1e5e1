"""Sign in at the OpenID provider, and take the roles that it gives over.

Roles from a claim become those of the person here by the command `set-person`, which the console
sends as itself: the services keep looking roles up where all of them are, and the history has every
change. A person who was disabled here stays so.
"""

import secrets
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from services.console.actions.commander import result_within
from services.console.actions.commands import new_command
from services.console.queries import access
from services.console.queries.commands import command_result
from services.console.sessions.openid import OpenId, Person
from services.console.sessions.rules import LINK
from services.console.sessions.store import OpenIdSignIn
from services.console.web.pages import SEE_OTHER, Console, console_of
from services.console.web.signing_in import (
    address_of,
    local_path,
    public_address,
    set_cookie,
    sign_in_page,
    signed_in,
)
from shared.errors import Refused, Unavailable
from shared.events.commands import AnyCommand
from shared.settings import settings

router = APIRouter()
START = "/sign-in/openid"
CALLBACK = "/sign-in/openid/callback"
RESULT_SECONDS = 10.0
ITSELF = "console"
"""The actor of the console's own commands where it has no key."""


@router.get(START)
async def begin(request: Request, next: str = "") -> Response:
    """Send the browser to the provider; a cookie binds the answer to this browser."""
    console = console_of(request)
    redirect_uri = public_address(request) + CALLBACK
    try:
        begun = await _provider(console).begin(redirect_uri)
    except Refused as refused:
        return sign_in_page(request, next, refused=refused)
    await console.sessions.begin_openid(begun, redirect_uri, local_path(next))
    answer = RedirectResponse(begun.address, SEE_OTHER)
    set_cookie(request, answer, _cookie(), begun.state, int(LINK.total_seconds()), path=START)
    return answer


@router.get(CALLBACK)
async def finish(request: Request) -> Response:
    """The provider's answer: a session, or why there is none."""
    console = console_of(request)
    query = dict(request.query_params)
    state, own = query.get("state", ""), request.cookies.get(_cookie(), "")
    on_its_way = None
    if state and secrets.compare_digest(state.encode(), own.encode()):
        on_its_way = await console.sessions.take_openid(state)
    if on_its_way is None:
        refused = Refused(
            "openid_state",
            "this answer belongs to no sign-in of this browser, or to one of more than ten minutes"
            " ago",
            "sign in again",
        )
        return sign_in_page(request, refused=refused)
    answer = await _signed_in(request, console, query, on_its_way)
    answer.delete_cookie(_cookie(), path=START)
    return answer


async def _signed_in(
    request: Request, console: Console, query: dict[str, str], sent: OpenIdSignIn
) -> Response:
    name, address = "", address_of(request)
    try:
        found = await _provider(console).finish(
            query, sent.redirect_uri, sent.nonce, sent.code_verifier
        )
        name = found.person
        await take_roles_over(console, found)
        await _require_known(console, found)
        token = await console.sessions.sign_in_by_openid(name, found.id_token, address)
    except Refused as refused:
        await console.sessions.refuse_openid(name, address)
        return sign_in_page(request, sent.next_path, refused=refused)
    return signed_in(request, token, sent.next_path)


async def take_roles_over(console: Console, found: Person) -> None:
    """Give a person the roles of the claim, if they differ from those here."""
    if found.grants is None:
        return
    async with console.reads.snapshot() as connection:
        known = await access.person(connection, found.person)
    if known is not None and not known["enabled"]:
        return
    same = known is not None and set(known["grants"]) == found.grants
    if (same and (known or {})["name"] == found.name) or (known is None and not found.grants):
        return
    companies: dict[str, list[str]] = {}
    for role, company in sorted(found.grants):
        companies.setdefault(role, []).append(company)
    signer = console.commander.signer
    command = new_command(
        "set-person",
        actor=signer.program if signer else ITSELF,
        reason="signed in at the OpenID provider, which gives these roles",
        person=found.person,
        name=found.name,
        roles=[
            {"role": role, "billing_companies": [] if "" in each else each}
            for role, each in companies.items()
        ],
    )
    await _carry_out(console, command)


async def _carry_out(console: Console, command: AnyCommand) -> None:
    """Send a command of the console. Raises `Refused` with what the service says."""

    async def read(sent: AnyCommand) -> dict[str, Any] | None:
        async with console.reads.snapshot() as connection:
            return await command_result(connection, sent.owner, sent.command_id)

    await console.commander.publish(command)
    result = await result_within(read, command, RESULT_SECONDS)
    if result is None:
        raise Unavailable(
            "the invoicer has not taken the roles of the OpenID provider over yet; it may be down"
        )
    if result["outcome"] != "accepted":
        raise Refused(
            result["code"],
            f"the roles of the OpenID provider were not taken over: {result['message']}",
            result["fix"] or "give the key of the console the role admin",
        )


async def _require_known(console: Console, found: Person) -> None:
    """Refused for someone without a role here: a provider may know more people than should get
    in, and where commands are open every session may do everything.
    """
    async with console.reads.snapshot() as connection:
        known = await access.person(connection, found.person)
    if known is not None and known["enabled"] and known["grants"]:
        return
    claim = settings().openid_roles_claim
    why = "is disabled" if known and not known["enabled"] else "has no role"
    fix = "ask an admin for a role (`backoffice people set`)"
    if claim and why == "has no role":
        fix = f"ask who runs the provider for a value of {claim} that BACKOFFICE_OPENID_ROLES names"
    raise Refused("no_role", f"{found.person} {why} here", fix)


def _provider(console: Console) -> OpenId:
    if console.openid is None:
        raise Refused(
            "no_openid",
            "this console has no OpenID provider",
            "sign in with a password or a one-time link",
        )
    return console.openid


def _cookie() -> str:
    return f"backoffice_openid_{settings().http_port}"
