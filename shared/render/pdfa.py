"""PDF/A-3 of one closed document with its e-invoice inside (Factur-X, EN 16931 level).

The pages are those of `pdf`; the XML inside is CII, written by the library from the terms of
`einvoice` and checked against its schema. The library writes the current time into the file; it is
replaced by the invoice date, so that the same document gives the same bytes.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from facturx import generate_from_binary, generate_xml
from pypdf import PdfReader, PdfWriter
from pypdf.generic import NameObject, TextStringObject

from shared.render.einvoice import EInvoice
from shared.render.parties import xml_text
from shared.render.pdf import pdf_document
from shared.terms import ClosedLine, ClosedTimesheet

LEVEL = "en16931"
XMP_DATES = ("CreateDate", "ModifyDate")
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
STATED = (
    ("<rdf:RDF>", f'<rdf:RDF xmlns:rdf="{RDF}">'),
    ("<rdf:Description>", '<rdf:Description rdf:about="">'),
)
"""What readers built on Adobe's toolkit (veraPDF, Acrobat) demand of a description and the
library leaves out.
"""


def cii_document(invoice: EInvoice, lines: Iterable[ClosedLine]) -> bytes:
    """Return the e-invoice as CII, checked against the schema of its level.

    Its Schematron rules need another program and are checked in the tests.
    """
    terms = invoice.head() | {"BG-25": [invoice.line(line) for line in lines]}
    xml: bytes = generate_xml(
        terms, flavor="factur-x", level=LEVEL, check_xsd=True, check_schematron=None
    )
    return xml


def pdfa_document(
    invoice: EInvoice,
    lines: Iterable[ClosedLine],
    *,
    logo: bytes = b"",
    timesheets: Sequence[ClosedTimesheet] = (),
) -> bytes:
    """Return the document as PDF/A-3 with `factur-x.xml` inside."""
    document, listed = invoice.document, list(lines)
    picture = pdf_document(document, listed, standards=["a-3b"], logo=logo, timesheets=timesheets)
    title = f"{document.title} {xml_text(document.invoice_number)}"
    made = generate_from_binary(
        picture,
        cii_document(invoice, listed),
        flavor="factur-x",
        level=LEVEL,
        check_xsd=False,
        check_schematron=False,
        pdf_metadata={
            "author": xml_text(document.seller.name),
            "keywords": document.content_hash,
            "title": title,
            "subject": title,
        },
        lang="en",
        xmp_compression=False,
    )
    return _dated(made, document.invoice_date)


def _dated(pdf: bytes, day: date) -> bytes:
    """Return the file with that day in its information, its XMP description and its attachment."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    stamp = TextStringObject(f"D:{day:%Y%m%d}000000+00'00'")
    writer.add_metadata({"/CreationDate": stamp, "/ModDate": stamp})
    root: Any = writer._root_object
    for reference in root["/AF"]:
        reference.get_object()["/EF"]["/F"].get_object()["/Params"].get_object()[
            NameObject("/ModDate")
        ] = stamp
    described = root["/Metadata"].get_object()
    described.set_data(_described(described.get_data(), day))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _described(xmp: bytes, day: date) -> bytes:
    """Return the XMP description with that day as its dates."""
    text = xmp.decode("utf-8")
    for bare, stated in STATED:
        text = text.replace(bare, stated)
    for name in XMP_DATES:
        before, opening, rest = text.partition(f"<xmp:{name}>")
        _, closing, after = rest.partition(f"</xmp:{name}>")
        text = f"{before}{opening}{day.isoformat()}T00:00:00+00:00{closing}{after}"
    return text.encode("utf-8")
