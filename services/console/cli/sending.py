"""`backoffice send`: documents by e-mail, and the mail accounts of billing companies."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import ANSWER_SECONDS, Run, command
from services.console.cli.options import (
    AnyCompany,
    Company,
    Limit,
    must_be_one_of,
    option,
    read_text,
)
from services.console.cli.output import Column
from services.console.columns.mail import MAILS
from shared.terms import counted

app = typer.Typer(help="Documents by e-mail.", no_args_is_help=True)
LONG_SEND_SECONDS = 24 * 3600.0
STATES = ("queued", "sending", "sent", "unknown", "refused")
TLS = ("starttls", "tls", "none")
ATTEMPTS = [
    Column("attempt_no", "", ids=True),
    Column("ended_at", "at"),
    Column("state"),
    Column("code"),
    Column("duration_ms", "ms", figures=True),
    Column("message", most=400),
    Column("message_id", "message id"),
]
Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Number of the invoice or credit note.")
]
NumberOrReminder = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Number of a document, or a reminder: reminder:17.")
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="send")


@command(app, "set-account", sends=True)
def set_account(
    run: Run,
    billing_company: Company,
    sender: Annotated[
        str | None, option("Address that sends, e.g. billing@agency.example.", metavar="A")
    ] = None,
    sender_name: Annotated[
        str | None, option("Name beside it (default: the billing company's).", metavar="NAME")
    ] = None,
    reply_to: Annotated[
        str | None, option('Where answers go; "" for the sender.', metavar="A")
    ] = None,
    host: Annotated[str | None, option("The mail server (SMTP).", "--host", metavar="HOST")] = None,
    port: Annotated[
        int | None, option("Its port (default: 587; with --tls tls 465, with none 25).")
    ] = None,
    tls: Annotated[
        str | None,
        option("How the connection is encrypted (default: starttls).", metavar="|".join(TLS)),
    ] = None,
    user: Annotated[str | None, option('Login; "" for none.', metavar="NAME")] = None,
    password_file: Annotated[
        Path | None,
        option(
            "File with the password in its first line; it is sealed before it leaves this process.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    country: Annotated[
        str | None,
        option("Country code for e-invoices whose addresses name none.", metavar="XX"),
    ] = None,
    subject: Annotated[
        str | None,
        option("Template of the subject, e.g. 'Invoice {number}'.", metavar="TEMPLATE"),
    ] = None,
    text_file: Annotated[
        Path | None,
        option("File with the template of the text.", metavar="FILE", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """Set how a billing company sends e-mails; what is not named stays.

    Fields of templates: document, number, invoice_date, due_date, total, currency, debtor, company,
    po_number, service_from, service_to. After a refused login it lets one more through.
    """
    must_be_one_of(TLS, tls, "--tls")
    given: dict[str, Any] = {"host": host, "port": port, "tls": tls, "user": user}
    run.send(
        "set-mail-account",
        billing_company=billing_company,
        sender=sender,
        sender_name=sender_name,
        reply_to=reply_to,
        country=country,
        subject=subject,
        text=read_text(text_file, "--text-file"),
        sealed_password=_sealed(run, billing_company, given, password_file),
        **given,
    )


def _sealed(
    run: Run, billing_company: str, given: dict[str, Any], password_file: Path | None
) -> str:
    """The password of a file, sealed for the account as it will be; "" without a file."""
    if password_file is None:
        return ""
    from services.console.actions.secrets import seal_password
    from services.console.queries.deliveries import sealing_key
    from services.console.queries.mail import mail_settings

    lines = (read_text(password_file, "--password-file") or "").splitlines()
    if not lines or not lines[0]:
        raise typer.BadParameter(f"{password_file} has no first line", param_hint="--password-file")
    before = run.read(mail_settings, billing_company)
    public_key = run.read(sealing_key)["public_key"]
    return seal_password(lines[0], billing_company, before, given, public_key)


@command(app)
def account(run: Run, billing_company: Company) -> None:
    """Show how a billing company sends e-mails, and what stops it."""
    from services.console.queries.mail import mail_account

    found = run.read(mail_account, billing_company)
    run.document(found)
    run.facts(
        found["settings"] | {name: value for name, value in found.items() if name != "settings"}
    )


@command(app, sends=True, timeout=LONG_SEND_SECONDS)
def batch(
    run: Run,
    batch_id: Annotated[str, typer.Argument(metavar="ID")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every e-mail is sent or refused.")
    ] = False,
) -> None:
    """Send what was not sent yet of a batch to the addresses of its debtors.

    With --wait: exit 1 if an e-mail was refused, is unknown, or cannot go out.
    """
    from services.console.queries.batches import batch as read_batch

    company = run.read(read_batch, batch_id)["billing_company"]
    which = {"billing_company": company, "batch_id": batch_id}
    if not wait:
        run.send("send-batch", timeout=ANSWER_SECONDS, **which)
        return
    started = run.start("send-batch", **which)
    found = _wait(run, batch_id) | {
        name: started[name] for name in ("without_address", "debtors_without_address")
    }
    run.document(found)
    run.facts(found["mails"])
    if found["without_address"]:
        names = ", ".join(found["debtors_without_address"])
        run.aside(f"{counted(found['without_address'], 'document')} without an address: {names}")
    if found["open"]:
        run.no(
            "not_done",
            f"{counted(found['open'], 'e-mail')} not sent yet",
            "; ".join(found["held_up"]) or "see `backoffice send list --state queued`",
        )
    left = {
        state: found["mails"][state] for state in ("refused", "unknown") if state in found["mails"]
    }
    if left:
        words = " and ".join(f"{number} {state}" for state, number in left.items())
        run.no("not_all_sent", words, f"see `backoffice send list --batch {batch_id}`")


def _wait(run: Run, batch_id: str) -> dict[str, Any]:
    """The progress of a batch when nothing is open, nothing can go out, or the time is over."""
    from services.console.queries.mail import mail_progress

    with run.progress(f"sending {batch_id}") as bar:

        def read() -> dict[str, Any]:
            found = run.read(mail_progress, batch_id)
            total = sum(found["mails"].values())
            bar(total - found["open"], total)
            return found

        return run.read_until(
            lambda found: not found["open"] or found["stopped"], read, run.timeout
        )


@command(app, sends=True)
def invoice(
    run: Run,
    number: Number,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also to addresses that have it, or from which it came back."),
    ] = False,
    billing_company: AnyCompany = None,
) -> None:
    """Send one document to the addresses of its debtor."""
    run.send(
        "send-invoice",
        billing_company=_company(run, number, billing_company),
        invoice_number=number,
        again=again,
    )


def _company(run: Run, number: str, billing_company: str | None) -> str:
    from services.console.queries.invoices import invoice as read_invoice

    return str(run.read(read_invoice, number, billing_company)["billing_company"])


def _company_of_mail(run: Run, number: str, billing_company: str | None) -> str:
    from services.console.queries.mail import mails_of
    from shared.reminders import PREFIX

    if not number.startswith(PREFIX):
        return _company(run, number, billing_company)
    return str(run.read(mails_of, number)[0]["billing_company"])


@command(app, "list")
def list_mails(
    run: Run,
    state: Annotated[str | None, typer.Option(metavar="|".join(STATES), show_default=False)] = None,
    batch_id: Annotated[
        str | None, typer.Option("--batch", metavar="ID", show_default=False)
    ] = None,
    billing_company: AnyCompany = None,
    limit: Limit = 100,
) -> None:
    """List e-mails, the newest first, with the reason of each that waits or is refused."""
    must_be_one_of(STATES, state, "--state")
    from services.console.queries.mail import mails

    rows, total = run.read(mails, state, batch_id, billing_company, limit)
    run.page("mails", rows, total, MAILS, "no e-mail; to send a batch: backoffice send batch ID")


@command(app)
def show(run: Run, number: NumberOrReminder) -> None:
    """Show every e-mail of a document or reminder: its state, and every attempt with the server's
    answer.
    """
    from services.console.queries.mail import mails_of

    found = run.read(mails_of, number)
    run.document({"invoice_number": number, "mails": found})
    for one in found:
        run.facts({name: value for name, value in one.items() if name != "attempts_made"})
        run.table(one["attempts_made"], ATTEMPTS, title="attempts", empty="no attempt yet")


@command(app, sends=True)
def decide(
    run: Run,
    number: NumberOrReminder,
    address: Annotated[str, option("The address in question.", "--address", metavar="A")],
    sent: Annotated[
        bool, typer.Option("--sent/--not-sent", help="It arrived, or it is sent once more.")
    ],
    billing_company: AnyCompany = None,
) -> None:
    """Decide about an e-mail of unknown outcome; needs --reason."""
    run.send(
        "decide-mail",
        billing_company=_company_of_mail(run, number, billing_company),
        invoice_number=number,
        address=address,
        sent=sent,
    )


@command(app, sends=True)
def bounces(
    run: Run,
    mailbox: Annotated[
        Path,
        typer.Argument(
            metavar="MAILBOX", exists=True, help="A file (mbox, or one message) or a Maildir."
        ),
    ],
) -> None:
    """Record e-mails that came back, from the reports in a mailbox; other messages are passed
    over.
    """
    from services.console.importing.bounces import read_bounces
    from shared.errors import Refused
    from shared.events.commands.mail import BOUNCES_AT_MOST

    try:
        found, count = read_bounces(mailbox)
    except Refused as refused:
        run.refuse(refused.code, refused.message, refused.fix)
    if not found:
        run.document({"messages": count, "results": []})
        run.say(f"no report of a failed delivery among {counted(count, 'message')}")
        return
    rows = [one._asdict() for one in found]
    run.send_each(
        [
            run.new_command("record-bounces", bounces=rows[start : start + BOUNCES_AT_MOST])
            for start in range(0, len(rows), BOUNCES_AT_MOST)
        ]
    )
