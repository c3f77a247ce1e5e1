"""Seeds an empty Tryton: a company, a chart of accounts, a fiscal year with sequences, a tax of
10 %. Run by Tryton's own Python.

`python tryton_seed.py CONFIGURATION DATABASE`: prints what was made as JSON.
"""

import datetime
import json
import sys
from decimal import Decimal

from proteus import Model, config
from trytond.modules.account.tests.tools import (
    create_chart,
    create_fiscalyear,
    create_tax,
    get_accounts,
)
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
from trytond.modules.company.tests.tools import create_company, get_company

FIRST, LAST = datetime.date(2026, 1, 1), datetime.date(2026, 12, 31)


def main(configuration: str, database: str) -> None:
    """Makes it all."""
    config.set_trytond(database, config_file=configuration)
    create_company()
    company = get_company()
    create_chart(company)
    year = set_fiscalyear_invoice_sequences(create_fiscalyear(company, (FIRST, LAST)))
    year.click("create_period")
    accounts = get_accounts(company)
    tax = create_tax(Decimal("0.1"), company)
    tax.name = tax.description = "VAT 10"
    tax.save()
    sequence = year.invoice_sequences[0].out_invoice_sequence
    sequence.prefix = "SI-"
    sequence.save()
    Model.get("party.party")(name="No one").save()
    print(
        json.dumps(
            {
                "company": company.party.name,
                "revenue": accounts["revenue"].code or accounts["revenue"].name,
                "tax": tax.name,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
