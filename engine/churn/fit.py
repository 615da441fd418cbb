"""Maximum likelihood of the MBG/NBD parameters from (x, tx, T) triples; the nightly refit."""

from collections import Counter
from collections.abc import Callable, Iterable
from math import exp, lgamma, log

from engine.churn.mbg import Mbg
from engine.profile.sums import added

Triple = tuple[float, float, float]  # repeat purchases, day of the last, age in days
ROUNDS_MAX = 2_000
_TOLERANCE = 1e-8


def log_likelihood(p: Mbg, triples: Counter[Triple]) -> float:
    """Return the log-likelihood; equal triples are counted once, with their weight.

    Source: Batislam et al. 2007, eq. 4, in log-gamma form.
    """
    r, alpha, a, b = p
    total = 0.0
    constant = lgamma(a + b) - lgamma(b) - lgamma(r) + r * log(alpha)
    for (x, tx, age), weight in triples.items():
        base = constant + lgamma(r + x) + lgamma(b + x + 1) - lgamma(a + b + x + 1)
        alive = -(r + x) * log(alpha + age)
        gone = log(a / (b + x)) - (r + x) * log(alpha + tx)
        top = max(alive, gone)
        total += weight * (base + top + log(exp(alive - top) + exp(gone - top)))
    return total


def fit(triples: Iterable[Triple], start: Mbg | None = None) -> Mbg:
    """Return the parameters of highest likelihood, by Nelder and Mead's simplex in log space.

    Raises
    ------
    ValueError
        If there are no triples.
    """
    counted = Counter((float(x), round(tx, 2), round(age, 2)) for x, tx, age in triples)
    if not counted:
        raise ValueError("no customers to fit on")
    n = counted.total()

    def loss(point: list[float]) -> float:
        if any(abs(v) > 12 for v in point):
            return 1e12
        return -log_likelihood(Mbg(*(exp(v) for v in point)), counted) / n

    best = _simplex(loss, [log(v) for v in start or Mbg()])
    return Mbg(*(exp(v) for v in best))


def _simplex(loss: Callable[[list[float]], float], start: list[float]) -> list[float]:
    points = [start] + [
        [v + (0.5 if i == j else 0.0) for j, v in enumerate(start)] for i in range(4)
    ]
    scored = sorted((loss(p), p) for p in points)
    for _ in range(ROUNDS_MAX):
        if scored[-1][0] - scored[0][0] < _TOLERANCE:
            break
        worst = scored[-1][1]
        centre = [added([p[i] for _, p in scored[:-1]]) / 4 for i in range(4)]
        flipped = _towards(centre, worst, -1.0)
        value = loss(flipped)
        if value < scored[0][0]:
            further = _towards(centre, worst, -2.0)
            scored[-1] = min((value, flipped), (loss(further), further))
        elif value < scored[-2][0]:
            scored[-1] = (value, flipped)
        else:
            inner = _towards(centre, worst, 0.5)
            inside = loss(inner)
            if inside < scored[-1][0]:
                scored[-1] = (inside, inner)
            else:
                best = scored[0][1]
                scored = [scored[0]] + [
                    (loss(p), p) for p in (_towards(best, q, 0.5) for _, q in scored[1:])
                ]
        scored.sort()
    return scored[0][1]


def _towards(a: list[float], b: list[float], share: float) -> list[float]:
    return [x + share * (y - x) for x, y in zip(a, b, strict=True)]
