"""What a first-time user sees: a trigger with its reason on the page, and its customer."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import chromium

ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine() -> Iterator[str]:
    """`engine up` as a user starts it; its address."""
    command = [sys.executable, "-m", "engine.cli.main", "up", "--port", "0", "--json"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    yield json.loads(child.stdout.readline())["collector"]
    child.send_signal(signal.SIGTERM)
    totals = json.loads(child.stdout.readline())
    child.wait(20)
    assert totals["lost"] == 0


def send(url: str, path: str, body: dict[str, Any]) -> None:
    """Post one message as an SDK does."""
    key = base64.b64encode(b"any:").decode()
    headers = {"content-type": "application/json", "authorization": f"Basic {key}"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.loads(answer.read()) == {"success": True}


@pytest.mark.browser
@pytest.mark.broker
@pytest.mark.redis
def test_a_trigger_and_its_customer_are_on_the_page_in_both_languages(engine: str) -> None:
    identity = {"userId": "u7", "messageId": "i", "traits": {"tier": "gold", "name": "王芳"}}
    send(engine, "/v1/identify", identity)
    cart = {"value": 150.0, "cart_id": "c1", "items": 1}
    send(
        engine, "/v1/track",
        {"userId": "u7", "messageId": "c", "event": "cart.updated", "properties": cart},
    )  # fmt: skip
    review = {"sentiment": -0.8, "stars": 1, "product_id": "p1"}
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900}, locale="en-GB")
        mistakes: list[str] = []
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.goto(engine + "/")
        send(
            engine, "/v1/track",
            {"userId": "u7", "messageId": "r", "event": "review.posted", "properties": review},
        )  # fmt: skip
        item = page.locator("#feed li", has_text="A gold member writes a bad review")
        item.wait_for(timeout=15_000)
        assert "sentiment" in item.inner_text()
        item.locator("button").click()
        page.locator("#card", has_text="u7").wait_for(timeout=5_000)
        page.locator("#card li", has_text="unless Order placed comes by").first.wait_for()
        page.select_option("#rule", "gold-service-recovery")
        page.get_by_role("button", name="Ask").click()
        page.locator("#card .why", has_text="It acted: case service-recovery").wait_for()
        page.select_option("#rule", "payment-trouble")
        page.get_by_role("button", name="Ask").click()
        page.locator("#card .why", has_text="Nothing that it is about has happened").wait_for()
        page.get_by_role("button", name="中文").click()
        page.locator("#feed li", has_text="金卡会员发表差评").wait_for(timeout=5_000)
        text = page.locator("#card").inner_text()
        assert "王芳" in text and "仍没有「下单」" in text and "w:" not in text
        shot = Path(os.environ.get("SCREENSHOTS", tempfile.mkdtemp())) / "console.png"
        page.screenshot(path=str(shot))
        print(shot)
        assert mistakes == []
        _asks_about_a_shop(engine, page)
        assert mistakes == []


def _asks_about_a_shop(engine: str, page: Any) -> None:
    """A shop has a card too, which offers the rules about shops and no others."""
    ticket = {"store_id": "s7", "ticket_id": "t1"}
    send(
        engine, "/v1/track",
        {"userId": "u7", "messageId": "t", "event": "store.ticket_taken", "properties": ticket},
    )  # fmt: skip
    for _ in range(50):
        page.fill("#who", "store:s7")
        page.get_by_role("button", name="查询", exact=True).click()
        with suppress(Exception):
            page.locator("#card .why").wait_for(timeout=200)
            if page.locator("#rule option[value=queue-too-long]").count():
                break
    names = page.locator("#rule option").evaluate_all("all => all.map((one) => one.value)")
    assert "queue-too-long" in names and "payment-trouble" not in names
    page.select_option("#rule", "queue-too-long")
    page.get_by_role("button", name="查询原因").click()
    page.locator("#card .why", has_text="条件不成立").wait_for()
    page.screenshot(path=str(Path(os.environ.get("SCREENSHOTS", tempfile.mkdtemp())) / "shop.png"))


@pytest.mark.browser
@pytest.mark.broker
@pytest.mark.redis
def test_nobody_is_said_to_be_nobody(engine: str) -> None:
    with chromium() as browser:
        page = browser.new_page(locale="en-GB")
        page.goto(engine + "/")
        page.fill("#who", "user_id:nobody")
        page.get_by_role("button", name="Look up").click()
        page.locator("#card .error", has_text="Nobody is known by this").wait_for()
        page.get_by_role("button", name="中文").click()
        page.locator("#card .error", has_text="没有这个标识的客户").wait_for()
