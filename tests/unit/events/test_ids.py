"""Identifiers: one written form each, and ids that anyone with the key can compute."""

import base64
import hashlib
import hmac

import pytest

from engine.events.ids import (
    ENTITIES,
    TYPES,
    Name,
    birth_id,
    entity_id,
    entity_kind,
    event_id,
    is_entity,
    name_of,
    normalise,
)

SECRET = b"a secret of thirty-two characters"


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        ("phone", "13800138000", "+8613800138000"),
        ("phone", " 138-0013-8000 ", "+8613800138000"),
        ("phone", "+86 138 0013 8000", "+8613800138000"),
        ("phone", "0086 138 0013 8000", "+8613800138000"),
        ("phone", "１３８００１３８０００", "+8613800138000"),  # full-width digits
        ("phone", "+44 7700 900123", "+447700900123"),
        ("phone", "021-12345678 ext. 9", None),  # a switchboard is not a person
        ("phone", "12345", None),
        ("phone", "call me", None),
        ("email", "Ann@Example.COM", "ann@example.com"),
        ("email", "\u3000ａｎｎ@example.com", "ann@example.com"),  # NFKC
        ("email", "ann at example", None),
        ("email", "a@b@c", None),
        ("id_number", "11010519491231002x", "11010519491231002X"),
        ("id_number", "110105194912310021", None),  # its check digit is wrong
        ("id_number", "1101051949123100", None),
        ("user_id", "  U-17 ", "U-17"),  # others: trimmed, otherwise exact
        ("openid", "oA1b2-C_d", "oA1b2-C_d"),
        ("user_id", "", None),
        ("user_id", "   ", None),
        ("user_id", "undefined", None),
        ("user_id", "NULL", None),
        ("device_id", "00000000-0000-0000-0000-000000000000", None),
        ("user_id", "[object Object]", None),
        ("user_id", "a\0b", None),
        ("user_id", "\ud800", None),
        ("user_id", "x" * 257, None),
        ("shoe_size", "42", None),
    ],
)
def test_an_identifier_has_one_written_form(kind: str, value: str, plain: str | None) -> None:
    assert normalise(kind, value, region="CN") == plain


def test_a_national_number_is_read_by_the_region_of_its_source() -> None:
    assert normalise("phone", "07700 900123", region="GB") == "+447700900123"


def test_a_birth_id_is_the_keyed_hash_that_the_wire_names() -> None:
    message = b"demo\0u\0u17"
    digest = hmac.new(SECRET, message, hashlib.sha256).digest()[:12]
    expected = "0u" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert birth_id("user_id", "u17", tenant="demo", secret=SECRET) == expected
    assert len(expected) == 18


def test_tenants_keys_and_types_never_share_an_id() -> None:
    found = {
        birth_id("user_id", "x", tenant="a", secret=SECRET),
        birth_id("user_id", "x", tenant="b", secret=SECRET),
        birth_id("user_id", "x", tenant="a", secret=b"other"),
        birth_id("member_no", "x", tenant="a", secret=SECRET),
        entity_id("store", "x", tenant="a", secret=SECRET),
    }
    assert len(found) == 5


def test_a_stronger_identifier_sorts_before_a_weaker_one() -> None:
    ids = [birth_id(kind, "1", tenant="t", secret=SECRET) for kind in TYPES]
    strengths = [TYPES[kind].strength for kind in TYPES]
    assert [int(i[0]) for i in sorted(ids)] == sorted(strengths)


def test_exactly_the_unique_types_have_strength_nought_and_cap_one() -> None:
    for t in TYPES.values():
        assert t.unique == (t.strength == 0) == (t.cap == 1)
    assert len({t.letter for t in TYPES.values()}) == len(TYPES)


@pytest.mark.parametrize("kind", sorted(ENTITIES))
def test_a_thing_is_known_by_its_id(kind: str) -> None:
    found = entity_id(kind, "s1", tenant="t", secret=SECRET)
    assert is_entity(found)
    assert entity_kind(found) == kind
    assert found > birth_id("anonymous_id", "s1", tenant="t", secret=SECRET)


def test_copies_of_a_message_are_one_event() -> None:
    one = event_id("demo", "m1", b"first copy")
    assert one == event_id("demo", "m1", b"second copy, other bytes")
    assert one == hashlib.sha256(b"demo\0m1").digest()[:16].hex()
    assert one != event_id("shop", "m1", b"first copy")
    assert event_id("demo", None, b"a") != event_id("demo", None, b"b")


def test_an_identifier_as_sent_names_as_its_one_form_does_each_time() -> None:
    expected = birth_id("phone", "+8613800138000", tenant="t", secret=SECRET)
    for _ in range(2):
        found = name_of("phone", "138 0013 8000", "CN", "t", SECRET)
        assert found == Name(expected, "+8613800138000", removed=False)
    assert name_of("phone", "12", "CN", "t", SECRET).birth is None


def test_an_id_number_names_and_nothing_of_it_is_kept() -> None:
    found = name_of("member_no", " 11010519491231002x", "CN", "t", SECRET)
    assert found.birth is not None and found.kept is None and found.removed
