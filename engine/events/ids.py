"""Identifiers: their types, their one written form, and the birth ids that give events a home."""

import base64
import hmac
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import phonenumbers

ID_SIZE = 12  # bytes of the keyed hash in a birth id
VALUE_LENGTH_MAX = 256
PHONE_DIGITS_MIN = 7  # behind the country code
CACHE_MAX = 65_536  # identifiers: those of a busy hour's customers; some 30 MB when full
SOURCES_MAX = 1_024  # whose ids are begun
ID_NUMBER_LENGTH = 18
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_ID_FORM = re.compile(
    r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]"
)
_EMAIL = re.compile(r"[^@\s]{1,128}@[^@\s]{1,190}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# What broken clients send for "nobody": as identifiers they would make one customer of thousands.
_NOBODY = "null undefined none nan nil (null) <null> anonymous unknown n/a"
_ZERO_UUID = "00000000-0000-0000-0000-000000000000"
NOBODY = frozenset((*_NOBODY.split(), "[object object]", _ZERO_UUID))


@dataclass(frozen=True, slots=True)
class IdType:
    """A type of identifier: one `letter`, `strength` 0 (a person's own) to 3 (a device's).

    `cap`: how many values one person may have. Strength 0 is unique: cap 1, and a rival otherwise.
    """

    name: str
    letter: str
    strength: int
    cap: int

    @property
    def unique(self) -> bool:
        """Tell whether two values of it are two people."""
        return self.strength == 0


TYPES = {
    t.name: t
    for t in (
        IdType("user_id", "u", 0, 1),
        IdType("member_no", "m", 0, 1),
        IdType("id_number", "n", 0, 1),
        IdType("phone", "p", 1, 5),
        IdType("email", "e", 1, 5),
        IdType("openid", "o", 2, 5),
        IdType("unionid", "w", 2, 5),
        IdType("device_id", "d", 3, 20),
        IdType("anonymous_id", "a", 3, 20),
    )
}
CAPS = {t.letter: t.cap for t in TYPES.values()}
ENTITIES = {
    "store": "s",
    "ad": "a",
    "agent": "g",
    "topic": "t",
    "budget": "b",
    "incident": "i",
    "city": "c",
}
_ENTITY_KINDS = {letter: kind for kind, letter in ENTITIES.items()}


def birth_id(kind: str, value: str, *, tenant: str, secret: bytes) -> str:
    """Return the birth id of a normalised identifier: strength, letter, 96 bit keyed hash.

    Source: WIRE.md, Ids. 18 ASCII characters; the lowest of an event's is its home.
    """
    t = TYPES[kind]
    return f"{t.strength}{t.letter}{_hash(t.letter, value, tenant, secret)}"


def entity_id(kind: str, value: str, *, tenant: str, secret: bytes) -> str:
    """Return the id of a thing (a store, an ad, ...); sorts behind every birth id."""
    letter = ENTITIES[kind]
    return f"E{letter}{_hash('E' + letter, value, tenant, secret)}"


def is_entity(node_id: str) -> bool:
    """Tell whether an id is that of a thing."""
    return node_id.startswith("E")


def entity_kind(node_id: str) -> str:
    """Return the kind of thing that an entity id names."""
    return _ENTITY_KINDS[node_id[1]]


def event_id(source: str, message_id: str | None, raw: bytes) -> str:
    """Return 32 hex digits: the same for each copy of a message; without an id, of its bytes."""
    digest = _begun(source).copy()
    digest.update(message_id.encode() if message_id else raw)
    written: str = digest.hexdigest()[:32]
    return written


@lru_cache(maxsize=SOURCES_MAX)
def _begun(source: str) -> Any:
    """Return the digest of what the ids of one source's events begin with."""
    return sha256(source.encode() + b"\0")


def normalise(kind: str, value: str, *, region: str = "CN") -> str | None:
    """Return the one written form of an identifier, None if it is none of its type.

    Parameters
    ----------
    kind
        A name of TYPES.
    region
        ISO 3166 country whose national phone numbers are understood.

    Examples
    --------
    >>> normalise("phone", "138 0013 8000"), normalise("phone", "+44 7700 900123")
    ('+8613800138000', '+447700900123')
    >>> normalise("email", " Ann@Example.COM ")
    'ann@example.com'
    >>> normalise("id_number", "11010519491231002x")
    '11010519491231002X'
    >>> normalise("user_id", "undefined") is None
    True
    """
    text = value.strip()
    if kind not in TYPES or not text or len(text) > VALUE_LENGTH_MAX or _CONTROL.search(text):
        return None
    if kind == "phone":
        return _phone(text, region)
    if kind == "email":
        text = unicodedata.normalize("NFKC", text).strip().lower()
        return text if _EMAIL.fullmatch(text) else None
    if kind == "id_number":
        return _id_number(text.upper())
    return None if text.lower() in NOBODY else text


class Name(NamedTuple):
    """An identifier as it was sent, read. `birth` None: it is none of its type, and names nobody.

    `kept`: its one written form, None where nothing of it may be kept: an ID number, also as a
    member number, which some use it as. `removed`: what was sent must not stay in the data.
    """

    birth: str | None
    kept: str | None
    removed: bool


@lru_cache(maxsize=CACHE_MAX)
def name_of(kind: str, value: str, region: str, tenant: str, secret: bytes) -> Name:
    """Return what an identifier names; `region`: of national phone numbers.

    Remembered, because a customer sends the same identifiers with each event of a visit; names of
    arguments would make it three times as dear to remember.
    """
    removed = is_id_number(value)
    plain = normalise(kind, value, region=region)
    if plain is None:
        return Name(None, None, removed)
    birth = birth_id(kind, plain, tenant=tenant, secret=secret)
    return Name(birth, None if is_id_number(plain) else plain, removed)


def is_id_number(value: str) -> bool:
    """Tell whether a text is a Chinese ID number: such a one is never kept in clear.

    Province, date of birth and check digit must be right: order numbers have 18 digits as well.

    >>> is_id_number("11010519491231002X"), is_id_number("202605011234567890")
    (True, False)
    """
    if len(value) < ID_NUMBER_LENGTH:  # as nearly every text
        return False
    text = value.strip()
    return (
        len(text) == ID_NUMBER_LENGTH
        and _ID_FORM.fullmatch(text) is not None
        and _id_number(text.upper()) is not None
    )


def _hash(letter: str, value: str, tenant: str, secret: bytes) -> str:
    message = f"{tenant}\0{letter}\0{value}".encode()
    digest = hmac.digest(secret, message, "sha256")[:ID_SIZE]
    return base64.urlsafe_b64encode(digest).decode("ascii")


def _phone(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # Behind one switchboard sit many people: E.164 would drop the extension and make them one. So
    # would a service number (10086, 95588) that stands where the caller's should.
    short = number.national_number < 10 ** (PHONE_DIGITS_MIN - 1)
    if short or number.extension or not phonenumbers.is_possible_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _id_number(text: str) -> str | None:
    """Source: GB 11643-1999, ISO 7064 MOD 11-2."""
    if len(text) != 18 or not text[:17].isascii() or not text[:17].isdigit():
        return None
    total = sum(int(d) * w for d, w in zip(text, _ID_WEIGHTS, strict=False))
    return text if text[17] == _ID_CHECKS[total % 11] else None
