"""Who is who in the sample agency: billing companies, catalog, billto nodes, requirements,
people and the shape of their weeks.
"""

from dataclasses import dataclass
from typing import Any

ACTOR = "sample-agency"
US, NL = "harbor-us", "linden-nl"

BILLING_COMPANIES: tuple[dict[str, Any], ...] = (
    {
        "billing_company": US,
        "name": "Harbor & Linden Staffing, Inc.",
        "address": "48 Water Street\nNew York, NY 10004\nUnited States",
        "tax_id": "EIN 00-4471200",
        "bank": "First Harbor Bank, routing 000000000, account 4471 2200",
        "time_zone": "America/New_York",
        "currency": "USD",
        "series_prefix": "HL-",
        "series_width": 5,
        "payment_terms": "net:30",
        "gate": "approved",
    },
    {
        "billing_company": NL,
        "name": "Harbor & Linden Nederland B.V.",
        "address": "Keizersgracht 210\n1016 DX Amsterdam\nNetherlands",
        "tax_id": "NL000044712B01",
        "bank": "IBAN NL91 ABNA 0417 1643 00",
        "time_zone": "Europe/Amsterdam",
        "currency": "EUR",
        "series_prefix": "NL26-",
        "series_width": 4,
        "taxes": [{"tax_code": "VAT21", "percent": "21", "from_date": "2012-10-01"}],
        "default_tax": "VAT21",
        "tax_basis": "document",
        "payment_terms": "net:14",
        "gate": "reviewed",
    },
)

HALVES = [{"share": "50", "day": 1}, {"share": "50", "day": 90}]
CATALOG: tuple[dict[str, Any], ...] = (
    {
        "item_id": "direct-hire-fee",
        "name": "Direct hire fee",
        "item_class": "Placement",
        "family": "Direct hire",
        "percent_of_salary": "20",
        "plan": HALVES,
    },
    {
        "item_id": "background-check",
        "name": "Background check",
        "item_class": "Service",
        "family": "Screening",
        "amount": "85.00",
        "currency": "USD",
    },
    {
        "item_id": "security-screening",
        "name": "Security screening",
        "item_class": "Service",
        "family": "Screening",
        "amount": "120.00",
        "currency": "EUR",
    },
    {
        "item_id": "search-retainer",
        "name": "Search retainer",
        "item_class": "Placement",
        "family": "Retained search",
        "amount": "10000.00",
        "currency": "USD",
    },
    {
        "item_id": "portal-fee",
        "name": "Vendor portal",
        "item_class": "Service",
        "family": "Software",
        "product_kind": "non-placement",
        "amount": "150.00",
        "currency": "USD",
    },
    {
        "item_id": "travel-expense",
        "name": "Travel expense",
        "item_class": "Service",
        "family": "Expenses",
        "product_kind": "non-placement",
    },
)


@dataclass(frozen=True)
class Node:
    """A billto node; an empty Account Name means that a node above it pays."""

    node_id: str
    level: str
    parent_id: str | None
    name: str
    account_name: str = ""
    address: str = ""
    tax_id: str = ""


NODES: tuple[Node, ...] = (
    # One payer for all hospitals of a group (the company), another for its rehabilitation homes
    # (the client).
    Node(
        "co-stella",
        "company",
        None,
        "Stella Maris Health Group",
        "STELLA MARIS HEALTH",
        "1 Harbor Plaza\nNew York, NY 10006\nUnited States",
    ),
    Node("cl-stella-hospitals", "client", "co-stella", "Stella Maris Hospitals"),
    Node("of-stella-brooklyn", "office", "cl-stella-hospitals", "Stella Maris Brooklyn"),
    Node("of-stella-queens", "office", "cl-stella-hospitals", "Stella Maris Queens"),
    Node(
        "cl-stella-rehab",
        "client",
        "co-stella",
        "Stella Maris Rehabilitation",
        "STELLA MARIS REHAB",
        "77 Palisade Avenue\nYonkers, NY 10701\nUnited States",
    ),
    Node("of-stella-yonkers", "office", "cl-stella-rehab", "Stella Maris Yonkers"),
    # The client pays, but its laboratory has a budget of its own: the lowest Account Name wins.
    Node(
        "cl-kestrel",
        "client",
        None,
        "Kestrel Robotics, Inc.",
        "KESTREL ROBOTICS",
        "300 Summer Street\nBoston, MA 02210\nUnited States",
    ),
    Node("of-kestrel-boston", "office", "cl-kestrel", "Kestrel Boston"),
    Node(
        "of-kestrel-labs",
        "office",
        "cl-kestrel",
        "Kestrel Labs",
        "KESTREL LABS",
        "12 Cummings Park\nWoburn, MA 01801\nUnited States",
    ),
    # Nothing says yet who pays for Camden: its lines are set aside, the others close.
    Node("cl-bluewater", "client", None, "Bluewater Logistics LLC"),
    Node(
        "of-bluewater-newark",
        "office",
        "cl-bluewater",
        "Bluewater Newark",
        "BLUEWATER NEWARK",
        "5 Doremus Avenue\nNewark, NJ 07105\nUnited States",
    ),
    Node("of-bluewater-camden", "office", "cl-bluewater", "Bluewater Camden"),
    Node("co-oranje", "company", None, "Oranje Zorg Groep"),
    Node(
        "cl-oranje-amsterdam",
        "client",
        "co-oranje",
        "Oranje Zorg Amsterdam B.V.",
        "ORANJE ZORG AMSTERDAM",
        "Overtoom 301\n1054 HW Amsterdam\nNetherlands",
        "NL000030101B01",
    ),
    Node("of-oranje-west", "office", "cl-oranje-amsterdam", "Oranje Zorg West"),
    Node(
        "cl-tulp",
        "client",
        None,
        "Tulp Software B.V.",
        "TULP SOFTWARE",
        "Croeselaan 15\n3521 BJ Utrecht\nNetherlands",
        "NL000015210B01",
    ),
    Node("of-tulp-utrecht", "office", "cl-tulp", "Tulp Utrecht"),
    Node(
        "cl-waag",
        "client",
        None,
        "De Waag Fintech N.V.",
        "DE WAAG FINTECH",
        "Nieuwmarkt 4\n1012 CR Amsterdam\nNetherlands",
        "NL000040120B01",
    ),
    Node("of-waag-amsterdam", "office", "cl-waag", "De Waag Amsterdam"),
)

ALWAYS = "2026-01-01"
WEDNESDAY = "2026-10-14"


@dataclass(frozen=True)
class Job:
    """A requirement with its bill rates: (time type, from, price) and the unit."""

    requirement_id: str
    billing_company: str
    office_id: str
    job_title: str
    rates: tuple[tuple[str, str, str], ...] = ()
    position_type: str = "Temp"
    currency: str = "USD"
    unit: str = "HUR"
    project: str = ""
    po_number: str = ""
    retainer: str = ""
    approved_on: str = ""


JOBS: tuple[Job, ...] = (
    Job(
        "job-rn-brooklyn",
        US,
        "of-stella-brooklyn",
        "Registered Nurse",
        (
            ("REG", ALWAYS, "92.50"),
            ("OT", ALWAYS, "138.75"),
            ("WKD", ALWAYS, "101.7500"),
            ("REG", WEDNESDAY, "96.00"),
            ("OT", WEDNESDAY, "144.00"),
            ("WKD", WEDNESDAY, "105.6000"),
        ),
    ),
    Job(
        "job-cna-queens",
        US,
        "of-stella-queens",
        "Certified Nurse Aide",
        (("REG", ALWAYS, "41.20"), ("OT", ALWAYS, "61.80"), ("WKD", ALWAYS, "45.3200")),
    ),
    Job(
        "job-lpn-yonkers",
        US,
        "of-stella-yonkers",
        "Licensed Practical Nurse",
        (("REG", ALWAYS, "66.15"), ("OT", ALWAYS, "99.2250"), ("WKD", ALWAYS, "72.7650")),
    ),
    Job(
        "job-java-boston",
        US,
        "of-kestrel-boston",
        "Java Developer",
        (("REG", ALWAYS, "118.00"), ("OT", ALWAYS, "147.50")),
        "Contract",
        project="Fleet planner",
        po_number="PO-77120",
    ),
    Job(
        "job-sre-labs",
        US,
        "of-kestrel-labs",
        "Site Reliability Engineer",
        (("REG", ALWAYS, "134.50"), ("OT", ALWAYS, "168.1250")),
        "Contract",
    ),
    Job(
        "job-picker-newark",
        US,
        "of-bluewater-newark",
        "Warehouse Associate",
        (("REG", ALWAYS, "27.80"), ("OT", ALWAYS, "41.70")),
    ),
    Job(
        "job-picker-camden",
        US,
        "of-bluewater-camden",
        "Warehouse Associate",
        (("REG", ALWAYS, "26.90"), ("OT", ALWAYS, "40.35")),
    ),
    Job("job-vp-boston", US, "of-kestrel-boston", "VP Engineering", position_type="Direct Hire"),
    Job(
        "job-cto-boston",
        US,
        "of-kestrel-boston",
        "Chief Technology Officer",
        position_type="Direct Hire",
        retainer="search-retainer",
        approved_on="2026-10-05",
    ),
    Job(
        "job-nurse-west",
        NL,
        "of-oranje-west",
        "Verpleegkundige",
        (("REG", ALWAYS, "48.50"), ("WKD", ALWAYS, "60.6250")),
        currency="EUR",
    ),
    Job(
        "job-dev-utrecht",
        NL,
        "of-tulp-utrecht",
        "Python Developer",
        (("DAY", ALWAYS, "780.00"),),
        "Contract",
        "EUR",
        "DAY",
        po_number="TS-2026-118",
    ),
    # No rate for overtime: the first timesheet that has some waits for one.
    Job(
        "job-data-amsterdam",
        NL,
        "of-waag-amsterdam",
        "Data Engineer",
        (("REG", ALWAYS, "96.00"),),
        "Contract",
        "EUR",
    ),
    Job(
        "job-cfo-amsterdam",
        NL,
        "of-waag-amsterdam",
        "Chief Financial Officer",
        position_type="Direct Hire",
        currency="EUR",
    ),
)

Day = tuple[int, str, str]
"""Day of the week (0 is Monday), time type, hours."""

FIVE_EIGHTS: tuple[Day, ...] = tuple((day, "REG", "8") for day in range(5))
TWELVES: tuple[Day, ...] = ((0, "REG", "12"), (2, "REG", "12"), (3, "REG", "12"))
LATE_WEEK: tuple[Day, ...] = (
    (1, "REG", "8"),
    (2, "REG", "8"),
    (3, "REG", "8"),
    (5, "WKD", "8"),
    (6, "WKD", "8"),
)
OVERTIME: tuple[Day, ...] = (*FIVE_EIGHTS, (2, "OT", "2.5"), (4, "OT", "1.75"))
SHORT: tuple[Day, ...] = (
    (0, "REG", "7.5"),
    (1, "REG", "7.5"),
    (2, "REG", "7.5"),
    (3, "REG", "7.25"),
    (4, "REG", "6.25"),
)
RELEASE_NIGHT: tuple[Day, ...] = (*FIVE_EIGHTS, (3, "OT", "3"))
FIVE_DAYS: tuple[Day, ...] = tuple((day, "DAY", "1") for day in range(5))
FOUR_AND_HALF: tuple[Day, ...] = (*FIVE_DAYS[:4], (4, "DAY", "0.5"))

NURSING = (FIVE_EIGHTS, TWELVES, LATE_WEEK, OVERTIME)
OFFICE = (FIVE_EIGHTS, RELEASE_NIGHT, SHORT, FIVE_EIGHTS)
WAREHOUSE = (FIVE_EIGHTS, OVERTIME, FIVE_EIGHTS, SHORT)
DUTCH_CARE = (FIVE_EIGHTS, LATE_WEEK, SHORT, LATE_WEEK)
DAYS = (FIVE_DAYS, FOUR_AND_HALF, FIVE_DAYS, FIVE_DAYS)
PLAIN = (FIVE_EIGHTS, SHORT, FIVE_EIGHTS, FIVE_EIGHTS)

PEOPLE: tuple[tuple[str, str, tuple[tuple[Day, ...], ...]], ...] = (
    ("amara.okafor", "job-rn-brooklyn", NURSING),
    ("beth.lindqvist", "job-rn-brooklyn", NURSING),
    ("carlos.mendes", "job-rn-brooklyn", NURSING),
    ("dina.haddad", "job-cna-queens", NURSING),
    ("emil.novak", "job-cna-queens", NURSING),
    ("farah.aziz", "job-cna-queens", NURSING),
    ("grace.kim", "job-lpn-yonkers", NURSING),
    ("hugo.brandt", "job-lpn-yonkers", NURSING),
    ("ines.duarte", "job-java-boston", OFFICE),
    ("jonas.weiss", "job-java-boston", OFFICE),
    ("kavya.rao", "job-sre-labs", OFFICE),
    ("liam.walsh", "job-picker-newark", WAREHOUSE),
    ("maya.torres", "job-picker-newark", WAREHOUSE),
    ("noah.price", "job-picker-newark", WAREHOUSE),
    ("omar.diallo", "job-picker-camden", WAREHOUSE),
    ("pien.vermeer", "job-nurse-west", DUTCH_CARE),
    ("quinten.bos", "job-nurse-west", DUTCH_CARE),
    ("roos.jansen", "job-nurse-west", DUTCH_CARE),
    ("sven.mulder", "job-dev-utrecht", DAYS),
    ("tess.visser", "job-dev-utrecht", DAYS),
    ("umut.kaya", "job-data-amsterdam", PLAIN),
)
