"""Why a score is high: what deviates from the customer's own habit, held against the population.

Model weights are no reasons: of planted complaints they named 0 % (CHURN.md section 5).
"""

from math import exp, log, log1p

from engine.churn.features import CARE_HALF_LIFE, State
from engine.churn.model import Model

SHOWN_FROM = 1.0  # standard deviations
TOLD = ("complaints", "rivals")  # worth a word however usual they are
TOLD_FROM = 0.3
_LN2 = log(2.0)
WORDS = {
    "frequency": {"en": "buys less often than usual", "zh": "购买间隔比平时长"},
    "shrink": {"en": "orders are smaller than usual", "zh": "订单金额比平时小"},
    "complaints": {"en": "has complained", "zh": "有投诉"},
    "rivals": {"en": "was in touch with a competitor", "zh": "接触过竞争对手"},
    "contacts": {"en": "has needed service often", "zh": "频繁寻求服务"},
}


def deviations(s: State, day: float) -> tuple[float, float, float, float, float]:
    """Return each cause's deviation, larger = worse, in the order of `model.REASON_CODES`."""
    silence = day - s.last if s.orders and day > s.last else 0.0
    frequency = log((silence + 1.0) / (s.gap_recent + 1.0)) if s.orders > 1 else 0.0
    shrink = -log((max(0.0, s.e_amount) + 1.0) / (max(0.0, s.amount) + 1.0))
    if not (s.complaints or s.rivals or s.contacts):
        return frequency, shrink, 0.0, 0.0, 0.0
    care = exp(-_LN2 * max(0.0, day - s.care_touched) / CARE_HALF_LIFE)
    complaints, rivals = log1p(s.complaints * care), log1p(s.rivals * care)
    return frequency, shrink, complaints, rivals, log1p(s.contacts * care)


def reasons(s: State, day: float, model: Model) -> list[str]:
    """Return the codes of what stands out, strongest first."""
    found = []
    for value, (code, mean, deviation) in zip(deviations(s, day), model.scales, strict=True):
        z = (value - mean) / deviation
        if z > SHOWN_FROM or (value > TOLD_FROM and code in TOLD):
            found.append((-z, code))
    return [code for _, code in sorted(found)]
