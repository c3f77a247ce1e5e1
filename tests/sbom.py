"""`make sbom`: every part of the product as CycloneDX: locked packages, Kafka's jars, fonts."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from shared.stack.jars import listed_jars

ROOT = Path(__file__).parents[1]
FONTS = ROOT / "shared" / "render" / "fonts"
UV = Path(sys.executable).with_name("uv")


def sbom() -> dict[str, Any]:
    """The document; the packages are those that uv writes of `uv.lock`, without the tests' own."""
    command = [UV, "export", "--format", "cyclonedx1.5", "--frozen", "--no-dev", "--quiet"]
    written = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    document: dict[str, Any] = json.loads(written)
    document["components"] += [
        _component(
            "library",
            jar.artifact,
            jar.sha256,
            group=jar.group,
            version=jar.version,
            purl=f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}",
        )
        for jar in listed_jars()
    ]
    document["components"] += [
        _component("file", path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(FONTS.glob("*.[ot]tf"))
    ]
    return document


def _component(kind: str, name: str, sha256: str, **more: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": sha256}]
    reference = more.get("purl", f"file:{name}")
    return {"type": kind, "bom-ref": reference, "name": name, "hashes": hashes, **more}


if __name__ == "__main__":
    to = Path(sys.argv[1])
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(sbom(), indent=1) + "\n")
    print(f"{to}: {len(json.loads(to.read_text())['components'])} components")
