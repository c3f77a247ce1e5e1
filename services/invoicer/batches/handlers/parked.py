"""Tries the debtors again that a batch parked: just those, against the same cut-off, as a batch of its own."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.batches import close, refuse_if_blocked
from services.invoicer.batches.handlers.build_batch import build, check_health
from services.invoicer.batches.handlers.decide_debtors import BatchRequest
from services.invoicer.batches.rules.batch_filter import BatchFilter
from services.invoicer.batches.store import parked
from shared import faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.commands import RetryParked


async def on_retry_parked(connection: AsyncConnection, command: RetryParked) -> Answer:
    """Bills parked debtors of a batch under the company's exclusive lock. Who is still parked stays with its reason."""
    await lock_billto(connection)
    await lock_companies(connection, [command.billing_company], exclusive=True)
    await faults.point("after_locks")
    then = await parked.parked_in(connection, command.billing_company, command.batch_id)
    if then is None:
        raise Refused(
            "no_such_batch",
            f"{command.billing_company} has no batch {command.batch_id}",
            "see `backoffice batch list`",
        )
    if not then.account_names:
        raise Refused(
            "nobody_parked",
            f"batch {command.batch_id} parked nobody who is not billed yet",
            f"see `backoffice batch parked {command.batch_id}`",
        )
    plan = await build(
        connection,
        command.billing_company,
        then.cut_off,
        BatchRequest(BatchFilter(only=then.account_names)),
        with_digests=True,
    )
    found = await check_health(connection, plan, full=False)
    refuse_if_blocked(found)
    await parked.add_parked(connection, command.batch_id, plan.parked)
    answer = await close(connection, command, plan, found)
    answer.details |= {
        "retried_batch": command.batch_id,
        "still_parked": answer.details.pop("parked"),
    }
    answer.subjects = [*answer.subjects, command.batch_id, *sorted(then.account_names)[:100]]
    return answer


HANDLERS: dict[type[Any], CommandHandler] = {RetryParked: on_retry_parked}
