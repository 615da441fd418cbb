"""The file of endpoints: what it says, and every mistake at once."""

from base64 import b64encode
from pathlib import Path

import orjson
import pytest

from engine.delivery.endpoints import parse_endpoints
from engine.delivery.model import Endpoint
from engine.errors import ConfigError

SECRET = "whsec_" + b64encode(b"0" * 32).decode()
GOOD = {"name": "crm", "url": "https://crm.example/hooks", "secret": SECRET}


def parsed(**changes: object) -> Endpoint:
    spec = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return parse_endpoints(orjson.dumps([spec]).decode(), where="ENDPOINTS")[0]


def test_the_shipped_file_holds_none() -> None:
    path = Path(__file__).parents[3] / "topics" / "endpoints.yaml"
    assert parse_endpoints(path.read_text(), where="topics/endpoints.yaml") == ()


def test_yaml_and_json_say_the_same() -> None:
    yaml = f"endpoints:\n  - name: crm\n    url: https://crm.example/hooks\n    secret: {SECRET}\n"
    assert parse_endpoints(yaml, where="a.yaml") == (parsed(),)


def test_two_secrets_are_both_active() -> None:
    other = "whsec_" + b64encode(b"1" * 24).decode()
    assert parsed(secret=None, secrets=[other, SECRET]).secrets == (other, SECRET)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"url": None}, "an endpoint has `name`, `url` and `secret`"),
        ({"url": "http://crm.example/"}, "want https"),
        ({"url": "https://10.0.0.1/"}, "10.0.0.1 is not a public address"),
        ({"secret": "hunter2"}, "want a secret of the form whsec_"),
        ({"secret": "whsec_" + b64encode(b"short").decode()}, "24 to 64 bytes"),
        ({"secret": None}, "want a secret"),
        ({"secret": None, "secrets": [SECRET] * 3}, "at most 2"),
        ({"secret": None, "secrets": SECRET}, "want a list"),
        ({"privat": True}, "unknown key `privat`; did you mean `private`?"),
        ({"private": "yes"}, "want true or false"),
        ({"on_unknown": "drop"}, "want retry or park"),
        ({"concurrency": 0}, "want 1 to 256"),
        ({"concurrency": "8"}, "want 1 to 256"),
        ({"concurrency": True}, "want 1 to 256"),
        ({"timeout_s": 0}, "want above 0, up to 30"),
        ({"timeout_s": 300}, "want above 0, up to 30"),
        ({"rules": "cart"}, "want a list of names"),
        ({"channels": [1]}, "want a list of names"),
        ({"name": "a|b"}, "no `|` in it"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, object], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(**changes)
    assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["endpoints: 7", "just words", "7", "{", "[{]", "endpoints: {a: 1}"]
)
def test_a_text_of_another_shape_is_a_mistake_of_configuration(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoints(text, where="x")


def test_all_mistakes_come_at_once() -> None:
    specs = [GOOD | {"private": "no", "concurrency": -1}, GOOD | {"name": "b", "on_unknown": "x"}]
    with pytest.raises(ConfigError) as caught:
        parse_endpoints(orjson.dumps(specs).decode(), where="x")
    assert len(caught.value.message.splitlines()) == 3


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="another of that name"):
        parse_endpoints(orjson.dumps([GOOD, GOOD]).decode(), where="x")


@pytest.mark.parametrize(
    ("wanted", "rule", "channels", "takes"),
    [
        ({}, "cart", ["email"], True),
        ({"rules": ["cart"]}, "cart", [], True),
        ({"rules": ["cart"]}, "birthday", [], False),
        ({"channels": ["desk"]}, "cart", ["email", "desk"], True),
        ({"channels": ["desk"]}, "cart", ["email"], False),
        ({"channels": ["desk"]}, "cart", [], True),  # a trigger that names no channel is for all
    ],
)
def test_what_an_endpoint_wants(
    wanted: dict[str, object], rule: str, channels: list[str], takes: bool
) -> None:
    assert parsed(**wanted).wants(rule, channels) is takes
