"""The health check: a table of rules over a snapshot of what a batch would take.

An error about a line excludes the line, about a debtor parks the debtor, and about the billing
company refuses the batch. A warning or an info stops nothing. Each finding names the first ids and
what fixes it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from services.invoicer.batches.rules.health_snapshot import NONE, CountedIds, HealthSnapshot
from services.invoicer.batches.rules.ledgers import relevant_connections
from services.invoicer.batches.rules.option_findings import OPTION_FINDINGS
from services.invoicer.debtors.rules.account_names import spelled
from services.invoicer.invoices.rules.numbers import exceeds_width, format_number
from shared.events.billing import Finding
from shared.terms import counted, duration

VERY_LATE = timedelta(days=60)
SEVERITIES = ("error", "warning", "info")


class Match(NamedTuple):
    """What one finding is about, and the values that its message and fix name."""

    subjects: CountedIds
    values: Mapping[str, object] = {}


def _any(subjects: CountedIds, **values: object) -> list[Match]:
    """Return one match, if there are any subjects."""
    return [Match(subjects, values)] if subjects.count else []


def _one_if(condition: bool, subject: str = "", **values: object) -> list[Match]:
    """Return one match about one subject, if the condition is true."""
    return [Match(CountedIds(1, (subject,) if subject else ()), values)] if condition else []


def _by_cause(causes: Mapping[str, str]) -> list[Match]:
    """Return one match for each cause, about all debtors that have it."""
    debtors: dict[str, list[str]] = {}
    for name, cause in sorted(causes.items()):
        debtors.setdefault(cause, []).append(name)
    return [
        Match(
            CountedIds.all(names),
            {"cause": cause, "who": names[0] if len(names) == 1 else counted(len(names), "debtor")},
        )
        for cause, names in debtors.items()
    ]


def _seller_details_missing(snapshot: HealthSnapshot) -> list[Match]:
    fields = ("name", "address", "tax_id", "bank")
    missing = [name.replace("_", " ") for name in fields if not getattr(snapshot.company, name)]
    company = snapshot.company.billing_company
    return _one_if(bool(missing), company, missing=", ".join(missing))


def _number_outgrows_width(snapshot: HealthSnapshot) -> list[Match]:
    series, documents = snapshot.series, snapshot.documents
    last = series.next_number + documents - 1
    exceeds = exceeds_width(series, documents)
    written = format_number(series.prefix, series.width, last)
    return _one_if(exceeds, last=written, width=series.width, series=series.words)


def _retainers(snapshot: HealthSnapshot, code: str) -> list[Match]:
    """Return one match about the retainers of which something is left to decide, with how much."""
    left = snapshot.retainers.get(code, {})
    first = [f"{name} {amount}" for name, amount in sorted(left.items())][:5]
    return _any(CountedIds.all(sorted(left)), left=", ".join(first))


class HealthRule(NamedTuple):
    """A rule: what it finds and how it reports it.

    Without `find` the rule reports what the snapshot counts under its code. `noun` names what the
    finding counts. `message` and `fix` may name `{counted}` (the count with its noun), `{ids}` (the
    first five), `{company}`, `{cut_off}`, `{today}` and values of the match.
    """

    code: str
    severity: str
    about: str
    noun: str
    message: str
    fix: str
    find: Callable[[HealthSnapshot], list[Match]] | None = None


# fmt: off
RULES = (
    HealthRule(
        "company_disabled", "error", "billing_company", "company",
        "billing company {company} is disabled and bills nothing",
        "enable it: `backoffice billing-company set {company} --enable`",
        find=lambda snapshot: _one_if(
            not snapshot.company.enabled, snapshot.company.billing_company
        ),
    ),
    # Otherwise a missing default would bill every debtor by a cycle that was not meant.
    HealthRule(
        "default_time_group_unknown", "error", "billing_company", "time group",
        "the default time group '{ids}' of {company} does not exist",
        "set a default time group that exists, or remove the default",
        find=lambda snapshot: _one_if(
            snapshot.company.default_time_group not in {"", *snapshot.known_time_groups},
            snapshot.company.default_time_group,
        ),
    ),
    HealthRule(
        "debtor_parked", "error", "debtor", "debtor",
        "{who}: {cause}",
        "end the cause, then `backoffice batch retry-parked`; or let a later batch bill the lines",
        find=lambda snapshot: _by_cause(snapshot.parked),
    ),
    HealthRule(
        "waits_for_timesheets", "warning", "debtor", "debtor",
        "{who}: {cause}",
        "wait for the timesheets, or bill what is in: `--missing-timesheets bill --reason TEXT`",
        find=lambda snapshot: _by_cause(snapshot.waiting),
    ),
    HealthRule(
        "no_account_name", "error", "line", "line",
        "{counted} of {nodes} without an Account Name on their path: {ids}",
        "give the node, its client or its company an Account Name in the ATS;"
        " the next batch bills the lines",
    ),
    HealthRule(
        "unknown_node", "error", "line", "line",
        "{counted} of {nodes} that the ATS has not sent: {ids}",
        "let the ATS publish these nodes on billto-changed",
    ),
    HealthRule(
        "no_tax_rate", "error", "line", "line",
        "{counted} with a tax code that has no rate on the effective date: {ids}",
        "add the rate: `backoffice billing-company set {company} --tax CODE=PERCENT@FROM_DATE`",
    ),
    *(HealthRule(*row) for row in OPTION_FINDINGS),
    HealthRule(
        "seller_details_missing", "warning", "billing_company", "company",
        "documents of {company} will not show its {missing}",
        "add them: `backoffice billing-company set {company} --name ... --address ..."
        " --tax-id ... --bank ...`",
        find=_seller_details_missing,
    ),
    # A longer number is valid, but other programs sort it wrongly.
    HealthRule(
        "number_outgrows_width", "warning", "batch", "number",
        "the last number would be {last}, more than the {width} digits of {series}",
        "widen the series: `backoffice billing-company set {company} --series PREFIX:WIDTH`",
        find=_number_outgrows_width,
    ),
    # Documents wait until the connection works again: better known before they are numbered.
    HealthRule(
        "ledger_not_well", "warning", "billing_company", "ledger",
        "documents of {company} cannot be delivered to {ids} now: {problem}",
        "`backoffice ledger status {ids}`, then `backoffice ledger connect` or"
        " `backoffice ledger test {ids}`",
        find=lambda snapshot: [
            match
            for each in relevant_connections(snapshot.ledgers)
            for match in _one_if(bool(each.problem), each.ledger, problem=each.problem)
        ],
    ),
    # Otherwise the batch would close documents that the delivery then refuses.
    HealthRule(
        "ledger_mapping_missing", "error", "billing_company", "code",
        "the mapping of {ledger} lacks {counted} of this batch: {ids}",
        "add them: `backoffice ledger map import FILE.csv --ledger {ledger}`; an account for all:"
        " `backoffice billing-company set {company} --default-account CODE`; or end the connection:"
        " `backoffice ledger disconnect {ledger}`",
        find=lambda snapshot: [
            match
            for ledger, codes in sorted(snapshot.unmapped.items())
            for match in _any(CountedIds.all(codes), ledger=ledger)
        ],
    ),
    HealthRule(
        "ledger_code_unusable", "error", "billing_company", "code",
        "{ledger} would refuse documents of this batch: {problems}",
        "correct the mapping (`backoffice ledger map check {ledger}`), or the ledger and"
        " `backoffice ledger test {ledger}`",
        find=lambda snapshot: [
            match
            for ledger, problems in sorted(snapshot.unusable.items())
            for match in _any(
                CountedIds.all(problems), ledger=ledger, problems="; ".join(problems[:5])
            )
        ],
    ),
    # The ledger computes the tax itself; by another basis it may differ by a cent.
    HealthRule(
        "ledger_tax_basis", "warning", "billing_company", "ledger",
        "{ids} computes tax per {needed} and {company} per {basis}:"
        " totals may differ by a cent, and the ledger's documents are then refused",
        "`backoffice billing-company set {company} --tax-basis {needed}`",
        find=lambda snapshot: [
            match
            for each in relevant_connections(snapshot.ledgers)
            for match in _one_if(
                each.tax_basis not in ("any", snapshot.company.tax_basis),
                each.ledger,
                needed=each.tax_basis,
                basis=snapshot.company.tax_basis,
            )
        ],
    ),
    HealthRule(
        "parent_of_wrong_level", "warning", "debtor", "billto node",
        "{counted} with a parent that is not of a higher level; such a parent is ignored",
        "correct the hierarchy in the ATS",
    ),
    HealthRule(
        "parent_unknown", "warning", "debtor", "billto node",
        "{counted} without an Account Name, under a parent that the ATS has not sent",
        "let the ATS publish the parent on billto-changed",
    ),
    HealthRule(
        "one_name_two_addresses", "warning", "debtor", "Account Name",
        "{counted} on nodes with different names, addresses or tax ids;"
        " documents show those of the node with the lowest id{details}",
        "make the details equal in the ATS, or give each debtor its own Account Name",
        find=lambda snapshot: _any(
            snapshot.counts.get("one_name_two_addresses", NONE),
            details="".join(f"; {each}" for each in snapshot.details),
        ),
    ),
    # Otherwise the lines of one customer go on two invoices, and no one can see why.
    HealthRule(
        "account_names_look_alike", "warning", "debtor", "Account Name",
        "{counted} that people cannot tell apart are different debtors: {names}",
        "if they are one debtor, make the names equal in the ATS; else change one of them",
        find=lambda snapshot: [
            match
            for group in snapshot.look_alikes
            for match in _any(CountedIds.all(group), names=", ".join(map(spelled, group[:3])))
        ],
    ),
    HealthRule(
        "held_documents", "warning", "document", "document",
        "{counted} held: {code}",
        "see what each waits for: `backoffice documents held`",
        find=lambda snapshot: [
            match
            for code, documents in sorted(snapshot.held.items())
            for match in _any(documents, code=code)
        ],
    ),
    HealthRule(
        "realizations_in_flight", "warning", "document", "document",
        "{counted} with a newer realization that is not settled yet",
        "wait until `backoffice lag` is 0, then preview again",
    ),
    # Otherwise a batch would bill prices that are known to be wrong.
    HealthRule(
        "to_be_priced", "warning", "document", "document",
        "{counted} to be priced again, the oldest for {age}: no batch takes their lines",
        "wait a few seconds; if it stays, check that fee_realizer runs: `backoffice status`",
        find=lambda snapshot: _any(
            snapshot.counts.get("to_be_priced", NONE), age=duration(snapshot.waits_for_price)
        ),
    ),
    HealthRule(
        "leaver", "warning", "document", "placement",
        "{counted} with an end date before an instalment that falls due: {ids}",
        "agree with the client whether it is owed; to keep it out of batches:"
        " `backoffice pay-lines snooze LINE --reason TEXT`",
    ),
    HealthRule(
        "retainer_exceeds_fee", "warning", "document", "retainer",
        "{counted} of which fees take less than the whole: {left}",
        "credit the rest or keep it: `backoffice retainers credit REQUIREMENT --reason TEXT`, or"
        " `backoffice retainers keep REQUIREMENT --reason TEXT`",
        find=lambda snapshot: _retainers(snapshot, "retainer_exceeds_fee"),
    ),
    HealthRule(
        "retainer_without_placement", "warning", "document", "retainer",
        "{counted} of requirements that are cancelled or closed without a placement: {left}",
        "agree with the client; then `backoffice retainers credit REQUIREMENT --reason TEXT`, or"
        " `backoffice retainers keep REQUIREMENT --reason TEXT`",
        find=lambda snapshot: _retainers(snapshot, "retainer_without_placement"),
    ),
    HealthRule(
        "dead_letters_open", "warning", "document", "message",
        "{counted} that the invoicer could not read: lines may be missing",
        "`backoffice dead-letters list`, then replay or discard them",
    ),
    HealthRule(
        "edit_meets_revision", "warning", "line", "line",
        "{counted} on hold, because a later revision changed what an operator had edited",
        "check the lines, edit them if needed, then release them",
    ),
    HealthRule(
        "rate_impact", "warning", "document", "document",
        "{counted} invoiced at another price than the one in force",
        "see the difference: `backoffice rates impact`; bill it: `backoffice rates confirm`; of"
        " assignments: `backoffice assignments list` and `confirm`",
    ),
    HealthRule(
        "worker_day_on_two_requirements", "warning", "line", "worker-day",
        "{counted} on more than one requirement",
        "check these timesheets; the batch bills the lines",
    ),
    HealthRule(
        "cut_off_in_future", "warning", "batch", "cut-off",
        "the cut-off {cut_off} is after today, {today}: lines that fall due until then are not in",
        "bill up to today, or wait",
        find=lambda snapshot: _one_if(snapshot.cut_off > snapshot.today),
    ),
    HealthRule(
        "snoozed_lines", "info", "line", "line",
        "{counted} snoozed",
        "to end a snooze: `backoffice pay-lines release`",
    ),
    HealthRule(
        "very_late_lines", "info", "line", "line",
        f"{{counted}} in the batch of work more than {VERY_LATE.days} days before the cut-off",
        "nothing to do",
    ),
    HealthRule(
        "debtor_in_two_currencies", "info", "debtor", "debtor",
        "{counted} with documents in more than one currency",
        "nothing to do",
    ),
    HealthRule(
        "zero_total", "info", "debtor", "debtor",
        "{counted} with lines that come to zero and stay open",
        "nothing to do; the next batch takes these lines as well",
    ),
    HealthRule(
        "nodes_without_lines", "info", "debtor", "billto node",
        "{counted} without open lines and without an Account Name",
        "nothing to do",
    ),
    HealthRule(
        "nothing_to_bill", "info", "batch", "batch",
        "nothing to bill for {company} up to {cut_off}",
        "see why a document is not in: `backoffice why-not DOCUMENT`",
        find=lambda snapshot: _one_if(not snapshot.documents),
    ),
)
# fmt: on


def _matches(rule: HealthRule, snapshot: HealthSnapshot) -> list[Match]:
    if rule.find:
        return rule.find(snapshot)
    lines = snapshot.lines.get(rule.code)
    if not lines:
        return _any(snapshot.counts.get(rule.code, NONE))
    subjects = CountedIds(sum(lines.values()), CountedIds.all(sorted(lines)).ids)
    return _any(subjects, nodes=counted(len(lines), "billto node"))


def _finding(rule: HealthRule, match: Match, snapshot: HealthSnapshot) -> Finding:
    names: dict[str, Any] = {
        "counted": counted(match.subjects.count, rule.noun),
        "ids": ", ".join(match.subjects.ids[:5]),
        "company": snapshot.company.billing_company,
        "cut_off": snapshot.cut_off,
        "today": snapshot.today,
        **match.values,
    }
    return Finding.model_validate(
        {
            "severity": rule.severity,
            "code": rule.code,
            "about": rule.about,
            "message": rule.message.format(**names),
            "fix": rule.fix.format(**names),
            "count": match.subjects.count,
            "ids": match.subjects.ids,
        }
    )


def findings(snapshot: HealthSnapshot) -> list[Finding]:
    """Return everything that the rules find, errors first."""
    found = [
        _finding(rule, match, snapshot) for rule in RULES for match in _matches(rule, snapshot)
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def refusal(found: Sequence[Finding]) -> Finding | None:
    """Return the finding that refuses the batch: an error about the billing company."""
    return next(
        (each for each in found if (each.severity, each.about) == ("error", "billing_company")),
        None,
    )
