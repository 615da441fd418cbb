"""The unmodified browser SDKs in Chromium, from a page of another origin: CORS is real."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium
from tests.sdk.door import open_door
from tests.sdk.packages import installed


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, says nothing."""

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def pages(folder: Path) -> Iterator[str]:
    """Serve a folder on a loopback port of its own."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.mark.browser
@pytest.mark.parametrize("name", ["segment", "rudder"])
def test_events_of_a_browser_sdk_arrive(name: str) -> None:
    folder = installed()
    with open_door() as door, pages(folder) as site, chromium() as browser:
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{site}/{name}.html?door={door.url}")
        try:
            events = {event.type: event for event in door.events(3)}
        except AssertionError as error:
            raise AssertionError(f"{error}; the page said {said}") from None
        assert set(events) == {"customer.identified", "order.placed", "web.page_viewed"}
        order = events["order.placed"]
        assert order.data["value"] == 4250
        assert order.data["user_id"] == "u1"
        assert order.data["anonymous_id"], "the browser's own id came along"
        assert len({event.ids[0] for event in events.values()}) == 1
        assert door.dead() == []


@pytest.mark.browser
@pytest.mark.parametrize("name", ["segment", "rudder"])
def test_a_browser_sdk_keeps_its_events_while_the_log_is_down(name: str) -> None:
    folder = installed()
    with open_door() as door, pages(folder) as site, chromium() as browser:
        door.log.refusals = 3
        browser.new_page().goto(f"{site}/{name}.html?door={door.url}")
        events = {event.type for event in door.events(3)}
        assert events == {"customer.identified", "order.placed", "web.page_viewed"}
        assert door.log.refusals == 0, "the outage was met"
