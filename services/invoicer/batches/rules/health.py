"""The health check: a literal list of rules over a snapshot of what a batch would take (design 5, section Batches).

An error about a line sets the line aside, about a debtor parks the debtor, about the billing company refuses the batch. A warning or an
info stops nothing. Each finding names the first ids and what fixes it.
"""

from collections.abc import Callable, Sequence

from services.invoicer.batches.rules.findings import (
    MOST_IDS,
    by_cause,
    count_by_id,
    counted_ids,
    info,
    lines,
    warning,
)
from services.invoicer.batches.rules.health_snapshot import CountedIds, HealthSnapshot
from services.invoicer.batches.rules.ledgers import relevant_connections
from services.invoicer.invoices.rules.numbers import exceeds_width
from shared.events.billing import Finding
from shared.terms import counted

VERY_LATE_DAYS = 60


def company_disabled(snapshot: HealthSnapshot) -> list[Finding]:
    """A disabled billing company issues nothing."""
    if snapshot.company.enabled:
        return []
    company = snapshot.company.billing_company
    return [
        Finding(
            severity="error",
            code="company_disabled",
            about="billing_company",
            message=f"billing company {company} is disabled: nothing is billed for it",
            fix=f"enable it: `backoffice billing-company set {company} --enabled`",
            ids=(company,),
        )
    ]


def default_time_group_unknown(snapshot: HealthSnapshot) -> list[Finding]:
    """The default billing cycle must exist, or every debtor would be billed by another one than meant."""
    group = snapshot.company.default_time_group
    if not group or group in snapshot.known_time_groups:
        return []
    return [
        Finding(
            severity="error",
            code="default_time_group_unknown",
            about="billing_company",
            message=f"the default time group {group!r} of {snapshot.company.billing_company} does not exist",
            fix="name one that exists as the default time group, or take the default away",
            ids=(group,),
        )
    ]


def debtors_parked(snapshot: HealthSnapshot) -> list[Finding]:
    """A debtor about whom something is wrong waits, the others are billed. Many with one and the same cause are one finding."""
    return by_cause(
        snapshot.parked,
        "error",
        "debtor_parked",
        "fix what it says; the lines stay open: `backoffice batch retry-parked`, or a later batch",
    )


def debtors_wait(snapshot: HealthSnapshot) -> list[Finding]:
    """A debtor's rule may say that timesheets which are in wait for those that are not."""
    fix = "wait for the timesheets, or bill what is in: `--missing-timesheets bill --reason TEXT`"
    return by_cause(snapshot.waiting, "warning", "waits_for_timesheets", fix)


def no_account_name(snapshot: HealthSnapshot) -> list[Finding]:
    """Nobody can be invoiced for a line on whose path no node has an Account Name."""
    found = count_by_id(snapshot.nodes_without_account)
    if not found.count:
        return []
    return [
        Finding(
            severity="error",
            code="no_account_name",
            about="line",
            count=found.count,
            ids=found.ids,
            message=f"{lines(found.count)} of {counted(len(snapshot.nodes_without_account), 'billto node')} without an Account Name on their path:"
            f" {', '.join(found.ids[:5])}",
            fix="give the node, its client or its company an Account Name in the ATS; the lines go into the next batch",
        )
    ]


def unknown_node(snapshot: HealthSnapshot) -> list[Finding]:
    """A line waits for a billto node that the ATS has not sent."""
    found = count_by_id(snapshot.unknown_nodes)
    if not found.count:
        return []
    return [
        Finding(
            severity="error",
            code="unknown_node",
            about="line",
            count=found.count,
            ids=found.ids,
            message=f"{lines(found.count)} of {counted(len(snapshot.unknown_nodes), 'billto node')} never sent: {', '.join(found.ids[:5])}",
            fix="let the ATS publish these nodes on billto-changed",
        )
    ]


def no_tax_rate(snapshot: HealthSnapshot) -> list[Finding]:
    """A tax code without a rate on the effective date can't be computed."""
    found = count_by_id(snapshot.taxless)
    if not found.count:
        return []
    company = snapshot.company.billing_company
    return [
        Finding(
            severity="error",
            code="no_tax_rate",
            about="line",
            count=found.count,
            ids=found.ids,
            message=f"{lines(found.count)} with a tax code that has no rate on the effective date: {', '.join(found.ids)}",
            fix=f"`backoffice billing-company set {company} --tax CODE=PERCENT@FROM_DATE`",
        )
    ]


def seller_details_missing(snapshot: HealthSnapshot) -> list[Finding]:
    """A document should show legal name, address, tax id and bank of its seller."""
    company = snapshot.company
    missing = [
        name
        for name, value in (
            ("name", company.name),
            ("address", company.address),
            ("tax id", company.tax_id),
            ("bank", company.bank),
        )
        if not value
    ]
    if not missing:
        return []
    return [
        Finding(
            severity="warning",
            code="seller_details_missing",
            about="billing_company",
            message=f"documents of {company.billing_company} will not show its {', '.join(missing)}",
            fix=f"`backoffice billing-company set {company.billing_company} --name ... --address ... --tax-id ... --bank ...`",
            ids=(company.billing_company,),
        )
    ]


def number_outgrows_width(snapshot: HealthSnapshot) -> list[Finding]:
    """A number with more digits than the series is wide is right, but sorts badly in other programs."""
    if not exceeds_width(snapshot.series, snapshot.documents):
        return []
    last = snapshot.series.next_number + snapshot.documents - 1
    return [
        Finding(
            severity="warning",
            code="number_outgrows_width",
            about="batch",
            message=f"the last number would be {last}, more than the {snapshot.series.width} digits of series {snapshot.series.prefix!r}",
            fix="widen the series: `backoffice billing-company set ID --series PREFIX:WIDTH`",
        )
    ]


def ledger_not_well(snapshot: HealthSnapshot) -> list[Finding]:
    """Documents that nobody can deliver now wait until the connection works again; it is better known before they are numbered."""
    return [
        Finding(
            severity="warning",
            code="ledger_not_well",
            about="billing_company",
            message=f"documents of {snapshot.company.billing_company} cannot be delivered to {each.ledger} now: {each.problem}",
            fix=f"`backoffice ledger status {each.ledger}`, then `backoffice ledger connect` or `backoffice ledger test {each.ledger}`",
            ids=(each.ledger,),
        )
        for each in relevant_connections(snapshot.ledgers)
        if each.problem
    ]


def ledger_mapping_missing(snapshot: HealthSnapshot) -> list[Finding]:
    """A document with a code that the mapping lacks would be closed and then refused by the delivery."""
    return [
        Finding(
            severity="warning",
            code="ledger_mapping_missing",
            about="billing_company",
            message=f"the mapping of {ledger} lacks {counted(len(missing), 'code')} that this batch needs: {', '.join(missing[:5])}",
            fix=f"`backoffice ledger map import FILE.csv --ledger {ledger}`",
            count=len(missing),
            ids=tuple(missing[:MOST_IDS]),
        )
        for ledger, missing in sorted(snapshot.unmapped.items())
        if missing
    ]


def parent_of_wrong_level(snapshot: HealthSnapshot) -> list[Finding]:
    """A parent is always of a higher level; another one is ignored."""
    return warning(
        snapshot.wrong_parents,
        "parent_of_wrong_level",
        "debtor",
        "billto nodes name a parent that is not of a higher level; it is ignored",
        "fix the hierarchy in the ATS",
    )


def parent_unknown(snapshot: HealthSnapshot) -> list[Finding]:
    """A parent may be unknown for a while; until it comes its Account Name can't win."""
    return warning(
        snapshot.unknown_parents,
        "parent_unknown",
        "debtor",
        "billto nodes name a parent that was never sent, and have no Account Name of their own",
        "let the ATS publish the parent on billto-changed",
    )


def one_name_two_addresses(snapshot: HealthSnapshot) -> list[Finding]:
    """Two nodes with one Account Name are one debtor; the document shows the details of the one with the lowest id."""
    return warning(
        counted_ids(snapshot.two_addresses),
        "one_name_two_addresses",
        "debtor",
        "Account Names stand on nodes with different names, addresses or tax ids; documents show those of the node with the lowest id",
        "make the details equal in the ATS, or give the debtors names of their own",
    )


def held_documents(snapshot: HealthSnapshot) -> list[Finding]:
    """What is held is not billed; by code, so that one fix releases many."""
    return [
        Finding(
            severity="warning",
            code="held_documents",
            about="document",
            count=these.count,
            ids=these.ids,
            message=f"{counted(these.count, 'document')} held: {code}",
            fix="`backoffice documents held` says what each waits for",
        )
        for code, these in sorted(snapshot.held.items())
        if these.count
    ]


def statements_in_flight(snapshot: HealthSnapshot) -> list[Finding]:
    """What is priced and not settled yet is not in the batch."""
    return warning(
        snapshot.in_flight,
        "statements_in_flight",
        "document",
        "documents have a newer statement that is not settled yet",
        "wait until `backoffice lag` is 0, then preview again",
    )


def stale_price_basis(snapshot: HealthSnapshot) -> list[Finding]:
    """A batch closed between pricing and settling; the document is priced again."""
    return warning(
        snapshot.stale,
        "stale_price_basis",
        "document",
        "documents are being priced again because a batch closed in between",
        "wait a few seconds; if it stays, see that fee_realizer runs: `backoffice status`",
    )


def dead_letters_open(snapshot: HealthSnapshot) -> list[Finding]:
    """A message that nobody could read may be a line that is missing."""
    return warning(
        snapshot.dead_letters,
        "dead_letters_open",
        "document",
        "messages to the invoicer could not be read and are open",
        "`backoffice dead-letters list`, then replay or discard them",
    )


def edit_meets_revision(snapshot: HealthSnapshot) -> list[Finding]:
    """An operator's edit and a later revision disagree; somebody must look."""
    return warning(
        snapshot.edit_meets_revision,
        "edit_meets_revision",
        "line",
        "lines are on hold because a later revision met an operator's edit",
        "look at the lines, edit them if need be, then release them",
    )


def rate_impact(snapshot: HealthSnapshot) -> list[Finding]:
    """Lines on documents keep their price when a rate changes, until an operator confirms it."""
    return warning(
        snapshot.rate_impact,
        "rate-impact",
        "document",
        "invoiced documents keep another bill rate than the one in force",
        "`backoffice rates impact` says what it would change, `backoffice rates confirm` bills it",
    )


def double_days(snapshot: HealthSnapshot) -> list[Finding]:
    """One worker on two requirements on one day may be right, but somebody should look."""
    return warning(
        snapshot.double_days,
        "worker_day_on_two_requirements",
        "line",
        "days of workers are on different requirements",
        "look at these timesheets; the lines are billed",
    )


def cut_off_in_future(snapshot: HealthSnapshot) -> list[Finding]:
    """What is Scheduled never goes in, whatever the cut-off."""
    if snapshot.cut_off <= snapshot.today:
        return []
    return [
        Finding(
            severity="warning",
            code="cut_off_in_future",
            about="batch",
            message=f"the cut-off {snapshot.cut_off} is after today, {snapshot.today}: lines that fall due until then are not in",
            fix="bill up to today, or wait",
        )
    ]


def snoozed_lines(snapshot: HealthSnapshot) -> list[Finding]:
    """On hold with a reason: out of every batch until released."""
    return info(
        snapshot.snoozed,
        "snoozed_lines",
        "line",
        "lines are snoozed",
        "`backoffice pay-lines release` ends a snooze",
    )


def very_late_lines(snapshot: HealthSnapshot) -> list[Finding]:
    """Late work is billed, but somebody may ask."""
    return info(
        snapshot.very_late,
        "very_late_lines",
        "line",
        f"lines in the batch are of work more than {VERY_LATE_DAYS} days before the cut-off",
        "nothing to do",
    )


def debtor_in_two_currencies(snapshot: HealthSnapshot) -> list[Finding]:
    """One document has one currency: the debtor gets two."""
    return info(
        counted_ids(snapshot.two_currencies),
        "debtor_in_two_currencies",
        "debtor",
        "debtors get documents in more than one currency",
        "nothing to do",
    )


def zero_total(snapshot: HealthSnapshot) -> list[Finding]:
    """Lines that come to exactly zero stay open and join the next batch."""
    return info(
        counted_ids(snapshot.zero_groups),
        "zero_total",
        "debtor",
        "groups of lines come to zero and stay open",
        "nothing to do; they join the next batch",
    )


def nodes_without_lines(snapshot: HealthSnapshot) -> list[Finding]:
    """Nodes that nobody works for need no Account Name; they are only counted."""
    return info(
        CountedIds(snapshot.idle_nodes),
        "nodes_without_lines",
        "debtor",
        "billto nodes without open lines have no Account Name",
        "nothing to do",
    )


def nothing_to_bill(snapshot: HealthSnapshot) -> list[Finding]:
    """An empty batch is no error."""
    if snapshot.documents:
        return []
    return [
        Finding(
            severity="info",
            code="nothing_to_bill",
            about="batch",
            message=f"there is nothing to bill for {snapshot.company.billing_company} up to {snapshot.cut_off}",
            fix="`backoffice why-not DOCUMENT` says why a document is not in",
        )
    ]


RULES: tuple[Callable[[HealthSnapshot], list[Finding]], ...] = (
    company_disabled,
    default_time_group_unknown,
    debtors_parked,
    debtors_wait,
    no_account_name,
    unknown_node,
    no_tax_rate,
    seller_details_missing,
    number_outgrows_width,
    ledger_not_well,
    ledger_mapping_missing,
    parent_of_wrong_level,
    parent_unknown,
    one_name_two_addresses,
    held_documents,
    statements_in_flight,
    stale_price_basis,
    dead_letters_open,
    edit_meets_revision,
    rate_impact,
    double_days,
    cut_off_in_future,
    snoozed_lines,
    very_late_lines,
    debtor_in_two_currencies,
    zero_total,
    nodes_without_lines,
    nothing_to_bill,
)


def findings(snapshot: HealthSnapshot) -> list[Finding]:
    """Everything that the rules find, errors first."""
    found = [finding for rule in RULES for finding in rule(snapshot)]
    return sorted(found, key=lambda finding: ("error", "warning", "info").index(finding.severity))


def refusal(found: Sequence[Finding]) -> Finding | None:
    """The finding that refuses the batch: an error about the billing company."""
    return next(
        (
            finding
            for finding in found
            if finding.severity == "error" and finding.about == "billing_company"
        ),
        None,
    )
