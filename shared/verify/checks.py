"""The list of checks, one line each: its name, what must be true, and the SQL that finds what breaks it."""

from dataclasses import dataclass

from shared.verify import documents, lines, numbers


@dataclass(frozen=True, slots=True)
class Check:
    """A message about the books that must be true, and the question whose rows (id, detail) are its offenders."""

    name: str
    message: str
    sql: str


CHECKS: tuple[Check, ...] = (
    Check(
        "conservation",
        "worth + edits = open + drafted + invoiced - credited + forgiven, for each line key",
        lines.CONSERVATION,
    ),
    Check("withheld", "nothing of a withheld document is open or on a draft", lines.WITHHELD),
    Check(
        "settled_realization",
        "what was settled is a statement as it was issued",
        lines.SETTLED_REALIZATION,
    ),
    Check("in_flight", "a statement is settled within minutes", lines.IN_FLIGHT),
    Check(
        "held_is_withheld",
        "a document that waits is withheld, one that does not is realized",
        lines.HELD_IS_WITHHELD,
    ),
    Check(
        "one_place",
        "each pay line lies in exactly one place: open, draft, invoice or replaced",
        lines.ONE_PLACE,
    ),
    Check(
        "open_copy",
        "an open row tells the same company, dates and node as its line",
        lines.OPEN_COPY,
    ),
    Check(
        "line_amount",
        "a line that is no correction and was not edited is quantity × unit price, rounded once",
        lines.LINE_AMOUNT,
    ),
    Check("minor_unit", "no amount has more decimals than its currency", lines.MINOR_UNIT),
    Check(
        "invoice_sums",
        "net, tax, total and number of lines of a document are those of its lines",
        documents.INVOICE_SUMS,
    ),
    Check(
        "tax_totals",
        "a document's tax per code and rate is that of its lines",
        documents.TAX_TOTALS,
    ),
    Check(
        "line_belongs",
        "a document has one billing company, one currency and one PO number",
        documents.LINE_BELONGS,
    ),
    Check(
        "batch_sums",
        "documents, lines and totals of a batch are those of its documents",
        documents.BATCH_SUMS,
    ),
    Check(
        "credits",
        "credits never take more than stands on the invoice line that they correct",
        documents.CREDITS,
    ),
    Check(
        "credit_of",
        "a credit has debtor, currency, terms and tax of the invoice line that it corrects",
        documents.CREDIT_OF,
    ),
    Check(
        "written_off",
        "what is forgiven was credited as write-off by the same command",
        documents.WRITTEN_OFF,
    ),
    Check("sealed", "every closed document bears a seal", documents.SEALED),
    Check(
        "seal", "the content of a closed document gives the hash it was closed with", documents.SEAL
    ),
    Check(
        "gap_certificate",
        "every number from the first to the last was used once or lies in a declared jump",
        numbers.GAP_CERTIFICATE,
    ),
    Check("printed_number", "a document prints the number that it took", numbers.PRINTED_NUMBER),
    Check(
        "dates_along_numbers",
        "invoice dates do not go back along the numbers",
        numbers.DATES_ALONG_NUMBERS,
    ),
    Check("due_date", "a document falls due as its payment terms say", numbers.WITH_TERMS),
    Check(
        "watermark", "every day was announced by exactly one move of a watermark", numbers.WATERMARK
    ),
)
