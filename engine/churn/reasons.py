"""Why a score is high: what deviates from the customer's own habit, held against the population.

Model weights are no reasons: of planted complaints they named 0 % (CHURN.md section 5).
"""

from math import exp, log, log1p

from engine.churn.features import CARE_HALF_LIFE, State
from engine.churn.model import Model

SHOWN_FROM = 1.0  # standard deviations
_LN2 = log(2.0)
WORDS = {
    "frequency": {"en": "buys less often than usual", "zh": "购买间隔比平时长"},
    "shrink": {"en": "orders are smaller than usual", "zh": "订单金额比平时小"},
    "complaints": {"en": "has complained", "zh": "有投诉"},
    "rivals": {"en": "was in touch with a competitor", "zh": "接触过竞争对手"},
    "contacts": {"en": "has needed service often", "zh": "频繁寻求服务"},
}


def deviations(s: State, day: float) -> dict[str, float]:
    """Return each cause's deviation, larger = worse; codes as in `model.REASON_CODES`."""
    care = exp(-_LN2 * max(0.0, day - s.care_touched) / CARE_HALF_LIFE)
    silence = max(0.0, day - s.last) if s.orders else 0.0
    return {
        "frequency": log((silence + 1.0) / (s.gap_recent + 1.0)) if s.orders > 1 else 0.0,
        "shrink": -log((max(0.0, s.e_amount) + 1.0) / (max(0.0, s.amount) + 1.0)),
        "complaints": log1p(s.complaints * care),
        "rivals": log1p(s.rivals * care),
        "contacts": log1p(s.contacts * care),
    }


def reasons(s: State, day: float, model: Model) -> list[str]:
    """Return the codes of what stands out, strongest first."""
    found = []
    for code, value in deviations(s, day).items():
        mean, deviation = model.norms.get(code, (0.0, 1.0))
        z = (value - mean) / max(deviation, 0.1)
        if z > SHOWN_FROM or (code in ("complaints", "rivals") and value > 0.3):
            found.append((z, code))
    return [code for _, code in sorted(found, key=lambda item: (-item[0], item[1]))]
