"""`backoffice ledger poll`: reads the payments of an accounting system now."""

from services.console.cli.command import ANSWER_SECONDS, Run, command
from services.console.cli.ledgers import Name, app
from shared.terms import counted


def register(_: object) -> None:
    """The command belongs to the group `ledger`, which registers it."""


@command(app, sends=True, timeout=ANSWER_SECONDS)
def poll(run: Run, name: Name) -> None:
    """Read payments now, not at the next quarter of an hour. Exit 1 if they could not be read."""
    from services.console.queries.deliveries import payment_poll

    before = run.read(payment_poll, name)
    run.start("poll-ledger", ledger=name)
    found = run.read_until(
        lambda row: row["polls"] > before["polls"] and not row["busy"],
        lambda: run.read(payment_poll, name),
        run.timeout,
    )
    new = found["entries"] - before["entries"]
    run.document({"ledger": name, "new_entries": new, "message": found["message"]})
    if found["polls"] == before["polls"] or found["busy"]:
        message = f"payments of {name} are not all read after {run.timeout:.0f} s"
        run.no("not_done", message, "it goes on; see `backoffice ledger status`")
    if found["failures"]:
        fix = f"see `backoffice ledger status {name}`, then poll again"
        run.no("payments_unreadable", found["message"], fix)
    run.say(f"payments of {name} are read: {counted(new, 'new entry', 'new entries')}")
