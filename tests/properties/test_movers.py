"""Who looks at segments and schedules only after events that can move them misses nothing.

The same life is folded twice: once as it is, once with everything looked at after each event and on
every day.
"""

import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.clock import DAY_MS, HOUR_MS
from engine.events.ids import birth_id
from engine.events.model import Event
from engine.identity.node import Links
from engine.keys import node_name
from engine.matching import segments
from engine.outcome import Meta
from engine.pipeline.book import Book
from engine.pipeline.merge import merge_actor
from engine.pipeline.state import STATE_VERSION, Live, Partition, decode_node, encode_node
from engine.pipeline.think import close_turn, fire, open_turn, think
from engine.profile.model import Actor, Trade
from engine.rules.compile import compile_rules
from tests.turns import NOON, contracts, event_id

SHARED = """segments:
  valued: {if: profile.trade.total >= 300.0}
  regular: {if: profile.rfm.frequency >= 2 && profile.rfm.recency >= 5, daily: members}
  dormant: {if: profile.trade.age > 40d, daily: everybody}
  golden: {if: profile.tier == "gold" && profile.consent.sms}
  troubled: {if: profile.complaint.open > 0}
  browsing: {if: 'count("web.page_viewed", 3d) >= 2'}
  reader: {if: profile.stage == "shopping"}
"""
NAMES = ("valued", "regular", "dormant", "golden", "troubled", "browsing", "reader")
RULE = (
    "owner: a@shop.example\nstatus: live\nfresh: 30d\nrule: {}\nwhen: [{}]\ndo: [{{case: look}}]\n"
)
WHENS = {
    **{f"in_{name}": f"{{entered: {name}}}" for name in NAMES},
    **{f"out_{name}": f"{{left: {name}}}" for name in NAMES},
    "quiet": '{schedule: {silence: 12d, at: "10:00"}}',
    "unbought": "{schedule: {silence: 20d, of: order.placed}}",
    "birthday": '{schedule: {date: profile.birthday, at: "09:00"}}',
    "since": '{schedule: {date: profile.trade.first_at, at: "10:00"}}',
    "again": '{schedule: {date: profile.trade.last_at, at: "23:00", every: once}}',
    "seen": '{schedule: {date: profile.seen_at, at: "10:00"}}',
}
RULES = compile_rules(
    {"shared.yaml": SHARED, **{f"{n}.yaml": RULE.format(n, when) for n, when in WHENS.items()}},
    contracts(),
    version="v",
)
BOOK = Book(secret=b"s", rule_sets={"v": RULES})
WHO = birth_id("user_id", "u1", tenant="t", secret=b"s" * 16)
NAME = node_name("t", WHO)
DATA: list[tuple[str, dict[str, Any]]] = [
    ("web.page_viewed", {}),
    ("delivery.sent", {}),
    ("order.placed", {"value": 20_000, "currency": "CNY"}),
    ("order.returned", {"value": 15_000}),
    ("customer.identified", {"tier": "gold"}),
    ("customer.identified", {"tier": "basic", "zone": "America/New_York"}),
    ("customer.identified", {"birthday": "1990-03-20"}),
    ("consent.changed", {"channel": "sms", "granted": True}),
    ("complaint.opened", {"case_id": "c"}),
    ("complaint.resolved", {"case_id": "c"}),
]
MERGE = len(DATA)
# One who is merged comes into segments, of which a look at nine must not hide any.
MERGED = [(h, n, False) for h, n in [(0, 2), *[(37, 0)] * 3, (834, 0), (37, MERGE), (37, 0)]]

lives = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 36), st.integers(37, 24 * 50)),  # hours after the one before
        st.integers(0, MERGE),
        st.booleans(),
    ),
    max_size=25,
)


def looked_at(life: list[tuple[int, int, bool]], monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what a life leads to where everything is looked at after each event and each day."""
    with monkeypatch.context() as patched:
        patched.setattr(segments, "AHEAD_DAYS", 1)
        return triggers_of(life, look=True)


def triggers_of(life: list[tuple[int, int, bool]], *, look: bool) -> list[bytes]:
    """Return what a life leads to; `look`: at everything after each event."""
    state = Partition(0, 1, Meta(ruleset="v", now=NOON, clk=NOON))
    live = Live(STATE_VERSION, Links(), Actor())
    state.nodes[NAME] = live
    at = NOON
    for number, (hours, which, stored) in enumerate(life):
        _pass_time(state, at := at + hours * HOUR_MS)
        turn = open_turn(state, "t", WHO, live, BOOK)
        if which == MERGE:
            loser = Actor()
            loser.trade = Trade(2, 40_000, first_at=at - 5 * DAY_MS, last_at=at - DAY_MS)
            merge_actor(turn, loser, absorbed="0uother", forced=False)
        else:
            if look:
                live.actor.dated = ""
            type, data = DATA[which]
            event = Event(
                id=event_id(str(number)), tenant="t", source="s", type=type, at=at,
                original_at=at, received_at=at, ids=[WHO], data=dict(data),
            )  # fmt: skip
            think(turn, state, event, BOOK)
        close_turn(state, turn, BOOK)
        if stored:
            found = decode_node(NAME, encode_node(live))
            assert isinstance(found, Live)
            state.nodes[NAME] = live = found
    _pass_time(state, at + 100 * DAY_MS)
    assert not [code for code in state.outcome.counts if code.startswith("rule_error")]
    return [move.value for _, move in state.outcome.triggers]


def _pass_time(state: Partition, now: int) -> None:
    state.note_timers()
    while state.is_due(now):
        state.meta.now = state.meta.clk = state.due[0][0]
        member = state.pop_due(now)
        assert member is not None
        state.outcome.timers = {}
        fire(state, member, BOOK)
        state.note_timers()
    state.meta.now = state.meta.clk = now
    state.outcome.timers = {}


@given(lives)
@example([(5, 0, False), (5, MERGE, False), (5, 0, False)])
@example([(5, 2, False), (5, 2, False), (240, 0, False), (240, 0, False), (242, 0, False)])
@example(MERGED)
@settings(max_examples=150)
def test_nothing_is_missed(life: list[tuple[int, int, bool]]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        assert triggers_of(life, look=False) == looked_at(life, patched)


def test_such_lives_lead_to_something() -> None:
    steps = [(5, n) for n in (0, 0, 2, 2, 3, 4, 7, 8, 9, 6, 5, MERGE, 0)]
    life = [(hours, n, False) for hours, n in [*steps, (24 * 45, 0), (5, 2)]]
    told = b"".join(triggers_of(life, look=False)).decode()
    never = {name for name in WHENS if f'"rule":"{name}"' not in told}
    assert never == {"out_valued", "seen", "since"}  # a year has not passed


def test_days_on_which_nothing_changes_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    fired: list[str] = []
    real = fire

    def counted(state: Partition, member: str, book: Book) -> None:
        fired.append(member.partition("|")[2])
        real(state, member, book)

    monkeypatch.setattr(sys.modules[__name__], "fire", counted)
    life = [(5, 2, False), (5, 2, False), (24 * 100, 0, False)]
    looked = triggers_of(life, look=False)
    days = fired.count(segments.TIMER)
    fired.clear()
    assert looked_at(life, monkeypatch) == looked
    assert fired.count(segments.TIMER) > 5 * days > 0


def test_schedules_are_armed_by_what_moves_them() -> None:
    def armed(type: str) -> set[str]:
        return {rule.id for rule in RULES.arming.get(type, RULES.always)}

    assert armed("web.page_viewed") == {"seen"}
    assert armed("order.placed") == {"seen", "since", "again", "unbought"}
    assert armed("customer.identified") == {"seen", "since", "again", "birthday"}
