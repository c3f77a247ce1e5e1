"""How a client reaches Kafka: address, protocol and credentials, made here for every client.

Producers, consumers, admin clients, FastStream's broker, the console and the tests take the options
of one `KafkaAccess`. It comes from the settings, or for the stack of a data folder from its state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.errors import Refused
from shared.settings import PREFIX, Settings, settings

if TYPE_CHECKING:
    import ssl

    from aiokafka.abc import AbstractTokenProvider
    from faststream.security import BaseSecurity

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER")
OAUTH = "OAUTHBEARER"
SETTING_OF = {
    "protocol": "kafka_security_protocol",
    "mechanism": "kafka_sasl_mechanism",
    **{
        name: f"kafka_{name}"
        for name in (
            *("user", "password", "password_file", "ca_file", "certificate_file", "key_file"),
            *("token_url", "token_scope"),
        )
    },
}
"""The setting of each attribute of `KafkaAccess`."""
SETTINGS_OF_KAFKA = ("kafka", *SETTING_OF.values())
"""The settings with which a process reaches Kafka."""


@dataclass(frozen=True, kw_only=True)
class KafkaAccess:
    """Address and credentials of Kafka; as text it is the address, without any secret."""

    bootstrap: str
    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    token_url: str = ""
    token_scope: str = ""

    def __str__(self) -> str:
        return self.bootstrap

    def environment(self) -> dict[str, str]:
        """The variables with which another process has the same access."""
        values = {"kafka": self.bootstrap}
        values |= {setting: getattr(self, name) for name, setting in SETTING_OF.items()}
        return {_variable(name): str(value) for name, value in values.items() if value}

    @property
    def uses_sasl(self) -> bool:
        """Whether a client proves who it is by SASL."""
        return self.protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol.endswith("SSL")

    def client_options(self) -> dict[str, Any]:
        """The options of any client of aiokafka: address, protocol, credentials, certificates.

        Raises `Refused` if a file cannot be read.
        """
        return {"bootstrap_servers": self.bootstrap, **self.connection_options()}

    def connection_options(self) -> dict[str, Any]:
        """The same without the address."""
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self.uses_tls:
            options["ssl_context"] = self.tls
        if self.uses_sasl:
            options["sasl_mechanism"] = self.mechanism
            if self.mechanism == OAUTH:
                options["sasl_oauth_token_provider"] = self.tokens
            else:
                options["sasl_plain_username"] = self.user
                options["sasl_plain_password"] = self.secret()
        return options

    def secret(self) -> str:
        """The password, read from its file if there is one."""
        if self.password_file is None:
            return self.password
        try:
            text = self.password_file.read_text().strip()
        except OSError as error:
            raise _unreadable("kafka_password_file", self.password_file, error) from error
        if not text:
            raise Refused(
                "setting-unreadable",
                f"{_variable('kafka_password_file')} names {self.password_file}, which is empty.",
                "Write the password into it, on one line.",
            )
        return text

    @cached_property
    def tls(self) -> "ssl.SSLContext":
        """Certificates of ours and of whom we trust; host names are always checked."""
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable("kafka_ca_file", self.ca_file, error) from error
        if self.certificate_file is not None:
            try:
                # Without a password argument an encrypted key would be asked for on the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
            except (OSError, ssl.SSLError) as error:
                raise Refused(
                    "setting-unreadable",
                    f"{_variable('kafka_certificate_file')} {self.certificate_file} with"
                    f" {_variable('kafka_key_file')} {self.key_file or '(not set)'} cannot be"
                    f" used: {error}.",
                    "Name a PEM certificate and its PEM key without a passphrase.",
                ) from error
        return context

    @cached_property
    def tokens(self) -> "AbstractTokenProvider":
        """Where the tokens of OAUTHBEARER come from."""
        from shared.broker.tokens import token_provider

        return token_provider(self.token_url, self.token_scope, self.user, self.secret)

    def faststream_security(self) -> "BaseSecurity | None":
        """The same for FastStream's broker, which also documents it."""
        from faststream import security

        context = self.tls if self.uses_tls else None
        common: dict[str, Any] = {"use_ssl": self.uses_tls, "ssl_context": context}
        if not self.uses_sasl:
            return security.BaseSecurity(**common) if self.uses_tls else None
        if self.mechanism == OAUTH:
            return security.SASLOAuthBearer(**common)
        kind = {
            "PLAIN": security.SASLPlaintext,
            "SCRAM-SHA-256": security.SASLScram256,
            "SCRAM-SHA-512": security.SASLScram512,
        }[self.mechanism]
        return kind(self.user, self.secret(), **common)


def kafka_access(given: Settings | None = None) -> KafkaAccess:
    """The access that the settings describe. Raises `Refused` if they contradict each other."""
    wish = given or settings()
    access = KafkaAccess(
        bootstrap=wish.kafka,
        **{name: getattr(wish, setting) for name, setting in SETTING_OF.items()},
    )
    _check(access)
    return access


def access_from(variables: Mapping[str, str]) -> KafkaAccess:
    """The access that environment variables describe, such as those in a stack's state."""
    values = {
        name: variables[variable]
        for name in SETTINGS_OF_KAFKA
        if (variable := _variable(name)) in variables
    }
    files = {name: Path(value) for name, value in values.items() if name.endswith("_file")}
    return kafka_access(Settings(**{**values, **files}))  # type: ignore[arg-type]


async def sign_in_problem(kafka: KafkaAccess) -> str:
    """Why brokers that answer do not let this client in, and what to set; empty if that is not it.

    The clients of aiokafka report each of these as an address that does not answer.
    """
    import ssl

    from aiokafka.conn import create_conn
    from aiokafka.errors import BrokerResponseError, KafkaError

    host, _, port = kafka.bootstrap.split(",")[0].strip().rpartition(":")
    try:
        (await create_conn(host, int(port), **kafka.connection_options())).close()
    except ssl.SSLError as error:
        return (
            f"TLS with Kafka at {kafka} fails ({error.reason or error}): set"
            f" {_variable('kafka_ca_file')} to the authority of its certificate, or fix"
            f" {_variable('kafka_security_protocol')}"
        )
    except BrokerResponseError as error:
        return (
            f"Kafka at {kafka} does not let the user {kafka.user or '(none)'} in"
            f" ({type(error).__name__}): fix {_variable('kafka_user')},"
            f" {_variable('kafka_password_file')} or {_variable('kafka_sasl_mechanism')}"
        )
    except (KafkaError, OSError, TimeoutError, ValueError):
        return ""
    return ""


def _check(access: KafkaAccess) -> None:
    """Refuse what cannot work, and what would be ignored without anybody's notice."""
    _check_choice("kafka_security_protocol", access.protocol, PROTOCOLS)
    if access.uses_sasl:
        _check_choice("kafka_sasl_mechanism", access.mechanism, MECHANISMS)
    if access.password and access.password_file:
        raise Refused(
            "setting-contradicts",
            f"{_variable('kafka_password')} and {_variable('kafka_password_file')} are both set.",
            "Keep one of them.",
        )
    sasl = {
        "kafka_user": access.user,
        "kafka_password": access.password,
        "kafka_password_file": access.password_file,
        "kafka_token_url": access.token_url,
    }
    tls = {
        "kafka_ca_file": access.ca_file,
        "kafka_certificate_file": access.certificate_file,
        "kafka_key_file": access.key_file,
    }
    if not access.uses_sasl:
        _refuse_ignored(access.protocol, sasl, "SASL_SSL or SASL_PLAINTEXT")
    if not access.uses_tls:
        _refuse_ignored(access.protocol, tls, "SSL or SASL_SSL")
    if access.uses_sasl:
        _check_credentials(access)
    if access.key_file and not access.certificate_file:
        raise _missing("kafka_certificate_file", f"{_variable('kafka_key_file')} is set")


def _check_credentials(access: KafkaAccess) -> None:
    why = f"{_variable('kafka_security_protocol')}={access.protocol}"
    secret = access.password or access.password_file
    if access.mechanism == OAUTH:
        _check_token_url(access.token_url)
        if access.token_url and not access.user:
            raise _missing("kafka_user", f"{_variable('kafka_token_url')} is set")
        if not secret:
            raise _missing("kafka_password_file", f"{_variable('kafka_sasl_mechanism')}={OAUTH}")
        return
    if access.token_url:
        raise Refused(
            "setting-contradicts",
            f"{_variable('kafka_token_url')} is set, but {_variable('kafka_sasl_mechanism')} is"
            f" {access.mechanism}.",
            f"Set {_variable('kafka_sasl_mechanism')}={OAUTH}, or remove it.",
        )
    if not access.user:
        raise _missing("kafka_user", why)
    if not secret:
        raise _missing("kafka_password_file", why)


def _check_token_url(url: str) -> None:
    parts = urlsplit(url)
    if url and parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise Refused(
            "setting-unreadable",
            f"{_variable('kafka_token_url')} is {url!r}: the client secret would be readable on"
            " its way.",
            "Use the https address of the token endpoint.",
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise Refused(
            "setting-unreadable",
            f"{_variable(name)} is {value!r}.",
            f"Set it to one of {', '.join(choices)}.",
        )


def _refuse_ignored(protocol: str, values: Mapping[str, object], protocols: str) -> None:
    ignored = [_variable(name) for name, value in values.items() if value]
    if ignored:
        raise Refused(
            "setting-contradicts",
            f"{' and '.join(ignored)} would be ignored:"
            f" {_variable('kafka_security_protocol')} is {protocol}.",
            f"Set {_variable('kafka_security_protocol')} to {protocols}, or remove"
            f" {' and '.join(ignored)}.",
        )


def _missing(name: str, why: str) -> Refused:
    return Refused("setting-missing", f"{_variable(name)} is empty, but {why}.", "Set it.")


def _unreadable(name: str, path: Path | None, error: Exception) -> Refused:
    why = getattr(error, "strerror", None) or error
    return Refused(
        "setting-unreadable",
        f"{_variable(name)} names {path}, which cannot be read: {why}.",
        "Name a file that this user may read.",
    )


def _variable(name: str) -> str:
    return f"{PREFIX}{name.upper()}"
