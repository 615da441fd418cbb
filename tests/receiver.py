"""A channel system in a thread, which checks signatures with the package `standardwebhooks`."""

import binascii
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

from standardwebhooks import Webhook, WebhookVerificationError

from engine.simulation.receiver import Desk, serve

SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def verifies(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Tell whether the package takes a webhook; it raises binascii.Error for no base64."""
    try:
        Webhook(secret).verify(body, dict(headers))
    except (WebhookVerificationError, binascii.Error):
        return False
    return True


@contextmanager
def receiver(secret: str = SECRET) -> Iterator[tuple[Desk, str]]:
    """Serve a desk on a loopback port; gives the desk and its URL."""
    desk = Desk(secret, check=verifies)
    server = serve(desk, 0)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield desk, f"http://127.0.0.1:{server.server_port}/hooks"
    finally:
        desk.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
