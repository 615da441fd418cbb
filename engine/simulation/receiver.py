"""A sample channel system: checks each webhook's signature, answers 200, counts what came twice.

`python -m engine.simulation.receiver --port 0 --secret whsec_...` prints its address; GET /totals
says what it has seen.
"""

from argparse import ArgumentParser
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from time import time
from typing import Any

import orjson

from engine.delivery.sign import holds

LATENCIES_MAX = 100_000


class Desk:
    """What the channel system remembers: each trigger's effect must happen once."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._busy = Lock()
        self._webhook_of: dict[str, str] = {}  # trigger id -> webhook-id
        self._latencies: list[int] = []
        self.delivered = 0
        self.repeated = 0
        self.duplicates = 0
        self.refused = 0

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take one webhook in; return the HTTP status."""
        if not holds(headers, body, self._secret, now_s=int(time())):
            self.refused += 1
            return 401
        trigger: dict[str, Any] = orjson.loads(body)
        name, webhook = trigger["id"], headers["webhook-id"]
        with self._busy:
            known = self._webhook_of.get(name)
            if known is None:
                self._webhook_of[name] = webhook
                self.delivered += 1
                self._note_latency(trigger, headers)
            elif known == webhook:
                self.repeated += 1  # at least once: the same id again is dropped, as it should be
            else:
                self.duplicates += 1
        return 200

    def totals(self) -> dict[str, Any]:
        """Return the counts; latencies are in ms of log time, of triggers that did not wait."""
        with self._busy:
            return {
                "delivered": self.delivered,
                "repeated": self.repeated,
                "duplicates": self.duplicates,
                "refused": self.refused,
                "latencies_ms": list(self._latencies),
            }

    def _note_latency(self, trigger: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        handed_over = headers.get("x-touchpoint-handed-over", "")
        if trigger.get("waited") or not handed_over.isdigit():
            return
        if len(self._latencies) < LATENCIES_MAX:
            self._latencies.append(int(handed_over) - int(trigger["received_at"]))


def serve(desk: Desk, port: int) -> ThreadingHTTPServer:
    """Return a server on a loopback port (0: any) that hands webhooks to the desk."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take a webhook."""
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(desk.take(headers, body), b"{}")

        def do_GET(self) -> None:
            """Say the totals."""
            self._answer(200, orjson.dumps(desk.totals()))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Door)


def main() -> None:
    """Serve until ended."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", required=True)
    arguments = parser.parse_args()
    server = serve(Desk(arguments.secret), arguments.port)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
