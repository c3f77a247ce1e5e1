"""Snoozes and edits through later realizations, and which realizations settle."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from services.invoicer.lines.rules import NOTHING, PayLine, QuantityAmount, value_of
from services.invoicer.settlement.rules.edits import edited
from services.invoicer.settlement.rules.realizations import (
    SettledDocument,
    has_ended_citation,
    is_stale,
    settle_latest,
    sort_realizations,
)
from services.invoicer.settlement.rules.settlement import first_lines
from services.invoicer.settlement.rules.snoozes import (
    CarriedChanges,
    Edit,
    Snooze,
    carry_changes,
    snooze_group,
)
from shared.errors import Refused
from shared.events.realizations import PayLinesRealized, RealizationLine
from tests.builders import product_key, product_line, realization, realization_line, time_key
from tests.twins import on_hold, status_of

AT = datetime(2026, 3, 10, tzinfo=UTC)
SNOOZED = Snooze("snoozed", "client asks", "pat", None, AT)
REG, OT = time_key(), time_key(time_type="OT", version="2020-01-01@75")
DEAR = realization_line("40", "55.00")


def carried(
    before: PayLinesRealized,
    *later: tuple[RealizationLine, ...],
    **operator_changes: dict[str, object],
) -> CarriedChanges:
    """Carries changes through realizations 2, 3 ... of a document after `before`."""
    realizations = [realization("T-1", number, *lines) for number, lines in enumerate(later, 2)]
    return carry_changes(
        before,
        realizations,
        operator_changes.get("snoozes", {}),
        operator_changes.get("edits", {}),
        AT,
    )  # type: ignore[arg-type]


FIRST = realization("T-1", 1, realization_line("40"))


# -- snoozes


def test_a_snooze_stays_with_its_key() -> None:
    """A line that replaces a snoozed one, and a further debit of that key,
    inherit it.
    """
    assert carried(
        FIRST, (realization_line("38"),), (realization_line("41"),), snoozes={REG: SNOOZED}
    ).snoozes == {REG: SNOOZED}


def test_a_snooze_passes_to_the_new_key_of_the_same_time_type() -> None:
    """The snooze of a key without value passes to new keys of its time type.

    The keys must have the same requirement and time type (re-pricing).
    """
    after = carried(
        FIRST, (DEAR, realization_line("5", "75.00", time_type="OT")), snoozes={REG: SNOOZED}
    )
    assert after.snoozes == {DEAR.line_key: SNOOZED}


def test_a_snooze_passes_to_every_heir() -> None:
    """Another PO: the hours of the snoozed key are split over two new ones, both
    are on hold.
    """
    successors = (
        realization_line("20", po_number="PO-1"),
        realization_line("20", po_number="PO-2"),
    )
    assert set(carried(FIRST, successors, snoozes={REG: SNOOZED}).snoozes) == {
        line.line_key for line in successors
    }


def test_a_snooze_does_not_pass_to_a_key_that_was_there() -> None:
    """Only to keys that are new in the realization."""
    before = realization("T-1", 1, realization_line("40"), DEAR)
    assert carried(before, (DEAR,), snoozes={REG: SNOOZED}).snoozes == {REG: SNOOZED}


def test_a_snooze_waits_for_its_key_to_come_back() -> None:
    """A snooze ends only by release or its until-date.

    A line that is cancelled and entered again is on hold again.
    """
    assert carried(FIRST, (), (realization_line("40"),), snoozes={REG: SNOOZED}).snoozes == {
        REG: SNOOZED
    }
    assert carried(FIRST, (), (DEAR,), snoozes={REG: SNOOZED}).snoozes == {DEAR.line_key: SNOOZED}


def test_a_snooze_without_heir_keeps_no_other_from_passing() -> None:
    """Overtime is not there again; the snooze of regular time passes to its new price."""
    after = carried(BOTH, (DEAR,), snoozes={OT: SNOOZED, REG: SNOOZED})
    assert set(after.snoozes) == {OT, DEAR.line_key}


def test_a_snooze_of_a_product_passes_by_catalog_item() -> None:
    """... or of the same catalog item."""
    before = realization("P-1", 1, product_line("10000.00"))
    successor = product_line("10000.00", line_key=product_key("F-2"))
    after = carry_changes(
        before, [realization("P-1", 2, successor)], {product_key(): SNOOZED}, {}, AT
    )
    assert set(after.snoozes) == {successor.line_key}


def test_following_does_not_depend_on_the_order_of_realizations() -> None:
    """One batch or three, the same holds come out."""
    steps = [(DEAR,), (), (realization_line("38"),)]
    at_once = carried(FIRST, *steps, snoozes={REG: SNOOZED}).snoozes
    snoozes: dict[str, Snooze] = {REG: SNOOZED}
    before = FIRST
    for number, lines in enumerate(steps, 2):
        now = realization("T-1", number, *lines)
        snoozes, before = dict(carry_changes(before, [now], snoozes, {}, AT).snoozes), now
    assert at_once == snoozes == {REG: SNOOZED}


def test_of_two_snoozes_the_longer_one_lasts() -> None:
    """A heir that is on hold already keeps the hold that ends later."""
    soon, late = (Snooze("snoozed", "r", "pat", date(2026, 4, day), AT) for day in (1, 9))
    before = realization("T-1", 1, realization_line("40"), realization_line("1", "51.00"))
    snoozes = {REG: late, realization_line("1", "51.00").line_key: soon}
    assert carried(before, (DEAR,), snoozes=snoozes).snoozes[DEAR.line_key].until_date == date(
        2026, 4, 9
    )


@pytest.mark.parametrize("first_is_open", [True, False])
def test_a_hold_until_released_outlasts_one_with_a_date(first_is_open: bool) -> None:
    """Of two holds that meet on one heir the one without an end stays."""
    until_released, dated = Snooze("snoozed", "r", "pat", None, AT), SNOOZED
    dated = dated._replace(until_date=date(2026, 4, 9))
    other = realization_line("1", "51.00").line_key
    before = realization("T-1", 1, realization_line("40"), realization_line("1", "51.00"))
    pair = (until_released, dated) if first_is_open else (dated, until_released)
    after = carried(before, (DEAR,), snoozes=dict(zip((REG, other), pair, strict=True)))
    assert after.snoozes[DEAR.line_key].until_date is None


# -- edits


def edit(quantity: str, amount: str, seen: RealizationLine | None = None) -> dict[str, object]:
    """An edit of the REG line, made when its value was 40 h."""
    return {
        REG: Edit(
            QuantityAmount(Decimal(quantity), Decimal(amount)),
            value_of(seen or realization_line("40")),
        )
    }


def test_an_edit_is_followed_by_a_revision() -> None:
    """A later revision that touches the same key holds the line as
    edit_meets_revision if the results differ.
    """
    after = carried(FIRST, (realization_line("41"),), edits=edit("-2", "-100"))
    assert after.snoozes[REG].code == "edit_meets_revision"
    assert after.cancelled_edits == []


def test_an_edit_is_unchanged_by_a_realization_of_other_lines() -> None:
    """... that touches the same key."""
    after = carried(FIRST, (realization_line("40"), DEAR), edits=edit("-2", "-100"))
    assert after.snoozes == {}
    assert after.edits == edit("-2", "-100"), "the edit is still in force"


def test_an_edit_after_withheld_is_compared_with_what_it_saw() -> None:
    """Withheld and realized again with the same value: no revision met the edit."""
    withheld = realization("T-1", 2, realization_kind="withheld")
    same = carry_changes(
        FIRST, [withheld, realization("T-1", 3, realization_line("40"))], {}, edit("-2", "-100"), AT
    )  # type: ignore[arg-type]
    other = carry_changes(
        FIRST, [withheld, realization("T-1", 3, realization_line("39"))], {}, edit("-2", "-100"), AT
    )  # type: ignore[arg-type]
    assert (set(same.snoozes), set(other.snoozes)) == (set(), {REG})


def test_an_edit_of_a_key_that_has_gone_is_set_aside_and_its_heir_is_held() -> None:
    """An edit with nothing left to change is cancelled.

    The lines that replace the key are on hold until an operator releases them.
    """
    after = carried(FIRST, (DEAR,), edits=edit("-2", "-100"))
    assert [(edit.line_key, edit.difference) for edit in after.cancelled_edits] == [
        (REG, QuantityAmount(Decimal(2), Decimal(100)))
    ]
    assert after.snoozes[DEAR.line_key].code == "edit_meets_revision"
    assert not after.edits[REG].difference


def test_an_edit_never_makes_a_value_negative() -> None:
    """30 h taken off 40 h, revised to 20 h: the 20 h stay, on hold."""
    after = carried(FIRST, (realization_line("20"),), edits=edit("-30", "-1500"))
    assert (len(after.cancelled_edits), after.snoozes[REG].code) == (1, "edit_meets_revision")


def test_the_reason_of_an_operators_snooze_stays_readable() -> None:
    """Who did it and why is never lost."""
    after = carried(
        FIRST, (realization_line("41"),), snoozes={REG: SNOOZED}, edits=edit("-2", "-100")
    )
    assert "pat: client asks" in after.snoozes[REG].reason


@pytest.mark.parametrize(
    ("quantity", "amount", "code"),
    [
        ("-1", None, "below_zero"),
        (None, "-5", "below_zero"),
        (None, "10.005", "not_a_whole_unit"),
        ("40", None, "nothing_changes"),
    ],
)
def test_what_an_edit_may_not_be(quantity: str | None, amount: str | None, code: str) -> None:
    """No line below zero, no part of a cent, no edit that changes nothing."""
    with pytest.raises(Refused) as refused:
        edited(realization_line("40"), quantity and Decimal(quantity), amount and Decimal(amount))  # type: ignore[arg-type]
    assert refused.value.code == code


def test_an_edit_may_go_down_to_zero() -> None:
    """No hours at all, half a dollar, or no money."""
    line = realization_line("40")
    assert edited(line, Decimal(0), None) == QuantityAmount(Decimal(-40), Decimal(-2000))
    assert edited(line, None, Decimal(0)) == QuantityAmount(Decimal(0), Decimal(-2000))
    assert edited(line, Decimal("0.5"), None) == QuantityAmount(Decimal("-39.5"), Decimal(-1975))


def test_an_edited_quantity_is_priced_and_rounded_once() -> None:
    """1.5 h × 35.0350 = 52.5525 → 52.55; the difference to 70.07 is kept."""
    line = realization_line("2", "35.0350", amount="70.07")
    assert edited(line, Decimal("1.5"), None) == QuantityAmount(Decimal("-0.5"), Decimal("-17.52"))
    assert edited(line, None, Decimal("60.00")) == QuantityAmount(Decimal(0), Decimal("-10.07"))


@pytest.mark.parametrize(
    ("value", "difference", "cancelled"),
    [
        (("40", "2000"), ("-2", "-100"), False),
        (("40", "2000"), ("-40", "-2000"), False),
        (("40", "2000"), ("-41", "0"), True),
        (("40", "2000"), ("0", "-2001"), True),
        (("0.5", "25"), ("-0.1", "-5"), False),
        (("10", "0.5"), ("-1", "-0.05"), False),
        (("-1", "-100"), ("0", "50"), False),
        (("-1", "-100"), ("0", "150"), True),
        (("40", "0"), ("0", "-5"), True),
        (("40", "0"), ("0", "0.5"), False),
        (("40", "0"), ("-1", "0"), False),
        (("0", "100"), ("0", "-50"), False),
    ],
)
def test_an_edit_never_turns_a_sign(
    value: tuple[str, str], difference: tuple[str, str], cancelled: bool
) -> None:
    """Neither of the quantity nor of the money; down to zero it may go."""
    line = realization_line(value[0], amount=value[1])
    after = carried(realization("T-1", 1, line), (line,), edits=edit(*difference, seen=line))
    assert bool(after.cancelled_edits) is cancelled
    assert bool(after.snoozes) is cancelled
    if cancelled:
        assert "leaves less than the edit takes" in after.snoozes[REG].reason


OVERTIME = realization_line("5", "75.00", time_type="OT")
BOTH = realization("T-1", 1, realization_line("40"), OVERTIME)


@pytest.mark.parametrize("of_overtime", [("0", "0"), ("-1", "-75")])
def test_each_edit_is_judged_by_itself(of_overtime: tuple[str, str]) -> None:
    """The edit of overtime is released or untouched, that of regular time meets a revision."""
    overtime = Edit(QuantityAmount(*map(Decimal, of_overtime)), value_of(OVERTIME))
    edits = {OT: overtime, **edit("-2", "-100")}
    after = carried(BOTH, (realization_line("41"), OVERTIME), edits=edits)
    assert set(after.snoozes) == {REG}


def test_edits_of_keys_that_have_gone_are_cancelled_in_the_order_of_keys() -> None:
    """Whatever the order in which they are read."""
    overtime = Edit(QuantityAmount(Decimal(-1), Decimal(-75)), value_of(OVERTIME))
    after = carried(BOTH, (), edits={**edit("-2", "-100"), OT: overtime})
    assert [each.line_key for each in after.cancelled_edits] == [OT, REG]
    assert "no longer has this line" in after.snoozes[REG].reason


def test_a_revision_that_an_edit_has_met_holds_it_once() -> None:
    """Released by an operator, the line stays free while its value stays."""
    before = realization("T-1", 2, realization_line("41"))
    assert carried(before, (realization_line("41"),), edits=edit("-2", "-100")).snoozes == {}


# -- which statements settle


def test_a_realization_with_a_stale_price_basis_settles_nothing() -> None:
    """A realization with a stale price basis waits for a new price."""
    head = SettledDocument(1, FIRST.model_dump_json())
    newer = realization("T-1", 2, realization_line("38", rate_book=2))
    cited = {("REQ-1", "REG"): 1}
    assert sort_realizations(head, [newer], cited).stale_realization_no == 2
    assert sort_realizations(head, [newer], {}).settling == (newer,)
    again = realization("T-1", 3, realization_line("38", rate_book=1))
    assert sort_realizations(SettledDocument(1, "", 2), [newer, again], cited).settling == (again,)
    both = sort_realizations(head, [newer, again], cited)
    assert (both.settling, both.stale_realization_no) == ((again,), None)


def test_a_time_type_that_the_realization_does_not_price_cannot_be_stale() -> None:
    """A revision without overtime has no basis for overtime; its credit takes
    the invoiced price.
    """
    newer = realization("T-1", 2, realization_line("38"))
    found = sort_realizations(SettledDocument(1, ""), [newer], {("REQ-1", "OT"): 7})
    assert (found.settling, found.stale_realization_no) == ((newer,), None)


def test_the_higher_realization_wins() -> None:
    """The higher realization number wins, a repeat has no effect."""
    sent = [realization("T-1", number, realization_line("38")) for number in (1, 2, 3, 4)]
    assert sort_realizations(SettledDocument(3, ""), sent[:3], {}).settling == ()
    assert sort_realizations(SettledDocument(3, ""), sent, {}).settling == (sent[3],)


def test_any_stale_or_ended_price_basis_counts() -> None:
    """A revision of two requirements is stale if one is; a lower number is never waited for."""
    two = realization("T-1", 2, realization_line("38", rate_book=2), OVERTIME)
    assert is_stale(two, {("REQ-1", "REG"): 1, ("REQ-1", "OT"): 1})
    assert not is_stale(two, {("REQ-1", "REG"): 2, ("REQ-1", "OT"): 1})
    basis = [each.model_copy(update={"cited": each.time_type == "REG"}) for each in two.basis]
    cited = two.model_copy(update={"basis": tuple(basis)})
    assert has_ended_citation(cited, {})
    assert not has_ended_citation(cited, {("REQ-1", "REG"): 2})
    later = realization("T-1", 3, realization_line("38"))
    found = sort_realizations(SettledDocument(1, ""), [two, later], {})
    assert (found.settling, found.stale_realization_no) == ((two, later), None)
    assert [SettledDocument(0, "").handled_no, SettledDocument(1, "", 3).handled_no] == [0, 3]


def test_the_last_realization_settles_with_the_edits() -> None:
    """Those before it have no value of their own; a withheld one takes back what is open."""
    line, two = realization_line("40"), Edit(QuantityAmount(Decimal(-2), Decimal(-100)), NOTHING)
    carried_on = CarriedChanges({}, {REG: two}, [])
    realized = [FIRST, realization("T-1", 2, realization_line("39"))]
    (opened,) = settle_latest(realized, [], carried_on, {}).opened
    assert (opened.realized.quantity, opened.realized.amount) == (37, 1850)
    withheld = realization("T-1", 3, realization_kind="withheld")
    pay_line = PayLine(1, "open", line)
    assert settle_latest([*realized, withheld], [pay_line], carried_on, {}) == ((pay_line,), ())


def test_a_first_line_has_hours_or_money() -> None:
    """A line of neither is not opened."""
    lines = [
        realization_line(hours, amount=amount)
        for hours, amount in (("0", "0"), ("0", "5"), ("1", "0"), ("1", "5"))
    ]
    assert first_lines(lines) == lines[1:]


# -- status


TODAY = date(2026, 3, 8)


@pytest.mark.parametrize(
    ("effective", "held", "status"),
    [
        (date(2026, 3, 9), False, "Scheduled"),
        (date(2026, 3, 9), True, "Scheduled"),
        (TODAY, False, "Pending"),
        (date(2026, 3, 1), False, "Pending"),
        (TODAY, True, "Snoozed"),
    ],
)
def test_the_status_of_an_open_line(effective: date, held: bool, status: str) -> None:
    """Scheduled (in the future, snoozed or not), Pending (today or past),
    Snoozed (on hold).
    """
    assert status_of("open", effective, TODAY, held=held) == status
    assert status_of("invoiced", effective, TODAY, held=held) == "Invoiced"


def test_a_snooze_ends_on_its_day_and_never_holds_a_credit() -> None:
    """Out of every batch until released, or until its date; credit lines do not
    inherit it.
    """
    assert [on_hold(until, TODAY) for until in (None, date(2026, 3, 9), TODAY)] == [
        True,
        True,
        False,
    ]
    assert not on_hold(None, TODAY, is_credit=True)


def test_keys_of_one_group() -> None:
    """Requirement and time type, or the catalog item."""
    assert snooze_group(REG) == snooze_group(DEAR.line_key) != snooze_group(OT)
    assert snooze_group(product_key("F-1")) == snooze_group(product_key("F-2"))
    assert snooze_group(REG) != snooze_group(time_key("REQ-2"))
    with pytest.raises(ValueError, match="no kind"):
        snooze_group('["x","a","b"]')
