"""Churn against published figures and its own promises (CAPABILITIES rows 41-43)."""

import gzip
import json
import math
import os
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.churn import features as f
from engine.churn.fit import fit
from engine.churn.mbg import Mbg, expected_orders, outlook, p_alive, p_none
from engine.churn.model import Model, band_of, initial_model, parse_model
from engine.churn.reasons import reasons
from engine.churn.snapshot import labelled
from engine.churn.step import on_event, on_timer
from engine.churn.train import Trainer
from engine.clock import DAY_MS
from engine.errors import ContractError
from engine.events.model import Event
from engine.outcome import Outcome
from engine.profile.logs import exact
from engine.profile.model import Actor
from engine.profile.turn import Turn

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("TOUCHPOINT_DATA", ROOT.parent / "shared" / "data"))
START = 20_000 * DAY_MS


def test_the_fit_finds_cdnows_parameters() -> None:
    path = DATA / "cdnow" / "CDNOW_sample.txt.gz"
    if not path.exists():
        pytest.skip("the data set CDNOW_sample is not on this machine")
    bought: dict[str, set[int]] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            customer, _, day, *_ = line.split()
            when = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal()
            if when <= date(1997, 9, 30).toordinal():
                bought.setdefault(customer, set()).add(when)
    end = date(1997, 9, 30).toordinal()
    triples = [
        (len(days) - 1, (max(days) - min(days)) / 7, (end - min(days)) / 7)
        for days in bought.values()
    ]
    assert fit(triples) == pytest.approx((0.525, 6.183, 0.892, 1.614), abs=0.01)


def test_silence_never_lowers_the_chance_that_nothing_more_comes() -> None:
    mbg = Mbg()
    silent = [p_none(mbg, x=3, tx=60, age=60 + days, horizon=30) for days in range(0, 720, 10)]
    assert silent == sorted(silent)
    assert 0 < silent[0] < silent[-1] < 1
    assert p_alive(mbg, x=3, tx=60, age=61) > p_alive(mbg, x=3, tx=60, age=700)


@pytest.mark.parametrize(("x", "tx", "age"), [(0, 0, 0), (3, 60, 61), (3, 60, 700)])
def test_the_outlook_is_both_formulas_at_once(x: int, tx: int, age: int) -> None:
    seen: dict[str, Any] = {"x": x, "tx": tx, "age": age}
    both = outlook(Mbg(), **seen, horizon=60, days=365)
    chance, orders = p_none(Mbg(), **seen, horizon=60), expected_orders(Mbg(), **seen, horizon=365)
    assert both == pytest.approx((chance, orders))


def a_row(random: Random, **changes: Any) -> dict[str, Any]:
    x = [random.gauss(0, 1) for _ in f.FEATURES]
    y = int(random.random() < 1 / (1 + math.exp(-2 * x[1])))
    return {"x": x, "y": y, "p0": 0.5, "d": [0.0] * 5, "treated": False, **changes}


def test_folded_weights_score_as_the_trainers_own_model_does() -> None:
    random, trainer = Random(1), Trainer()
    for _ in range(600):
        trainer.learn(a_row(random))
    model = trainer.export("v", mbg=Mbg())
    assert trainer.mix > 0, "it beats a constant, so it has a say"
    for _ in range(20):
        x = a_row(random)["x"]
        named = dict(zip(f.FEATURES, x, strict=True))
        scaled = trainer._scaler.transform_one(named)
        p = trainer._linear.predict_proba_one(scaled)[True]
        z = model.bias + sum(w * v for w, v in zip(model.weights, x, strict=True))
        assert 1 / (1 + math.exp(-z)) == pytest.approx(p, abs=1e-12)


def test_a_trainer_that_was_put_away_learns_on_bit_for_bit() -> None:
    random, first = Random(2), Trainer()
    for _ in range(300):
        first.learn(a_row(random))
    second = Trainer.from_plain(first.to_plain())
    rows = [a_row(random) for _ in range(300)]
    for row in rows:
        first.learn(row)
        second.learn(row)
    assert first.to_plain() == second.to_plain()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_never_enters_the_weights(value: float) -> None:
    trainer = Trainer()
    random = Random(3)
    row = a_row(random)
    row["x"][4] = value
    assert not trainer.learn(row)
    assert trainer.refused == 1
    trainer.learn(a_row(random))
    assert all(map(math.isfinite, trainer.export("v", mbg=Mbg()).weights))


def test_a_treated_customers_label_is_scored_and_not_learned() -> None:
    trainer = Trainer()
    trainer.learn(a_row(Random(4), treated=True))
    assert trainer.labels == 1
    assert trainer.to_plain()["weights"] == {}


@pytest.mark.parametrize(
    "text", [b"{}", b"[]", b"no", initial_model().to_json().replace(b"0.827", b"-1")]
)
def test_a_broken_artefact_is_refused(text: bytes) -> None:
    with pytest.raises(ContractError):
        parse_model(text)


def test_an_artefact_survives_its_bytes_and_is_small() -> None:
    data = initial_model().to_json()
    assert parse_model(data).to_json() == data
    assert len(data) <= 700
    assert [band_of(r) for r in (0.0, 0.3, 0.6, 0.8)] == ["calm", "watch", "at_risk", "critical"]


class Life:
    """One customer's turns, with a model."""

    def __init__(self, model: Model | None) -> None:
        self.actor = Actor()
        self.model = model
        self.outcome = Outcome()
        self.number = 0

    def turn(self, at: int) -> Turn:
        return Turn("t", "0utest", self.actor, at, self.outcome, lambda _: 0)

    def event(self, day: float, kind: str = "order.placed", value: int = 5_000) -> Turn:
        at = START + int(day * DAY_MS)
        self.number += 1
        turn = self.turn(at)
        event = Event(
            id=f"{self.number:032x}", tenant="t", source="s", type=kind, at=at, original_at=at,
            received_at=at, ids=["0utest"], data={"value": value},
        )  # fmt: skip
        exact.append(self.actor.logs, kind, at, event.data, exact.Columns())
        on_event(turn, event, self.model)
        return turn


def test_without_a_model_nothing_is_scored() -> None:
    life = Life(None)
    life.event(0)
    assert life.actor.scores == {}
    assert life.actor.timers == {}


def label_of(life: Life, day: float) -> int:
    """Let the first label mature; return its y."""
    name = min(n for n in life.actor.timers if n[0] == "l")
    timer = life.actor.timers[name]
    turn = life.turn(timer.score)
    on_timer(turn, name, timer, life.model)
    (move,) = turn.moved
    row = json.loads(move.value)
    assert row["until"] - row["t"] == 60 * DAY_MS
    return int(row["y"])


@pytest.mark.parametrize(
    ("again", "y"),
    [(None, 1), (10, 0), (60, 0), (60.01, 1)],  # the horizon's last instant still counts
)
def test_the_label_says_whether_anything_was_bought_within_the_horizon(
    again: float | None, y: int
) -> None:
    life = Life(initial_model())
    life.event(0)
    if again is not None:
        life.event(again)
    assert label_of(life, 61) == y


def test_the_label_carries_the_features_of_its_time_and_not_of_later() -> None:
    life = Life(initial_model())
    life.event(0)
    state, model = f.unpack(life.actor.churn.numbers), initial_model()
    p0 = f.chance_of_none(state, START / DAY_MS, model.mbg, model.horizon_days)
    at_once = f.features(state, START / DAY_MS, p0)
    name = next(iter(life.actor.churn.pending))
    then = life.actor.churn.pending[name]
    assert labelled(name, then, 1)["x"] == pytest.approx(at_once)
    life.event(20, "complaint.opened")
    life.event(30)
    assert life.actor.churn.pending[name] == then


def test_a_score_does_not_sink_in_silence() -> None:
    life = Life(initial_model())
    for day in (0, 10, 20, 30):
        life.event(day)
    risks: list[float] = []
    bands: list[str] = []
    for _ in range(6):
        timer = life.actor.timers.pop("k", None)
        if timer is None:
            break
        turn = life.turn(timer.due)
        on_timer(turn, "k", timer, life.model)
        risks.append(life.actor.scores["churn_risk"])
        bands += [event.data["band"] for event in turn.derived]
    assert risks == sorted(risks)
    assert bands == ["watch", "at_risk", "critical"], "silence alone goes through every band"


def test_a_planted_cause_is_named() -> None:
    model = initial_model()
    complaining, shrinking, slowing = f.State(), f.State(), f.State()
    for state in (complaining, shrinking, slowing):
        for day in range(0, 100, 10):
            f.bought(state, day + 1.0, 100.0)
    f.cared(complaining, 95.0, "complaint")
    for day in (101, 111, 121):
        f.bought(shrinking, day, 5.0)
    assert reasons(complaining, 100.0, model)[0] == "complaints"
    assert reasons(shrinking, 122.0, model)[0] == "shrink"
    assert reasons(slowing, 200.0, model)[0] == "frequency"
