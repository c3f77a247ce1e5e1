"""What the product is made of (SBOM) and what is known of it (audit)."""

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import cyclonedx.schema._res as schemas
import jsonschema
import pytest
import referencing
from referencing.jsonschema import DRAFT7

from shared.stack.jars import listed_jars
from tests.audit import ALLOWED, locked, read_allowed, wrong
from tests.sbom import FONTS, ROOT, sbom

SCHEMAS = Path(schemas.__file__).parent


def validator() -> jsonschema.Draft7Validator:
    """Of CycloneDX 1.5, with the schemas that it refers to."""
    found = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    resources = [(one["$id"], DRAFT7.create_resource(one)) for one in found if "$id" in one]
    (schema,) = [one for one in found if one.get("$id", "").endswith("/bom-1.5.schema.json")]
    return jsonschema.Draft7Validator(
        schema, registry=referencing.Registry().with_resources(resources)
    )


def test_the_sbom_validates_and_names_every_part() -> None:
    """Each package that `uv.lock` gives the product, each jar of Kafka, each font, with hashes."""
    document = sbom()
    validator().validate(document)
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(document | {"components": [{"name": "no type"}]})
    named = {(one["name"], one.get("version", "")) for one in document["components"]}
    assert product() <= named
    assert {(jar.artifact, jar.version) for jar in listed_jars()} <= named
    assert {(path.name, "") for path in FONTS.iterdir() if path.suffix in (".ttf", ".otf")} <= named
    assert [one["name"] for one in document["components"] if not all(hashes_of(one))] == []
    references = [one["bom-ref"] for one in document["components"]]
    assert len(set(references)) == len(references)


def hashes_of(component: dict[str, Any]) -> list[bool]:
    """Of each file of a component, whether it has a SHA-256 of 64 digits."""
    files = [
        one for one in component.get("externalReferences", []) if one["type"] == "distribution"
    ] or [component]
    return [
        any(
            one["alg"] == "SHA-256" and re.fullmatch("[0-9a-f]{64}", one["content"])
            for one in file.get("hashes", [])
        )
        for file in files
    ]


def product() -> set[tuple[str, str]]:
    """Name and version of every locked package that the product needs, on any machine."""
    packages = {
        one["name"]: one for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    needed: set[tuple[str, str]] = set()

    def add(one: dict[str, Any]) -> None:
        package = packages[one["name"]]
        extras = [package.get("optional-dependencies", {}).get(x, []) for x in one.get("extra", [])]
        needed.add((package["name"], f"{package['version']}+{','.join(one.get('extra', []))}"))
        for other in [*package.get("dependencies", []), *(each for of in extras for each in of)]:
            key = f"{packages[other['name']]['version']}+{','.join(other.get('extra', []))}"
            if (other["name"], key) not in needed:
                add(other)

    for one in packages["staffing-back-office"]["dependencies"]:
        add(one)
    return {(name, version.partition("+")[0]) for name, version in needed}


def test_an_allowance_ends() -> None:
    """A known fault fails unless it is allowed, by id or alias; the day after its last it fails."""
    fault = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}
    found = [{"name": "one", "version": "1", "vulns": [fault]}, {"name": "two", "skip_reason": "?"}]
    today = date(2026, 11, 30)
    assert wrong(found, [], today) == ["one 1: PYSEC-1 CVE-1; fixed in 2"]
    allowed = read_allowed("# why\nCVE-1 2026-11-30 not reached: we do not parse it\n\n")
    assert wrong(found, allowed, today) == []
    (expired,) = wrong(found, allowed, date(2026, 12, 1))
    assert "its allowance ended on 2026-11-30" in expired
    for line in ("CVE-1 soon reason", "CVE-1 2026-11-30"):
        with pytest.raises((ValueError, IndexError)):
            read_allowed(line)
    read_allowed(ALLOWED.read_text())


def test_the_audit_asks_about_every_locked_package() -> None:
    """With its version; the product's and the tests' own."""
    asked = set(re.findall(r"^([\w.-]+)==([^\s;]+)", locked(), re.M))
    assert product() <= asked
    assert "pytest" in {name for name, _ in asked}
