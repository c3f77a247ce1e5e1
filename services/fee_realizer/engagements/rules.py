"""An engagement as pricing reads it, and the placements that lead to it."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

from shared.events.ats import EngagementChanged, EngagementTerms
from shared.events.field_types import FIRST_DATE
from shared.events.realizations import Side

NO_TERMS = EngagementTerms(from_date=FIRST_DATE)


class PlacedEngagement(NamedTuple):
    """The engagement of a placement: the one that it names (`named`), or else its own id."""

    placement_id: str
    requirement_id: str
    worker_id: str
    start_date: date
    end_date: date | None
    engagement_id: str
    named: bool

    def covers(self, day: date) -> bool:
        """Return whether the placement is in force on a day; its end date is the last one."""
        return self.start_date <= day and (self.end_date is None or day <= self.end_date)


@dataclass(frozen=True)
class EngagementState:
    """An engagement in its newest revision; `event` is None while the ATS has not sent it."""

    engagement_id: str
    event: EngagementChanged | None = None

    @cached_property
    def _versions(self) -> list[EngagementTerms]:
        terms = self.event.terms if self.event else ()
        return sorted(terms, key=lambda each: each.from_date)

    def terms_on(self, day: date) -> EngagementTerms:
        """Return the terms with the latest from-date up to a day; none: no option, no filter."""
        at = bisect_right(self._versions, day, key=lambda each: each.from_date)
        return self._versions[at - 1] if at else NO_TERMS

    def line_fields(self, service_to: date, side: Side = "client") -> dict[str, Any]:
        """Return the engagement as a line has it, with JSON values: the fields that are given.

        `side`: whether the line bills the client or pays the supplier.
        """
        event, terms = self.event, self.terms_on(service_to)
        if event is None:
            return {"engagement_id": self.engagement_id}
        fields = {
            "supplier_id": event.supplier_id,
            "client_country": event.client_country,
            "location": event.location,
            "department": event.department,
            "invoice_option": terms.invoice_option if side == "client" else terms.supplier_option,
            "billing_filter": list(terms.billing_filter),
            "needs_transfer": terms.needs_transfer,
            "custom": {name: event.custom[name] for name in sorted(event.custom)},
            "side": side if side != "client" else "",
        }
        given = {name: value for name, value in fields.items() if value}
        return {"engagement_id": self.engagement_id, "request_type": event.request_type} | given
