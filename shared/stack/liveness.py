"""Ask a process of this machine whether it works, at little cost: one short request on a socket.

An open port proves nothing: the kernel accepts connections for a process that is stopped or hangs.
"""

import socket
import struct

from shared.stack.ports import HOST

ASK_TIMEOUT_SECONDS = 2.0
MAX_ANSWER_BYTES = 10_000
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
API_VERSIONS_REQUEST = struct.pack("!ihhih", 10, 18, 0, 1, -1)
"""Size, request 18 in version 0, correlation id 1, no client id."""


def http_answer(port: int, path: str) -> tuple[int, str]:
    """Return status and text of a page of a worker; 0 and a reason if it does not answer."""
    try:
        answer = _ask(port, f"GET {path} HTTP/1.0\r\n\r\n".encode(), MAX_ANSWER_BYTES)
        head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
        return int(head.split()[1]), body
    except (OSError, ValueError, IndexError):
        return 0, f"does not answer on port {port}"


def postgres_answers(port: int) -> bool:
    """Whether the postmaster answers: it starts a backend, which says whether it takes TLS.

    The server logs nothing about it, and no login is needed.
    """
    try:
        return _ask(port, SSL_REQUEST, 1) in (b"N", b"S")
    except OSError:
        return False


def kafka_answers(port: int) -> bool:
    """Whether the broker answers a request for its versions."""
    try:
        return len(_ask(port, API_VERSIONS_REQUEST, 4)) == 4
    except OSError:
        return False


def _ask(port: int, request: bytes, most: int) -> bytes:
    """Send a request and return the answer: `most` bytes, or fewer if the server closes."""
    with socket.create_connection((HOST, port), timeout=ASK_TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while len(answer) < most and (part := connection.recv(most - len(answer))):
            answer += part
        return answer
