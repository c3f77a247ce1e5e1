"""A receiver to begin with, behind a proxy with TLS: python webhook_receiver.py PORT SECRET FILE"""

import base64
import hmac
import json
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT, SECRET, STORE = int(sys.argv[1]), sys.argv[2].encode(), sqlite3.connect(sys.argv[3])
STORE.execute("CREATE TABLE IF NOT EXISTS document (id INTEGER PRIMARY KEY, key UNIQUE, body)")


class Receiver(BaseHTTPRequestHandler):
    def answer(self, status: int, value: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        key, stamp = self.headers["webhook-id"] or "", self.headers["webhook-timestamp"] or "0"
        digest = hmac.digest(SECRET, f"{key}.{stamp}.".encode() + body, "sha256")
        given = (self.headers["webhook-signature"] or "").encode().split()
        if abs(time.time() - float(stamp)) > 300 or b"v1," + base64.b64encode(digest) not in given:
            return self.answer(401, {"error": "the signature is wrong or older than 5 minutes"})
        if body:  # a known key changes nothing and gets the first answer: no document comes twice
            with STORE:
                STORE.execute("INSERT OR IGNORE INTO document VALUES (NULL, ?, ?)", (key, body))
        found = STORE.execute("SELECT id, body FROM document WHERE ? IN (key, 'D' || id)", (key,))
        for an_id, kept in found:
            return self.answer(200, json.loads(kept) | {"remote_id": f"D{an_id}"})
        return self.answer(404, {"error": f"there is no document {key}"})

    do_GET = do_POST  # noqa: N815


HTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
