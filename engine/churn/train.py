"""The one trainer: matured labels into river's logistic regression, scored before it learns.

A step is a function of (trainer, row); its state goes to plain JSON and comes back bit for bit.
"""

from collections import deque
from math import exp, isfinite, log
from typing import Any

from engine.churn.features import FEATURES
from engine.churn.mbg import Mbg
from engine.churn.model import HORIZON_DAYS, REASON_CODES, Model

RATE = 0.05
LABELS_MIN = 200  # before the linear model may have a say
RECENT_MAX = 2_000  # labels that the AUC is computed over
FADE = 0.995  # of the exponentially weighted losses
MIX = 0.5
NORM_FADE = 0.998


class Trainer:
    """Scaler and regression as River's, with the figures that say whether to use them."""

    def __init__(self) -> None:
        # Here and not above: SciPy comes with it, half of what a process needs to start, and only
        # the learner's process trains.
        from river import linear_model, optim, preprocessing

        self._scaler = preprocessing.StandardScaler()
        self._linear = linear_model.LogisticRegression(optimizer=optim.AdaGrad(RATE))
        self.labels = 0
        self.refused = 0
        self._loss = {"mbg": 0.693, "mix": 0.693}
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT_MAX)
        self._norms = {code: [0.0, 1.0] for code in REASON_CODES}

    def learn(self, row: dict[str, Any]) -> bool:
        """Take in one matured label; False, and counted, if a number in it is none.

        Both models are scored on the stored x before any learns from it (progressive validation).
        A treated customer's label says what the treatment did, so it is scored and not learned.
        """
        values = [float(v) for v in row["x"]]
        y, p0 = bool(row["y"]), float(row["p0"])
        if len(values) != len(FEATURES) or not all(map(isfinite, [*values, p0])):
            self.refused += 1
            return False
        x = dict(zip(FEATURES, values, strict=True))
        both = self._mixed(x, p0, MIX) if self.labels else p0
        served = self._mixed(x, p0, self.mix)
        self._recent.append((served, int(y)))
        for name, p in (("mbg", p0), ("mix", both)):
            self._loss[name] = FADE * self._loss[name] + (1 - FADE) * _log_loss(p, y)
        self._note_norms(row.get("d") or ())
        self.labels += 1
        if not row.get("treated"):
            self._scaler.learn_one(x)
            self._linear.learn_one(self._scaler.transform_one(x), y)
        return True

    @property
    def mix(self) -> float:
        """The linear model's part: none until it has labels enough and beats MBG/NBD alone."""
        better = self._loss["mix"] < self._loss["mbg"]
        return MIX if self.labels >= LABELS_MIN and better else 0.0

    @property
    def auc(self) -> float | None:
        """AUC of what was served, over the recent labels; None while all are of one kind."""
        return auc(list(self._recent))

    def export(self, version: str, *, mbg: Mbg, horizon_days: float = HORIZON_DAYS) -> Model:
        """Return the model with the scaler folded into the weights."""
        weights, bias = [], float(self._linear.intercept)
        for name in FEATURES:
            weight = float(self._linear.weights.get(name, 0.0))
            deviation = float(self._scaler.vars.get(name, 0.0)) ** 0.5
            folded = weight / deviation if deviation else 0.0
            weights.append(folded)
            bias -= folded * float(self._scaler.means.get(name, 0.0))
        norms = {code: (mean, var**0.5) for code, (mean, var) in self._norms.items()}
        return Model(
            version,
            mbg=mbg,
            weights=weights,
            bias=bias,
            mix=self.mix,
            horizon_days=horizon_days,
            norms=norms,
        )

    def to_plain(self) -> dict[str, Any]:
        """Return the whole state as JSON types."""
        scaler, linear = self._scaler, self._linear
        return {
            "counts": dict(scaler.counts),
            "means": dict(scaler.means),
            "vars": dict(scaler.vars),
            "weights": dict(linear.weights),
            "intercept": float(linear.intercept),
            "steps": linear.optimizer.n_iterations,
            "g2": dict(linear.optimizer.g2),
            "labels": self.labels,
            "loss": self._loss,
            "recent": list(self._recent),
            "norms": self._norms,
        }

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> "Trainer":
        """Return the trainer of a state; it predicts and learns as the one that wrote it."""
        trainer = cls()
        scaler, linear = trainer._scaler, trainer._linear
        scaler.counts.update({name: int(n) for name, n in state["counts"].items()})
        scaler.means.update(state["means"])
        scaler.vars.update(state["vars"])
        # River keeps weights in a structure of its own; its constructor takes initial ones.
        linear._weights.update(state["weights"])
        linear.intercept = state["intercept"]
        linear.optimizer.n_iterations = state["steps"]
        linear.optimizer.g2.update(state["g2"])
        trainer.labels = state["labels"]
        trainer._loss = state["loss"]
        trainer._recent.extend((p, y) for p, y in state["recent"])
        trainer._norms = state["norms"]
        return trainer

    def _mixed(self, x: dict[str, float], p0: float, mix: float) -> float:
        z = (1 - mix) * log(_held(p0) / (1 - _held(p0)))
        if mix:
            p = _held(self._linear.predict_proba_one(self._scaler.transform_one(x))[True])
            z += mix * log(p / (1 - p))
        return 1 / (1 + exp(-z))

    def _note_norms(self, values: Any) -> None:
        for code, value in zip(REASON_CODES, values, strict=False):
            if isfinite(value):
                norm = self._norms[code]
                change = value - norm[0]
                norm[0] += (1 - NORM_FADE) * change
                norm[1] = NORM_FADE * (norm[1] + (1 - NORM_FADE) * change * change)


def auc(scored: list[tuple[float, int]]) -> float | None:
    """Return the chance that a positive is scored above a negative, ties counting half.

    >>> auc([(0.1, 0), (0.9, 1), (0.5, 0), (0.5, 1)])
    0.875
    """
    positives = sum(y for _, y in scored)
    negatives = len(scored) - positives
    if not positives or not negatives:
        return None
    ordered = sorted(scored)
    ranks, at = 0.0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        middle = (at + end + 1) / 2
        ranks += middle * sum(y for _, y in ordered[at:end])
        at = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _held(p: float) -> float:
    return min(1 - 1e-6, max(1e-6, p))


def _log_loss(p: float, y: bool) -> float:
    return -log(_held(p) if y else 1 - _held(p))
