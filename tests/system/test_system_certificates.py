"""Behind a company's TLS proxy only the machine's own store knows who signs the certificates.

A TLS server on this machine plays Maven Central and the package index. Its authority is made for
the test and is in a file that takes the place of the machine's store (SSL_CERT_FILE).
"""

import base64
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
FETCH = """
import sys
from pathlib import Path
from shared.stack.jars import Jar, class_path
jar = Jar("org.example", "tiny", "1.0", sys.argv[2])
print(class_path(print, Path(sys.argv[1]), [jar], sys.argv[3]))
"""


@dataclass(frozen=True)
class Site:
    """A TLS server: its address, the folder that it serves and the file with its authority."""

    url: str
    folder: Path
    authority: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a process for which the authority is in the machine's store."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "SSL_CERT_FILE": str(self.authority), **more}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The server, with the authority and the certificate that were made for it."""
    folder = tmp_path / "site"
    folder.mkdir()
    authority, chain = tmp_path / "authority.pem", tmp_path / "server.pem"
    make_certificates(authority, chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    )
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Site(f"https://localhost:{server.server_port}", folder, authority)
    server.shutdown()
    server.server_close()


def make_certificates(authority: Path, chain: Path) -> None:
    """An authority, and a certificate for localhost that it signed, with its key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        for name in ("Test Authority", "localhost")
    ]
    now = datetime.now(UTC)  # noqa: TID251 - certificates are valid by the real clock
    made = []
    for at, is_authority in enumerate((True, False)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[at])
            .issuer_name(names[0])
            .public_key(keys[at].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        )
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = [one.public_bytes(serialization.Encoding.PEM) for one in made]
    key = keys[1].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    authority.write_bytes(pem[0])
    chain.write_bytes(key + pem[1])


def fetch(
    site: Site, cache: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Fetches a jar from the site in a process of its own."""
    jar = site.folder / "org/example/tiny/1.0/tiny-1.0.jar"
    jar.parent.mkdir(parents=True, exist_ok=True)
    jar.write_bytes(b"a jar")
    digest = hashlib.sha256(b"a jar").hexdigest()
    command = [sys.executable, "-c", FETCH, str(cache), digest, site.url]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_jars_are_fetched_with_the_authorities_of_the_machine(site: Site, tmp_path: Path) -> None:
    """An authority that only the machine's store knows is trusted; one that it lacks is not."""
    done = fetch(site, tmp_path / "cache", site.environment())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cache" / "jars" / "tiny-1.0.jar").read_bytes() == b"a jar"
    other = tmp_path / "other.pem"
    make_certificates(other, tmp_path / "unused.pem")
    failed = fetch(site, tmp_path / "empty", site.environment(SSL_CERT_FILE=str(other)))
    assert failed.returncode != 0 and "could not be fetched" in failed.stderr


def make_wheel(site: Site, name: str, version: str, files: dict[str, str]) -> None:
    """Puts a package into the index of the site."""
    folder = site.folder / "simple" / name
    folder.mkdir(parents=True)
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = []
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            records.append(f"{path},sha256={digest.decode().rstrip('=')},{len(text)}\n")
        archive.writestr(f"{info}/RECORD", "".join([*records, f"{info}/RECORD,,\n"]))
    digest_of_wheel = hashlib.sha256(wheel.read_bytes()).hexdigest()
    link = f'<a href="{wheel.name}#sha256={digest_of_wheel}">{wheel.name}</a>'
    (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")


@pytest.mark.slow
def test_pip_and_uv_install_with_the_authorities_of_the_machine(site: Site, tmp_path: Path) -> None:
    """`make install` fetches uv with pip, and the locked packages with uv, from such an index."""
    uv = ROOT / ".venv" / "bin" / "uv"
    version = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True)
    runs_uv = f"import os, sys\n\ndef main():\n    os.execv({str(uv)!r}, ['uv', *sys.argv[1:]])\n"
    number = version.stdout.split()[1]
    make_wheel(
        site,
        "uv",
        number,
        {
            "uv_of_the_test.py": runs_uv,
            f"uv-{number}.dist-info/entry_points.txt": "[console_scripts]\nuv ="
            " uv_of_the_test:main\n",
        },
    )
    make_wheel(site, "tiny", "1.0", {"tiny.py": "ANSWER = 42\n"})
    project = tmp_path / "project"
    for folder in ("services", "shared"):
        (project / folder).mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "project"\nversion = "1"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["tiny"]\n[[tool.uv.index]]\nurl = "{site.url}/simple"\ndefault = true\n'
    )
    environment = site.environment(
        PIP_INDEX_URL=f"{site.url}/simple", UV_CACHE_DIR=str(tmp_path / "uv"), PIP_NO_CACHE_DIR="1"
    )
    subprocess.run(
        [uv, "lock"], cwd=project, env=environment | {"UV_SYSTEM_CERTS": "1"}, check=True
    )
    shutil.rmtree(tmp_path / "uv")
    done = subprocess.run(
        ["make", "install"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = subprocess.run(
        [project / ".venv/bin/python", "-c", "import tiny; print(tiny.ANSWER)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "42\n"
