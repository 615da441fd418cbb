"""MBG/NBD: the chance that a customer buys no more, in closed form, from the first purchase on."""

from math import exp, log
from typing import NamedTuple

ALIVE_MIN = 1e-9


class Mbg(NamedTuple):
    """Parameters; alpha in days.

    The defaults are ours, for an installation that has no history yet: `churn/fit.py` on the 4,338
    customers of UCI Online Retail with a purchase. CDNOW's, in weeks: .525, 6.183, .892, 1.614.
    """

    r: float = 0.827
    alpha: float = 69.06
    a: float = 0.00366
    b: float = 67.69


def p_none(p: Mbg, *, x: float, tx: float, age: float, horizon: float) -> float:
    """Return P(no purchase in (age, age + horizon]); x repeat purchases, the last at tx. Days.

    Source: Batislam, Denizel and Filiztekin 2007 (MBG/NBD); the ratio form of CHURN.md section 6.

    >>> 0 < p_none(Mbg(), x=0, tx=0, age=10, horizon=30) < 1
    True
    """
    k = (p.b + x) / p.a
    s = p.r + x
    start = p.alpha + tx
    later = k * exp(s * log(start / (p.alpha + age + horizon)))
    now = k * exp(s * log(start / (p.alpha + age)))
    return (later + 1.0) / (now + 1.0)


def outlook(
    p: Mbg, *, x: float, tx: float, age: float, horizon: float, days: float
) -> tuple[float, float]:
    """Return (`p_none` within `horizon`, `expected_orders` in `days`): half of them is the same."""
    b_x, s, start = p.b + x, p.r + x, p.alpha + tx
    k = b_x / p.a
    seen = p.alpha + age
    now = k * exp(s * log(start / seen))
    later = k * exp(s * log(start / (p.alpha + age + horizon)))
    q = p.a / (p.a + p.b + x)
    alive = max(ALIVE_MIN, now / (now + 1.0))
    return (later + 1.0) / (now + 1.0), alive * (1.0 - exp(-q * (s / seen) * days)) / q


def p_alive(p: Mbg, *, x: float, tx: float, age: float) -> float:
    """Return P(still a customer) now: what is left of k((alpha+tx)/(alpha+T))^s against 1."""
    odds = (p.b + x) / p.a * exp((p.r + x) * log((p.alpha + tx) / (p.alpha + age)))
    return odds / (odds + 1.0)


def expected_orders(p: Mbg, *, x: float, tx: float, age: float, horizon: float) -> float:
    """Return expected purchases in the next `horizon` days, plug-in form of CHURN.md section 2."""
    rate = (p.r + x) / (p.alpha + age)
    q = p.a / (p.a + p.b + x)
    alive = max(ALIVE_MIN, p_alive(p, x=x, tx=tx, age=age))
    return alive * (1.0 - exp(-q * rate * horizon)) / q
