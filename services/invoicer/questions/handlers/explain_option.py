"""Handles the command `explain-option`: which invoice option an open pay line gets, in steps."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.options import store as options
from services.invoicer.options.rules import Item, choose, group_list
from services.invoicer.questions.store import explain as store
from shared.clock import today_of
from shared.consumer.commands import Answer, CommandHandler
from shared.errors import Refused
from shared.events.commands import ExplainOption
from shared.terms import buyer_of


async def companies_of(connection: AsyncConnection, command: ExplainOption) -> set[str]:
    """Return the billing company of the line; none if it is unknown."""
    return await store.companies_of(connection, None, command.pay_line_id)


async def on_explain_option(connection: AsyncConnection, command: ExplainOption) -> Answer:
    """Answer with the option of a line as a batch of today would choose it, and the steps."""
    number = command.pay_line_id
    line = await store.line_option_of(connection, number)
    if line is None:
        raise Refused(
            "not_known", f"pay line {number} does not exist", "see `backoffice pay-lines list`"
        )
    if not line.is_open:
        raise Refused(
            "not_open",
            f"pay line {number} is not open: its option is decided",
            f"see `backoffice why-not {line.document_id}`, or the document that it is on",
        )
    if line.corrects_invoice is not None:
        option = line.corrected_option
        steps = [
            f"it corrects {line.corrects_invoice}: a credit takes option, party, group and tax of"
            " the document that it corrects",
            f"{line.corrects_invoice} has option {option.name}" if option
            else f"{line.corrects_invoice} has no option",
        ]  # fmt: skip
        group = [] if option is None else [list(each) for each in option.group]
        return _answer(number, option.name if option else None, None, steps, group)
    owner = buyer_of(line.billing_company)
    company = await company_of(connection, owner)
    known = await options.options_for(connection, owner, today_of(company.time_zone))
    choice = choose(Item(line.engagement, line.billing_type, line.currency), known)
    steps = list(choice.steps)
    group = []
    if choice.option is not None:
        by_country = await options.grouping_by_country(connection, owner)
        fields = group_list(choice.option, by_country)
        group = await store.group_values(connection, number, fields)
        whose = "its country's list" if choice.option.group_by is None else "its own list"
        values = ", ".join(f"{field} {value or '(none)'}" for field, value in group)
        steps.append(f"grouped by {whose}: {values or 'nothing more than every document is'}")
        if choice.option.max_lines is not None:
            steps.append(f"at most {choice.option.max_lines:,} lines on a document")
    name = choice.option.name if choice.option else None
    return _answer(number, name, choice.reason, steps, group)


def _answer(
    number: int, option: str | None, reason: str | None, steps: list[str], group: list[list[str]]
) -> Answer:
    what = f"option {option}" if option else reason or "no option: billed as without options"
    return Answer(
        f"pay line {number}: {what}",
        details={
            "pay_line_id": number,
            "option": option,
            "reason": reason,
            "steps": steps,
            "group": group,
        },
        subjects=[f"pay-line {number}"],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {ExplainOption: on_explain_option}
SNAPSHOT = frozenset({"explain-option"})
