"""What the churn models see of a customer: O(1) state, decayed lazily, and twelve features.

The state is one row of little-endian float64 in `Churn.numbers` (D18); STATE names its columns.
Days are days since the epoch. Formulas: CHURN.md section 6.
"""

from math import exp, log, log1p
from struct import Struct as Row

import msgspec
from msgspec.structs import astuple

from engine.churn.mbg import Mbg, p_none
from engine.clock import DAY_MS

WEIGHT = 0.3  # of the newest gap or amount in an exponentially weighted mean
HALF_LIVES = (7.0, 30.0, 90.0)  # days, of the decayed purchase counts
CARE_HALF_LIFE = 90.0
_NO_DECAY = (1.0, 1.0, 1.0)
_RATES = tuple(-log(2.0) / h for h in HALF_LIVES)
_CARE = -log(2.0) / CARE_HALF_LIFE
P_MIN, P_MAX = 1e-6, 1 - 1e-6
CLIP = 12.0  # a feature beyond this is an error of the source, not news


class State(msgspec.Struct, gc=False):
    """The columns, in their order. `c7`..: decayed counts as of `touched`; `m`, `e`: mean gap and
    exponentially weighted gap, days; `amount`, `e_amount`: means of order values, major units."""

    first: float = 0.0
    last: float = 0.0
    orders: float = 0.0
    gap_mean: float = 0.0
    gap_recent: float = 0.0
    gap_last: float = 0.0
    c7: float = 0.0
    c30: float = 0.0
    c90: float = 0.0
    s90: float = 0.0
    amount: float = 0.0
    e_amount: float = 0.0
    touched: float = 0.0
    complaints: float = 0.0
    contacts: float = 0.0
    rivals: float = 0.0
    care_touched: float = 0.0
    risk_max: float = 0.0  # highest score since the last purchase: silence never lowers the risk


_ROW = Row(f"<{len(State.__struct_fields__)}d")
FEATURES = (
    "logit_p0",
    "recency",
    "repeats",
    "gap_recent",
    "rate",
    "slowing",
    "c7",
    "c30",
    "c90",
    "s90",
    "shrink",
    "complaints",
)


def unpack(numbers: bytes) -> State:
    """Return the state of packed bytes; of none, a customer who has not bought yet."""
    return State(*_ROW.unpack(numbers)) if len(numbers) == _ROW.size else State()


def pack(s: State) -> bytes:
    """Return the state as bytes."""
    return _ROW.pack(*astuple(s))


def days(at: int) -> float:
    """Return days since the epoch of an instant in UTC ms."""
    return at / DAY_MS


def bought(s: State, day: float, amount: float) -> None:
    """Take in a purchase; one that arrives late counts, but makes no gap of its own."""
    if s.orders == 0:
        s.first = s.last = day
        s.amount = s.e_amount = amount
    else:
        gap = day - s.last
        s.first = min(s.first, day)
        s.amount += (amount - s.amount) / (s.orders + 1)
        s.e_amount += WEIGHT * (amount - s.e_amount)
        if gap > 0:
            n = s.orders  # gaps so far, with this one
            s.gap_mean += (gap - s.gap_mean) / n
            s.gap_recent = gap if n == 1 else s.gap_recent + WEIGHT * (gap - s.gap_recent)
            s.gap_last = gap
            s.last = day
    s.orders += 1
    _decay(s, day)
    s.c7 += 1
    s.c30 += 1
    s.c90 += 1
    s.s90 += max(0.0, amount)
    s.risk_max = 0.0


def cared(s: State, day: float, kind: str) -> None:
    """Take in a complaint, a service contact or a contact with a competitor."""
    _decay_care(s, day)
    if kind == "complaint":
        s.complaints += 1
    elif kind == "rival":
        s.rivals += 1
    else:
        s.contacts += 1


def features(s: State, day: float, p0: float) -> list[float]:
    """Return the features of FEATURES; `p0`: P(no purchase within the horizon), as of `day`.

    `day` must not be before the last purchase. All values are finite, within +-CLIP.
    """
    age = day - s.first if day > s.first else 0.0
    silence = day - s.last if day > s.last else 0.0
    repeats = s.orders - 1
    passed = day - s.touched
    d7, d30, d90 = _decays(passed) if passed > 0 else _NO_DECAY
    cared = day - s.care_touched
    complaints = s.complaints and s.complaints * (exp(_CARE * cared) if cared > 0 else 1.0)
    values = [
        logit(p0),
        log1p(silence),
        log1p(repeats),
        log1p(s.gap_recent),
        30.0 * s.orders / (age + 30.0),
        log((s.gap_last + 1.0) / (s.gap_mean + 1.0)),
        log1p(s.c7 * d7),
        log1p(s.c30 * d30),
        log1p(s.c90 * d90),
        log1p(s.s90 * d90),
        log((max(0.0, s.e_amount) + 1.0) / (max(0.0, s.amount) + 1.0)),
        log1p(complaints),
    ]
    if max(values) > CLIP or min(values) < -CLIP:
        values = [min(CLIP, max(-CLIP, v)) for v in values]
    return values


def chance_of_none(s: State, day: float, mbg: Mbg, horizon: float) -> float:
    """Return P0 = P(no purchase within `horizon` days)."""
    age = max(0.0, day - s.first)
    return p_none(mbg, x=s.orders - 1, tx=s.last - s.first, age=age, horizon=horizon)


def logit(p: float) -> float:
    """Return log(p / (1 - p)), p held within [P_MIN, P_MAX]."""
    p = min(P_MAX, max(P_MIN, p))
    return log(p / (1.0 - p))


def merge(a: State, b: State) -> State:
    """Return the state of two histories that are one customer's: counts add, means by weight."""
    if not a.orders or not b.orders:
        one, other = (b, a) if not a.orders else (a, b)
        day = max(a.care_touched, b.care_touched)
        _decay_care(one, day)
        _decay_care(other, day)
        one.complaints += other.complaints
        one.contacts += other.contacts
        one.rivals += other.rivals
        return one
    day, care_day = max(a.touched, b.touched), max(a.care_touched, b.care_touched)
    for s in (a, b):
        _decay(s, day)
        _decay_care(s, care_day)
    n = a.orders + b.orders
    newest = a if a.last >= b.last else b
    first, last = min(a.first, b.first), max(a.last, b.last)
    return State(
        first=first,
        last=last,
        orders=n,
        gap_mean=(last - first) / (n - 1),
        gap_recent=newest.gap_recent,
        gap_last=newest.gap_last,
        c7=a.c7 + b.c7,
        c30=a.c30 + b.c30,
        c90=a.c90 + b.c90,
        s90=a.s90 + b.s90,
        amount=(a.amount * a.orders + b.amount * b.orders) / n,
        e_amount=newest.e_amount,
        touched=day,
        complaints=a.complaints + b.complaints,
        contacts=a.contacts + b.contacts,
        rivals=a.rivals + b.rivals,
        care_touched=care_day,
        risk_max=0.0,
    )


def _decays(passed: float) -> tuple[float, float, float]:
    d7, d30, d90 = _RATES
    return exp(d7 * passed), exp(d30 * passed), exp(d90 * passed)


def _decay(s: State, day: float) -> None:
    passed = max(0.0, day - s.touched)
    if s.touched and passed:
        d7, d30, d90 = _decays(passed)
        s.c7 *= d7
        s.c30 *= d30
        s.c90 *= d90
        s.s90 *= d90
    s.touched = max(s.touched, day)


def _decay_care(s: State, day: float) -> None:
    passed = max(0.0, day - s.care_touched)
    if s.care_touched and passed:
        d = exp(_CARE * passed)
        s.complaints *= d
        s.contacts *= d
        s.rivals *= d
    s.care_touched = max(s.care_touched, day)
