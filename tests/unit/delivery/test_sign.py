"""What we sign, the package `standardwebhooks` verifies, and so does our own sample receiver."""

from base64 import b64encode
from collections.abc import Callable
from time import time

import pytest

from engine.delivery.sign import TOLERANCE_S, holds, signed_headers
from tests.receiver import verifies

OLD, NEW, OTHER = ("whsec_" + b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
BODY = '{"id":"00ff","words":"客户"}'.encode()


def signed(*secrets: str, at: int | None = None) -> dict[str, str]:
    return signed_headers(secrets, "00ff", int(time()) if at is None else at, BODY)


def ours(headers: dict[str, str], body: bytes, secret: str) -> bool:
    return holds(headers, body, secret, now_s=int(time()))


Check = Callable[[dict[str, str], bytes, str], bool]
both = pytest.mark.parametrize("check", [verifies, ours], ids=["standardwebhooks", "ours"])


@both
def test_what_we_sign_is_verified(check: Check) -> None:
    assert check(signed(NEW), BODY, NEW)


@both
def test_a_webhook_is_verified_by_either_secret_while_they_rotate(check: Check) -> None:
    headers = signed(NEW, OLD)
    assert check(headers, BODY, NEW)
    assert check(headers, BODY, OLD)
    assert not check(headers, BODY, OTHER)


@both
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("webhook-id", "00fe"),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", "v1,no base64!"),
        ("webhook-signature", ""),
        ("webhook-timestamp", "soon"),
    ],
)
def test_a_tampered_header_is_refused(check: Check, header: str, value: str) -> None:
    assert not check(signed(NEW) | {header: value}, BODY, NEW)


@both
def test_another_time_within_the_tolerance_is_refused_all_the_same(check: Check) -> None:
    headers = signed(NEW)
    headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
    assert not check(headers, BODY, NEW)


@both
def test_a_tampered_body_is_refused(check: Check) -> None:
    assert not check(signed(NEW), BODY.replace(b"00ff", b"00fe"), NEW)


@both
@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(check: Check, header: str) -> None:
    headers = signed(NEW)
    del headers[header]
    assert not check(headers, BODY, NEW)


@both
@pytest.mark.parametrize("shift_s", [-TOLERANCE_S - 10, TOLERANCE_S + 10])
def test_a_webhook_of_another_time_is_refused(check: Check, shift_s: int) -> None:
    assert not check(signed(NEW, at=int(time()) + shift_s), BODY, NEW)


@both
def test_a_webhook_four_minutes_old_is_taken(check: Check) -> None:
    assert check(signed(NEW, at=int(time()) - 240), BODY, NEW)
