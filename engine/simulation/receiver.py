"""A sample channel system: checks each webhook's signature, answers 200, counts what came twice.

`python -m engine.simulation.receiver --port 0 --secret whsec_...` prints its address; GET /totals
says what it has seen, POST /answer with one of `ANSWERS` as body tells it to misbehave.
"""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from time import time
from typing import Any

import orjson

from engine.delivery.sign import holds

BODY_SIZE_MAX = 1_048_576
LATENCIES_MAX = 100_000
HANG_S_MAX = 60.0
# `lost`: it takes the webhook in, and closes the connection without an answer.
ANSWERS = ("200", "302", "400", "410", "429", "500", "503", "hang", "garbage", "lost")
Check = Callable[[Mapping[str, str], bytes, str], bool]


def _check(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    return holds(headers, body, secret, now_s=int(time()))


class Desk:
    """What the channel system remembers: each trigger's effect must happen once.

    `answer`: one of ANSWERS; `retry_after_s`: what goes along with 429 and 503.
    """

    def __init__(self, secret: str, *, check: Check = _check) -> None:
        self._secret = secret
        self._check = check
        self._busy = Lock()
        self._webhook_of: dict[str, str] = {}  # trigger id -> webhook-id
        self._latencies: list[int] = []
        self._twice: set[str] = set()
        self.answer = "200"
        self.retry_after_s = 0
        self.released = Event()  # ends a hang
        self.delivered = 0
        self.repeated = 0
        self.refused = 0
        self.attempts = 0

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take one webhook in; return the HTTP status."""
        if not self._check(headers, body, self._secret):
            self.refused += 1
            return 401
        try:
            trigger: dict[str, Any] = orjson.loads(body)
            name, webhook = str(trigger["id"]), headers["webhook-id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            self.refused += 1
            return 400
        with self._busy:
            known = self._webhook_of.get(name)
            if known is None:
                self._webhook_of[name] = webhook
                self.delivered += 1
                self._note_latency(trigger, headers)
            elif known == webhook:
                self.repeated += 1  # at least once: the same id again is dropped, as it should be
            else:
                self._twice.add(name)
        return 200

    def ids(self) -> list[str]:
        """Return the ids of all triggers taken in, in order."""
        with self._busy:
            return list(self._webhook_of)

    def totals(self) -> dict[str, Any]:
        """Return the counts; latencies are in ms of log time, of triggers that did not wait.

        `duplicates`: trigger ids whose effect would have happened twice. `repeated`: webhooks that
        came again under their own id, and had no effect.
        """
        with self._busy:
            return {
                "delivered": self.delivered,
                "repeated": self.repeated,
                "duplicates": len(self._twice),
                "refused": self.refused,
                "attempts": self.attempts,
                "latencies_ms": list(self._latencies),
            }

    def _note_latency(self, trigger: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        handed_over = headers.get("x-touchpoint-handed-over", "")
        if trigger.get("waited") or not handed_over.isdigit():
            return
        if len(self._latencies) < LATENCIES_MAX:
            self._latencies.append(int(handed_over) - int(trigger.get("received_at", 0)))


class _Server(ThreadingHTTPServer):
    # Of five, as it is by itself, a crowd of senders loses the rest, and tries again after seconds.
    request_queue_size = 128


def serve(desk: Desk, port: int) -> ThreadingHTTPServer:
    """Return a server on a loopback port (0: any) that hands webhooks to the desk."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together: apart they wait 40 ms for each other
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """Take a webhook, or an order to misbehave."""
            size = int(self.headers.get("content-length", 0))
            if size > BODY_SIZE_MAX:
                self.close_connection = True
                self._say(413, b"{}")
                return
            body = self.rfile.read(size)
            if self.path == "/answer":
                known = body.decode("ascii", "replace") in ANSWERS
                desk.answer = body.decode("ascii") if known else desk.answer
                self._say(200 if known else 400, orjson.dumps(list(ANSWERS)))
                return
            desk.attempts += 1
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._answer(desk.answer, headers, body)

        def do_GET(self) -> None:
            """Say the totals."""
            self._say(200, orjson.dumps(desk.totals()))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _answer(self, answer: str, headers: Mapping[str, str], body: bytes) -> None:
            if answer == "200":
                self._say(desk.take(headers, body), b"{}")
            elif answer.isdigit():
                self._say(int(answer), b"{}")
            else:
                self.close_connection = True
                if answer == "hang":
                    desk.released.wait(HANG_S_MAX)
                elif answer == "garbage":
                    self.wfile.write(b"\x00\xff no HTTP at all\r\n\r\n")
                else:
                    desk.take(headers, body)

        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if desk.retry_after_s and status in (429, 503):
                self.send_header("retry-after", str(desk.retry_after_s))
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

    return _Server(("127.0.0.1", port), Door)


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
