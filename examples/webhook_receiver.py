"""A receiver to begin with, behind a proxy with TLS: python webhook_receiver.py PORT SECRET FILE"""

import base64
import hmac
import json
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

TEXT, STORE = sys.argv[2], sqlite3.connect(sys.argv[3], isolation_level=None)
SECRET = base64.b64decode(TEXT[6:]) if TEXT.startswith("whsec_") else TEXT.encode()
STORE.execute("CREATE TABLE IF NOT EXISTS kept (id INTEGER PRIMARY KEY, key UNIQUE, body NOT NULL)")


class Receiver(BaseHTTPRequestHandler):
    def answer(self, status: int, value: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def do_POST(self) -> None:
        body, now = self.rfile.read(int(self.headers["content-length"] or 0)), int(time.time())
        key, stamp = self.headers["webhook-id"] or "", self.headers["webhook-timestamp"] or ""
        digest = hmac.digest(SECRET, f"{key}.{stamp}.".encode() + body, "sha256")
        given = (self.headers["webhook-signature"] or "").encode().split()
        fresh = stamp in map(str, range(now - 300, now + 301))
        if not fresh or b"v1," + base64.b64encode(digest) not in given:
            return self.answer(401, {"error": "the signature is wrong or older than 5 minutes"})
        STORE.execute("INSERT OR IGNORE INTO kept VALUES (NULL, ?, ?)", (key, body or None))
        found = STORE.execute("SELECT id, body FROM kept WHERE ? IN (key, 'D' || id)", (key,))
        for an_id, kept in found:  # of a known key nothing was inserted, nor of a look-up (NULL)
            first = json.loads(kept) | {"remote_id": f"D{an_id}"}
            return self.answer(200 if body in (b"", kept) else 409, first)
        return self.answer(404, {"error": f"there is no document {key}"})

    do_GET = do_POST  # noqa: N815


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
