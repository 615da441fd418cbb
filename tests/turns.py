"""One actor under some rules, driven by hand: events arrive, time passes, triggers are seen."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from engine.adapters.files import read_contracts
from engine.decision.model import GoalReached, Trigger
from engine.events.contract import Contracts, parse_contracts
from engine.events.model import Event
from engine.matching.match import on_event, on_timer
from engine.outcome import Outcome
from engine.profile.logs import exact
from engine.profile.model import Actor, Trait
from engine.profile.turn import Turn
from engine.rules.compile import RuleSet, compile_rules

ROOT = Path(__file__).parent.parent
NOON = 1_772_596_800_000  # 2026-03-04T12:00+08:00: nobody's quiet hours
LATENESS_MS = 10_000
KEYS = {"email": "u1@customers.example", "phone": "+8613800000001", "user_id": "u1"}
HEAD = "owner: a@shop.example\nstatus: live\n"


@cache
def contracts() -> Contracts:
    """Return the contracts that we ship."""
    return parse_contracts(read_contracts(str(ROOT / "topics")))


def rules_of(*texts: str) -> RuleSet:
    """Return the rule set of some files; a text without owner and status gets ours."""
    files = {
        f"r{n}.yaml": text if "owner:" in text else text + "\n" + HEAD
        for n, text in enumerate(texts)
    }
    return compile_rules(files, contracts(), version="test")


def event_id(name: str) -> str:
    """Return the id of an event that a test calls by a short name."""
    return sha256(name.encode()).hexdigest()[:32]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Actor).decode


class Customer:
    """One actor, and what has left so far. Times are seconds after `NOON`."""

    def __init__(self, rules: RuleSet, *, kind: str = "person", node_id: str = "0uAAAA") -> None:
        self.rules = rules
        self.actor = Actor(kind=kind, keys=dict(KEYS))
        self.node_id = node_id
        self.now = NOON
        self.behind_ms = 0  # how far T is behind log time
        self.counts: dict[str, int] = {}
        self.left: list[Any] = []

    def knows(self, **traits: Any) -> "Customer":
        """Give the actor some facts; a double underscore is a dot."""
        self.actor.dated = ""  # as after an event that sets traits
        for name, value in traits.items():
            self.actor.traits[name.replace("__", ".")] = Trait(value, "test", 0)
        return self

    def send(
        self, type: str, at: float, data: Mapping[str, Any] | None = None, *, id: str = ""
    ) -> None:
        """Let an event arrive now that happened `at`."""
        moment = NOON + round(at * 1000)
        event = Event(
            id=id or event_id(f"{type}{at}{data}"),
            tenant="t",
            source="test",
            type=type,
            at=moment,
            original_at=moment,
            received_at=max(moment, self.now),
            ids=[self.node_id],
            data=dict(data or {}),
        )
        columns = self.rules.columns.get(type, exact.Columns())
        exact.append(self.actor.logs, type, moment, event.data, columns)
        turn = self._turn()
        on_event(self.rules, turn, event)
        self._close(turn)

    def tick(self, at: float) -> None:
        """Let log time pass until `at`; what is due comes up on the way, in order."""
        end = NOON + round(at * 1000)
        while due := sorted(
            (t.score, name) for name, t in self.actor.timers.items() if t.score <= end
        ):
            score, name = due[0]
            self.now = max(self.now, score)
            timer = self.actor.timers.pop(name)
            turn = self._turn()
            turn.by_timer = True
            on_timer(self.rules, turn, name, timer)
            self._close(turn)
        self.now = max(self.now, end)

    def _turn(self) -> Turn:
        return Turn(
            tenant="t",
            node_id=self.node_id,
            actor=self.actor,
            now=self.now,
            outcome=Outcome(),
            lateness_ms=lambda _: LATENESS_MS,
            passed=self.now - self.behind_ms,
        )

    def _close(self, turn: Turn) -> None:
        self.left += turn.emitted
        self.actor = _decode(_encode(self.actor))  # as it would come back from the store
        for code, count in turn.outcome.counts.items():
            self.counts[code] = self.counts.get(code, 0) + count
        errors = [code for code in turn.outcome.counts if code.startswith("rule_error:")]
        assert not errors, errors

    @property
    def triggers(self) -> list[Trigger]:
        """Triggers so far, in order."""
        return [each for each in self.left if isinstance(each, Trigger)]

    @property
    def goals(self) -> list[GoalReached]:
        """Goals so far, in order."""
        return [each for each in self.left if isinstance(each, GoalReached)]

    @property
    def fired(self) -> list[tuple[float, str]]:
        """(seconds after NOON, name of the action) of the triggers so far."""
        return [((each.at - NOON) / 1000, each.action.name) for each in self.triggers]
