"""Owns which port each part of the stack listens on: the one it had last time if that is free, else a free one.

Ports are kept in the data folder because clients hold addresses: after a crash the same address must answer. They are taken from below the
range that the kernel hands out to outgoing connections, or a stranger's connection could sit on a port while its server is down.
"""

import json
import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.errors import Refused
from shared.stack.process import write_json

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # a closed server's last connections do not hold the port
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """A port that nobody listens on and that is not promised to another part of this stack."""
    draw = random.Random()
    for _ in range(ATTEMPTS):
        port = draw.randrange(LOWEST, HIGHEST)
        if port not in avoid and is_free(port):
            return port
    raise Refused(
        "no-free-port",
        f"No free port found between {LOWEST} and {HIGHEST} on {HOST}.",
        "Stop what listens there, then start again.",
    )


class Ports:
    """The ports of one data folder, by the name of the part that listens."""

    def __init__(
        self, data: Path, say: Callable[[str], None], wished: Mapping[str, int] | None = None
    ) -> None:
        self._path = data / "ports.json"
        self._say = say
        self._wished = dict(wished or {})

    def take(self, name: str) -> int:
        """The port for this part. One that was asked for and is taken is refused; one that was merely kept is replaced, and that is said."""
        kept = self._kept()
        wished = self._wished.get(name)
        if wished is not None:
            if not is_free(wished):
                raise Refused(
                    "port-taken",
                    f"Port {wished} on {HOST}, asked for {name}, is taken by another program.",
                    f"Stop that program, or ask for another port (BACKOFFICE_PORTS={name}=PORT), or leave the choice to the stack.",
                )
            return self._keep(kept, name, wished)
        if name in kept:
            if is_free(kept[name]):
                return kept[name]
            self._say(
                f"port {kept[name]}, used for {name} last time, is taken by another program: another one is used"
            )
        others = frozenset(port for other, port in kept.items() if other != name)
        return self._keep(kept, name, free_port(others | frozenset(self._wished.values())))

    def _kept(self) -> dict[str, int]:
        try:
            return {
                str(name): int(port) for name, port in json.loads(self._path.read_text()).items()
            }
        except (OSError, ValueError, AttributeError):
            return {}

    def _keep(self, kept: dict[str, int], name: str, port: int) -> int:
        write_json(self._path, {**kept, name: port})
        return port
