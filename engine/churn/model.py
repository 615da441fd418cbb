"""A model version: what the fold scores with, as one small JSON value."""

from math import exp
from typing import Any

import orjson

from engine.churn.features import FEATURES, logit
from engine.churn.mbg import Mbg
from engine.clock import DAY_MS
from engine.errors import ContractError

HORIZON_DAYS = 60.0  # about the 80 % gap of the retail data (CHURN.md section 4, 9)
GRACE_MS = DAY_MS  # late purchases still count before a label matures
BANDS = (("critical", 0.8), ("at_risk", 0.6), ("watch", 0.3), ("calm", 0.0))
REASON_CODES = ("frequency", "shrink", "complaints", "rivals", "contacts")


class Model:
    """Weights with the scaler folded in; `mix` is the linear model's part of the score, 0 to 1.

    `norms`: reason code -> (mean, deviation) over the population, for what stands out; `scales`:
    the same in the order of REASON_CODES.
    """

    __slots__ = ("bias", "horizon_days", "mbg", "mix", "norms", "scales", "version", "weights")

    def __init__(
        self,
        version: str,
        *,
        mbg: Mbg,
        weights: list[float],
        bias: float,
        mix: float,
        horizon_days: float,
        norms: dict[str, tuple[float, float]],
    ) -> None:
        self.version = version
        self.mbg = mbg
        self.weights = weights
        self.bias = bias
        self.mix = mix
        self.horizon_days = horizon_days
        self.norms = norms
        known = ((code, *norms.get(code, (0.0, 1.0))) for code in REASON_CODES)
        self.scales = [(code, mean, max(deviation, 0.1)) for code, mean, deviation in known]

    def risk(self, x: list[float], p0: float) -> float:
        """Return P(lapse within the horizon): the average of both models in logit space."""
        z = (1.0 - self.mix) * logit(p0)
        if self.mix:
            linear = self.bias
            for weight, value in zip(self.weights, x, strict=True):
                linear += weight * value
            z += self.mix * linear
        return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, z))))

    def to_json(self) -> bytes:
        """Return the artefact."""
        return orjson.dumps(
            {
                "version": self.version,
                "mbg": [round(v, 6) for v in self.mbg],
                "weights": self.weights,
                "bias": self.bias,
                "mix": self.mix,
                "horizon_days": self.horizon_days,
                "norms": {n: [round(v, 5) for v in norm] for n, norm in self.norms.items()},
            }
        )


def initial_model() -> Model:
    """Return the model that needs no labels: MBG/NBD alone, right from the first purchase."""
    return Model(
        "m0",
        mbg=Mbg(),
        weights=[0.0] * len(FEATURES),
        bias=0.0,
        mix=0.0,
        horizon_days=HORIZON_DAYS,
        # Before there is a population: deviations of ours, replaced by what the learner sees.
        norms={code: (0.0, 0.4 if code == "shrink" else 1.0) for code in REASON_CODES},
    )


def parse_model(data: bytes) -> Model:
    """Return the model of an artefact.

    Raises
    ------
    ContractError
        model/format, if it is not one, or holds a number that no model may hold.
    """
    try:
        body: dict[str, Any] = orjson.loads(data)
        model = Model(
            str(body["version"]),
            mbg=Mbg(*(float(v) for v in body["mbg"])),
            weights=[float(v) for v in body["weights"]],
            bias=float(body["bias"]),
            mix=float(body["mix"]),
            horizon_days=float(body["horizon_days"]),
            norms={n: (float(m), float(d)) for n, (m, d) in body["norms"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"no churn model: {error}", code="model/format") from None
    numbers = [*model.mbg, *model.weights, model.bias]
    if len(model.weights) != len(FEATURES) or not all(abs(v) < 1e6 for v in numbers):
        raise ContractError("weights of another shape or size", code="model/format")
    if min(model.mbg) <= 0 or not 0 <= model.mix <= 1 or not 0 < model.horizon_days < 3660:
        raise ContractError("parameters outside their range", code="model/format")
    return model


def band_of(risk: float) -> str:
    """Return the band of a risk; each begins at its threshold.

    >>> band_of(0.6), band_of(0.59)
    ('at_risk', 'watch')
    """
    for name, least in BANDS:
        if risk >= least:
            return name
    return BANDS[-1][0]
