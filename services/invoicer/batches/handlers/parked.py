"""Handles the command `retry-parked`: bills debtors that a batch parked, in a new batch."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.handlers.batches import Close, lock_batch
from services.invoicer.batches.handlers.build_batch import build
from services.invoicer.batches.handlers.check_health import require_company_health
from services.invoicer.batches.handlers.decide_debtors import BatchRequest
from services.invoicer.batches.rules.batch_filter import chosen_again
from services.invoicer.batches.store import parked
from shared.consumer.commands import Answer
from shared.errors import Refused
from shared.events.commands import RetryParked


async def on_retry_parked(
    connection: AsyncConnection, command: RetryParked, *, close: Close
) -> Answer:
    """Close a batch of the parked debtors, up to the same cut-off and of the same choice.

    Debtors that are still parked stay with that batch, with the reason that is true now.
    """
    await lock_batch(connection, command.billing_company)
    batch = await parked.parked_in(connection, command.billing_company, command.batch_id)
    if batch is None:
        raise Refused(
            "no_such_batch",
            f"{command.billing_company} has no batch {command.batch_id}",
            "see `backoffice batch list`",
        )
    if not batch.account_names:
        raise Refused(
            "no_parked_debtors",
            f"batch {command.batch_id} has no parked debtors left to bill",
            f"see `backoffice batch parked {command.batch_id}`",
        )
    plan = await build(
        connection,
        command.billing_company,
        batch.cut_off,
        BatchRequest(chosen_again(batch.chosen, batch.account_names)),
        with_digests=True,
    )
    findings = await require_company_health(connection, plan)
    await parked.add_parked(connection, command.batch_id, plan.parked)
    answer = await close(connection, command, plan, findings)
    answer.details |= {
        "retried_batch": command.batch_id,
        "still_parked": answer.details.pop("parked"),
    }
    answer.subjects = [*answer.subjects, command.batch_id, *sorted(batch.account_names)[:100]]
    return answer
