"""Laws of identifiers, of the codec and of the door, over inputs that nobody thought of."""

from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.clock import YEAR_1970_MS, YEAR_2100_MS, iso, parse_iso
from engine.errors import ContractError
from engine.events import codec
from engine.events.contract import parse_contracts
from engine.events.fields import minor_units
from engine.events.ids import TYPES, birth_id, normalise
from engine.events.model import Event
from engine.events.record import partition_of
from engine.ingest.accept import REASONS, Accepted, accept
from engine.ingest.sources import Source

TOPICS = Path(__file__).parents[2] / "topics"
CONTRACTS = parse_contracts(
    {
        str(path.relative_to(TOPICS)): path.read_text(encoding="utf-8")
        for path in [*TOPICS.glob("events/*.yaml"), TOPICS / "sets.yaml"]
    }
)
SECRET = b"a secret of thirty-two characters"
NOW = parse_iso("2026-05-01T10:00:00Z")
ACCEPT_S_MAX = 5.0  # of CPU, of any 32 KB: a guard against endless work, no figure

instants = st.integers(YEAR_1970_MS, YEAR_2100_MS - 1)
values = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["13800138000", "+44 7700 900123", "Ann@Example.COM", "11010519491231002X"]),
    st.from_regex(r"[0-9+ ()-]{5,18}", fullmatch=True),
    st.emails(),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), values,
    st.sampled_from([10**400, -(10**400), "\ud800", "\0", 2**53, 2**64, "gold", "2026-05-01"]),
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
field_names = st.sampled_from(
    sorted(
        {
            name
            for contract in CONTRACTS.by_name.values()
            for spec in contract.fields.values()
            for name in (spec.name, *spec.aliases)
        }
    )
)
event_names = st.sampled_from(
    [*sorted(CONTRACTS.by_name), "Order Completed", "Order Complete", "custom.x", "试驾", ""]
)
properties = st.dictionaries(
    st.one_of(field_names, st.just(""), st.text(max_size=8)), trees, max_size=8
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return nine usual values for one that is anything."""
    return st.integers(0, 9).flatmap(lambda n: usual if n else trees)


methods = st.sampled_from(["track", "page", "screen", "identify", "group", "alias"])
segment_messages = st.fixed_dictionaries(
    {"type": mostly(methods), "event": mostly(event_names), "anonymousId": mostly(st.just("a1"))},
    optional={
        "userId": trees,
        "previousId": trees,
        "groupId": trees,
        "messageId": trees,
        "timestamp": mostly(instants.map(iso)),
        "originalTimestamp": trees,
        "sentAt": trees,
        "context": st.one_of(trees, st.fixed_dictionaries({"traits": properties, "page": trees})),
        "properties": mostly(properties),
        "traits": mostly(properties),
        "name": trees,
        "category": trees,
    },
)
texts = mostly(st.text(min_size=1, max_size=8))
cloud_messages = st.fixed_dictionaries(
    {"specversion": texts, "id": texts, "source": texts, "type": mostly(event_names)},
    optional={
        "time": mostly(instants.map(iso)),
        "subject": mostly(st.just("anonymous_id:a1")),
        "data": mostly(properties),
        "data_base64": trees,
    },
)
GOOD = [(name, data) for name, c in sorted(CONTRACTS.by_name.items()) for data in c.good]
likely_messages = st.builds(
    # A message that would be accepted, and up to four things about it that are not usual.
    lambda good, odd, head: (
        {
            "type": "track",
            "event": good[0],
            "userId": "u1",
            "anonymousId": "a1",
            "properties": good[1] | odd,
        }
        | head
    ),
    st.sampled_from(GOOD),
    st.dictionaries(st.one_of(field_names, st.just(""), st.text(max_size=8)), scalars, max_size=3),
    st.fixed_dictionaries(
        {}, optional={"timestamp": instants.map(iso), "sentAt": trees, "context": trees}
    ),
)
sources = st.builds(
    Source,
    name=st.sampled_from(["shop", "engine"]),
    key=st.just("k"),
    trust=st.sampled_from(["none", "names", "proves"]),
    custom=st.booleans(),
    region=st.sampled_from(["CN", "GB", "XX", ""]),
    currency=st.sampled_from(["CNY", "JPY"]),
)


@given(kind=st.sampled_from(sorted(TYPES)), value=values, region=st.sampled_from(["CN", "GB"]))
@example(kind="email", value="ß@x.cn", region="CN")
@example(kind="email", value="İ@x.cn", region="CN")
def test_a_written_form_is_its_own_written_form(kind: str, value: str, region: str) -> None:
    plain = normalise(kind, value, region=region)
    if plain is not None:
        assert normalise(kind, plain, region=region) == plain


@given(
    kind=st.sampled_from(sorted(TYPES)),
    value=values,
    pad=st.sampled_from(["", " ", "\t", "\u3000"]),
)
def test_space_around_an_identifier_changes_nothing(kind: str, value: str, pad: str) -> None:
    assert normalise(kind, pad + value + pad) == normalise(kind, value)


@given(kind=st.sampled_from(sorted(TYPES)), value=values, tenant=st.text(max_size=8))
def test_a_birth_id_is_ascii_and_has_a_partition(kind: str, value: str, tenant: str) -> None:
    found = birth_id(kind, value, tenant=tenant, secret=SECRET)
    assert len(found) == 18
    assert 0 <= partition_of(found, 256) < 256


@given(st.integers(0, 10**12), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_an_amount_of_whole_minor_units_comes_through_exactly(minor: int, currency: str) -> None:
    digits = {"CNY": 2, "JPY": 0, "KWD": 3}[currency]
    assert minor_units(minor / 10**digits, currency) == minor


@given(instants)
def test_an_instant_survives_its_written_form(at: int) -> None:
    assert parse_iso(iso(at)) == at
    stamp = datetime.fromtimestamp(at // 1000, tz=UTC).astimezone()
    assert parse_iso(stamp.isoformat()) == at // 1000 * 1000


@given(
    st.builds(
        Event,
        id=st.text("0123456789abcdef", min_size=32, max_size=32),
        tenant=st.text(max_size=8),
        source=st.text(max_size=8),
        type=event_names,
        at=instants,
        original_at=instants,
        received_at=instants,
        ids=st.lists(st.text(max_size=18), max_size=3),
        ev=st.sampled_from([0, 1]),
        data=st.dictionaries(
            st.text(max_size=8),
            st.one_of(st.text(), st.integers(-(2**53), 2**53), st.booleans(),
                      st.floats(allow_nan=False, allow_infinity=False)),
            max_size=4,
        ),
    )
)  # fmt: skip
def test_an_event_survives_the_log(event: Event) -> None:
    assert codec.decode(codec.encode(event)) == event
    assert orjson.loads(codec.encode(event))["id"] == event.id


@pytest.mark.parametrize(
    "messages",
    [segment_messages, cloud_messages, likely_messages],
    ids=["segment", "cloud", "likely"],
)
def test_the_door_answers_with_an_event_or_a_reason(messages: Any) -> None:
    @settings(max_examples=500)
    @given(message=messages, source=sources, sent=st.one_of(st.none(), instants))
    def holds(message: dict[str, Any], source: Source, sent: int | None) -> None:
        start = process_time()
        event_or_code = answer(message, source, sent)
        assert process_time() - start < ACCEPT_S_MAX
        if isinstance(event_or_code, str):
            assert event_or_code in REASONS
            return
        event, key, value = event_or_code
        assert codec.decode(value) == event
        assert key == event.ids[0]
        assert event.ids == sorted(event.ids)
        assert YEAR_1970_MS <= event.at < YEAR_2100_MS
        assert b"11010519491231002" not in orjson.dumps(event.data)
        if source.trust == "none":
            assert all(i[0] in "23E" for i in event.ids)
        assert answer(message, source, sent) == event_or_code

    holds()


def answer(message: dict[str, Any], source: Source, sent: int | None) -> Accepted | str:
    """Return what the door makes of a message, or the code of its reason."""
    raw = b"{" * 20 + b":" * 300  # the limits are walked, whatever the bytes
    try:
        return accept(
            message, raw=raw, source=source, received_at=NOW, sent_at=sent,
            contracts=CONTRACTS, secret=SECRET,
        )  # fmt: skip
    except ContractError as error:
        return error.code if str(error).endswith(f"[{error.code}]") else "told badly"
