"""The embedded broker with TLS, certificates of an own authority, and further ways to sign in."""

import base64
import datetime
import ipaddress
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.broker.acls import PRINCIPALS
from shared.broker.security import KafkaAccess
from shared.private_files import write_private
from shared.stack import kafka_logins
from shared.stack.kafka import CLIENTS, CONTROLLER, PROXIED, KafkaServer
from shared.stack.kafka_logins import MECHANISM
from shared.stack.ports import HOST, free_port

A_DAY = datetime.timedelta(days=1)
OAUTH_MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
Key = ec.EllipticCurvePrivateKey


class Authority:
    """An authority that signs certificates, in a folder with the PEM files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("Test authority")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        made = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self._certificate = made.sign(self._key, hashes.SHA256())
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def certificate(self, name: str) -> Path:
        """A PEM file with key and certificate of this name, valid for the loopback address."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        made = self._builder(_named(name), key).add_extension(address, critical=False)
        signed = made.sign(self._key, hashes.SHA256())
        path = self._folder / f"{name}.pem"
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(path, (pem + signed.public_bytes(serialization.Encoding.PEM)).decode())
        return path

    def _builder(self, subject: x509.Name, key: Key) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)  # noqa: TID251 - the validity of a certificate
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - A_DAY)
            .not_valid_after(now + A_DAY)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class TlsKafka(KafkaServer):
    """Clients use SASL_SSL; a second listener asks for a client certificate instead."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        port = free_port()
        super().__init__(folder, say, proxied=(port, port))
        self._folder = folder
        self._with_certificates = f"{HOST}:{port}"
        self.authority = Authority(folder / "authority")

    def access(self, user: str) -> KafkaAccess:
        """As that of the embedded broker, with TLS."""
        return replace(super().access(user), protocol="SASL_SSL", ca_file=self.authority.ca_file)

    def other_access(self, way: str, user: str, folder: Path) -> KafkaAccess:
        """The same user by PLAIN, by a token of OAUTHBEARER, or by its certificate (SSL)."""
        if way == "SSL":
            return KafkaAccess(
                bootstrap=self._with_certificates,
                protocol="SSL",
                ca_file=self.authority.ca_file,
                certificate_file=self.authority.certificate(user),
            )
        if way == "PLAIN":
            return replace(self.access(user), mechanism=way)
        (folder / "token").write_text(_unsigned_token(user))
        return replace(self.access(user), mechanism=way, password_file=folder / "token")

    def _write_settings(self, folder: Path) -> Path:
        path = super()._write_settings(folder)
        server = self.authority.certificate("broker")
        clients = f"listener.name.{CLIENTS.lower()}"
        more = {
            "listener.security.protocol.map": (
                f"{CLIENTS}:SASL_SSL,{PROXIED}:SSL,{CONTROLLER}:SASL_PLAINTEXT"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.ca_file),
            f"listener.name.{PROXIED.lower()}.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
            f"{clients}.sasl.enabled.mechanisms": f"{MECHANISM},PLAIN,OAUTHBEARER",
            f"{clients}.plain.sasl.jaas.config": kafka_logins.plain_login(
                self._folder, *PRINCIPALS
            ),
            f"{clients}.oauthbearer.sasl.jaas.config": (
                f'{OAUTH_MODULE} required unsecuredLoginStringClaim_sub="broker";'
            ),
        }
        lines = "".join(f"{key}={value}\n" for key, value in more.items())
        write_private(path, path.read_text() + lines)  # the last line of a key counts
        return path


def _unsigned_token(user: str) -> str:
    """A token that Kafka's validator for tests accepts: it checks claims and no signature."""
    now = datetime.datetime.now(datetime.UTC).timestamp()  # noqa: TID251 - the claims of a token
    head, claims = {"alg": "none"}, {"sub": user, "iat": now, "exp": now + 600}
    parts = (json.dumps(part).encode() for part in (head, claims))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
