"""The CSV files that can be imported, by the name of their template."""

from collections.abc import Mapping

from services.console.importing.assignments import ASSIGNMENTS
from services.console.importing.catalog import CATALOG
from services.console.importing.charges import CHARGES
from services.console.importing.command_lines import Columns
from services.console.importing.opening_columns import OPENING_LINES, OPENING_NUMBERS
from services.console.importing.payments import PAYMENTS
from services.console.importing.placements import PLACEMENT_COLUMNS
from services.console.importing.rates import BILL_RATES, TAX_RATES
from services.console.importing.terms import TERMS
from services.console.importing.workflows import STEPS

FILES: Mapping[str, Columns] = {
    "catalog": CATALOG,
    "placements": PLACEMENT_COLUMNS,
    "debtors": TERMS,
    "tax": TAX_RATES,
    "rates": BILL_RATES,
    "opening-lines": OPENING_LINES,
    "opening-numbers": OPENING_NUMBERS,
    "charges": CHARGES,
    "assignments": ASSIGNMENTS,
    "payments": PAYMENTS,
    "workflow": STEPS,
}
