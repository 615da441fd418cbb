"""Churn in the fold: observe, score, keep a snapshot until its label is due, tell of a new band.

Labels are learned at maturity only (CHURN.md section 4): a snapshot waits with its features for
horizon + grace, and then leaves as (x, y) for the learner. x is never computed again.
"""

from hashlib import sha256

import orjson

from engine.churn import features as f
from engine.churn import snapshot
from engine.churn.mbg import outlook
from engine.churn.model import GRACE_MS, Model, band_of
from engine.churn.reasons import deviations, reasons
from engine.clock import DAY_MS
from engine.events import topics
from engine.events.model import Event
from engine.outcome import Move
from engine.profile.logs import windows
from engine.profile.model import Churn, Timer
from engine.profile.turn import Turn

TIMER_LETTERS = "lk"  # labels that mature; silence that crosses into the next band
PURCHASE = "order.placed"
BAND_CHANGED = "churn.band_changed"
KINDS = {
    "complaint.opened": "complaint",
    "complaint.reopened": "complaint",
    "review.posted": "contact",
    "competitor.contact": "rival",
    "port_out.enquired": "rival",
    "call.started": "contact",
    "enquiry.asked": "contact",
}
CLV_DAYS = 365.0
PENDING_MAX = 24
BISECTIONS = 10
SLACK = 0.02  # of risk: how far above its band's threshold silence may be noticed
_MINOR = 100.0


def on_event(turn: Turn, event: Event, model: Model | None) -> None:
    """Observe an event; score and keep a snapshot where it says something about leaving."""
    kind = KINDS.get(event.type)
    if event.type != PURCHASE and kind is None:
        return
    churn = turn.actor.churn
    state = f.unpack(churn.numbers)
    if kind is None:
        f.bought(state, f.days(event.at), (event.data.get("value") or 0) / _MINOR)
    else:
        f.cared(state, f.days(event.at), kind)
    if model is not None and state.orders:
        _score(turn, state, max(event.at, _last_ms(state)), model, cause=event.id, source=event)
    churn.numbers = f.pack(state)


def on_timer(turn: Turn, timer_id: str, timer: Timer, model: Model | None) -> None:
    """Let a label mature (`l`), or score a customer who has been silent (`k`)."""
    churn = turn.actor.churn
    if timer_id[0] == "l":
        row = churn.pending.pop(timer_id[1:], None)
        if row is not None:
            _send_label(turn, timer_id[1:], row)
        return
    if model is None:
        return
    state = f.unpack(churn.numbers)
    if state.orders:
        cause = sha256(f"{turn.node_id}|{timer.due}|k".encode()).hexdigest()[:32]
        _score(turn, state, timer.due, model, cause=cause, source=None)
        churn.numbers = f.pack(state)


def merge(a: Churn, b: Churn) -> Churn:
    """Return the churn state of two persons who are one: counts add, open labels are the union."""
    merged = f.merge(f.unpack(a.numbers), f.unpack(b.numbers))
    newest = a if a.snapshot_at >= b.snapshot_at else b
    return Churn(
        numbers=f.pack(merged) if a.numbers or b.numbers else b"",
        band=newest.band,
        model=newest.model,
        snapshot_at=newest.snapshot_at,
        pending={**b.pending, **a.pending},
    )


def _score(
    turn: Turn, state: f.State, at: int, model: Model, *, cause: str, source: Event | None
) -> None:
    actor, churn = turn.actor, turn.actor.churn
    day = f.days(at)
    p0, orders = outlook(
        model.mbg, x=state.orders - 1, tx=state.last - state.first,
        age=max(0.0, day - state.first), horizon=model.horizon_days, days=CLV_DAYS,
    )  # fmt: skip
    x = f.features(state, day, p0) if model.mix else None
    served = model.risk(x or [], p0)
    risk = state.risk_max = max(served, state.risk_max)
    scores = actor.scores
    scores["churn_risk"], scores["clv"] = risk, round(orders * state.amount, 2)
    actor.reasons = reasons(state, day, model)
    churn.model = model.version
    if _is_worth_a_snapshot(churn, state, at, model):
        _snapshot(turn, state, at, model, x or f.features(state, day, p0), p0, served)
    _tell_band(turn, at, band_of(risk), risk, cause, source)
    _watch_silence(turn, state, at, model, risk, source=source)


def _is_worth_a_snapshot(churn: Churn, state: f.State, at: int, model: Model) -> bool:
    """Tell whether a row is to be kept: one a day, while there is something left to predict."""
    return (
        at - churn.snapshot_at >= DAY_MS
        and len(churn.pending) < PENDING_MAX
        and at - _last_ms(state) <= int(model.horizon_days * DAY_MS)
    )


def _snapshot(
    turn: Turn,
    state: f.State,
    at: int,
    model: Model,
    x: list[float],
    p0: float,
    served: float,
) -> None:
    churn = turn.actor.churn
    horizon_ms = int(model.horizon_days * DAY_MS)
    name = sha256(f"{turn.node_id}|{at}".encode()).hexdigest()[:12]
    if not turn.arm(f"l{name}", at + horizon_ms, lateness_ms=GRACE_MS):
        return
    churn.snapshot_at = at
    treated = any(e.get("outcome") == "fired" for e in turn.actor.triggers[-3:])
    churn.pending[name] = snapshot.pack(
        at=at,
        until=at + horizon_ms,
        x=x,
        p0=p0,
        served=served,
        deviations=deviations(state, f.days(at)),
        treated=treated,
        model=model.version,
    )


def _send_label(turn: Turn, name: str, row: bytes) -> None:
    at, until = snapshot.horizon(row)
    # A purchase in (at, until] is the label 0; one before was in x already.
    bought = windows.count(turn.actor.logs.get(PURCHASE), until, until - at)
    body = snapshot.labelled(name, row, 0 if bought else 1)
    turn.moved += (Move(topics.LABELLED, -1, name, orjson.dumps(body), ()),)
    turn.outcome.count("labels")


def _tell_band(
    turn: Turn, at: int, band: str, risk: float, cause: str, source: Event | None
) -> None:
    churn = turn.actor.churn
    previous = churn.band or "calm"
    if band == previous:
        churn.band = band
        return
    churn.band = band
    event = turn.own_event(
        BAND_CHANGED,
        {
            "band": band,
            "previous_band": previous,
            "risk": round(risk, 4),
            "reasons": list(turn.actor.reasons),
        },
        at=at,
        received_at=source.received_at if source else turn.now,
        made_of=(cause, BAND_CHANGED),
    )
    turn.derived += (event,)


def _watch_silence(
    turn: Turn, state: f.State, at: int, model: Model, risk: float, *, source: Event | None
) -> None:
    """Arm the one timer for the moment at which silence alone lifts the risk into the next band.

    A timer that is armed already stays where the moment has only moved further away, as after a
    purchase, or hardly nearer: one that fires too early scores the customer and is armed anew.
    Bisection at each event would cost more than all the rest of scoring.
    """
    armed = turn.actor.timers.get("k") if source is not None else None
    if armed is not None and source is not None and source.type == PURCHASE:
        return
    threshold = next((least for least in (0.3, 0.6, 0.8) if least > risk), 1.0)
    if armed is not None and _risk_at(state, armed.due, model) < threshold + SLACK:
        return
    horizon_ms = int(model.horizon_days * DAY_MS)
    last = at + 12 * horizon_ms
    if threshold == 1.0 or _risk_at(state, last, model) < threshold:
        turn.cancel("k")
        return
    low, high = at, last
    for _ in range(BISECTIONS):
        middle = (low + high) // 2
        if _risk_at(state, middle, model) >= threshold:
            high = middle
        else:
            low = middle
    turn.arm("k", high)


def _risk_at(state: f.State, at: int, model: Model) -> float:
    day = f.days(at)
    p0 = f.chance_of_none(state, day, model.mbg, model.horizon_days)
    return model.risk(f.features(state, day, p0) if model.mix else [], p0)


def _last_ms(state: f.State) -> int:
    return int(state.last * DAY_MS)
