"""The unmodified Node SDKs of Segment and RudderStack against the collector."""

import subprocess
from hashlib import sha256

import pytest

from tests.sdk.door import open_door
from tests.sdk.packages import installed


@pytest.mark.sdk
@pytest.mark.parametrize("script", ["segment.mjs", "rudder.mjs"])
def test_events_of_a_node_sdk_arrive(script: str) -> None:
    folder = installed()
    with open_door() as door:
        command = ["node", script, door.url]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        events = {event.type: event for event in door.events(3)}
        assert set(events) == {"customer.identified", "order.placed", "web.page_viewed"}
        order = events["order.placed"]
        assert order.id == sha256(b"demo\0mine-1").digest()[:16].hex()
        assert order.data["value"] == 4250
        assert events["web.page_viewed"].data["anonymous_id"] == "a1"
        (letter,) = door.dead()
        assert letter["reason"] == "contract/type"


@pytest.mark.sdk
@pytest.mark.parametrize("script", ["segment.mjs", "rudder.mjs"])
def test_a_node_sdk_keeps_its_events_while_the_log_is_down(script: str) -> None:
    folder = installed()
    with open_door() as door:
        door.log.refusals = 3
        command = ["node", script, door.url]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        events = {event.type for event in door.events(3)}
        assert events == {"customer.identified", "order.placed", "web.page_viewed"}
        assert len(door.dead()) == 1
        assert door.log.refusals == 0, "the outage was met"
