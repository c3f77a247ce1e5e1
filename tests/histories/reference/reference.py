"""The whole reference: documents are priced, realizations settled, batches closed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from tests.histories.reference.billing import Billing
from tests.histories.reference.ledger import Edit, Ledger, Open, Page, settle
from tests.histories.reference.pricing import Pricing
from tests.histories.reference.values import NOTHING, Document, Pair


@dataclass
class Reference:
    """The expected state. `deliver` settles realizations in the order of the history."""

    today: date
    ledger: Ledger = field(default_factory=Ledger)
    pricing: Pricing = field(init=False)
    billing: Billing = field(init=False)

    def __post_init__(self) -> None:
        self.pricing = Pricing(self.ledger.cited)
        self.billing = Billing(self.ledger, self.today, unpriced=self.unpriced)

    def day_comes(self, today: date) -> None:
        """Another day."""
        self.today = self.billing.today = today

    def deliver(self, realizations: Iterable[tuple[Document, int]]) -> None:
        """One polled batch of realizations at the invoicer, per document in their order."""
        for document, number in sorted(realizations):
            self.ledger.consume(document, self.pricing.papers[document].realizations[number - 1])

    def stale(self) -> list[Document]:
        """Documents whose latest realization was not settled, because a batch closed in between."""
        return [
            document
            for document, page in self.ledger.pages.items()
            if page.stale == len(self.pricing.papers[document].realizations)
        ]

    def uncited(self) -> list[Document]:
        """Documents of which credits took lines off the documents whose rates changed since."""
        return [
            document
            for document, page in self.ledger.pages.items()
            if page.settled is not None
            and page.settled.number == len(self.pricing.papers[document].realizations)
            and self._has_other_rates(page)
        ]

    def _has_other_rates(self, page: Page) -> bool:
        return (
            page.uncited
            and page.stale is None
            and page.settled is not None
            and any(
                book != self.pricing.newest_book(of)
                and of not in page.cited()
                and of in page.opened_again()
                for of, book in page.settled.basis.items()
            )
        )

    def unpriced(self, document: Document) -> bool:
        """Whether a document waits to be priced again, so that no batch takes its lines."""
        page = self.ledger.pages[document]
        return page.stale is not None or self._has_other_rates(page)

    def price_stale(self) -> None:
        """Price these again, from the rates that the invoiced lines cite, or else the newest."""
        for document in [*self.stale(), *self.uncited()]:
            self.pricing.price(document, stale=True)

    def edit(self, one: Open, after: Pair) -> None:
        """An operator changes an open line: the difference belongs to its document and key."""
        page = self.ledger.pages[one.document]
        assert page.settled is not None
        said = next(
            (line.worth for line in page.settled.lines if line.key == one.line.key), NOTHING
        )
        before = page.edits.get(one.line.key, Edit(NOTHING, NOTHING))
        page.edits[one.line.key] = Edit(before.difference + after - one.worth, said)
        settle(one.document, page)
