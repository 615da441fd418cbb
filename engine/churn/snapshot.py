"""What the models saw when they scored, packed, until the label is due: x is never computed again.

A row is little-endian: instant and end of the horizon (int64, UTC ms), the features of FEATURES,
P0, the score served, the deviations of REASON_CODES (float64), treated (bool), then the model's
version as UTF-8. The label itself is not in it: the log of purchases answers it at maturity.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any

from engine.churn.features import FEATURES
from engine.churn.model import REASON_CODES

_WIDTH = len(FEATURES) + 2 + len(REASON_CODES)
_ROW = Struct(f"<qq{_WIDTH}d?")


def pack(
    *,
    at: int,
    until: int,
    x: list[float],
    p0: float,
    served: float,
    deviations: Sequence[float],
    treated: bool,
    model: str,
) -> bytes:
    """Return the bytes of a snapshot."""
    return _ROW.pack(at, until, *x, p0, served, *deviations, treated) + model.encode()


def horizon(row: bytes) -> tuple[int, int]:
    """Return (at, until), UTC ms: a purchase in (at, until] is the label 0."""
    at, until = _ROW.unpack_from(row)[:2]
    return at, until


def labelled(name: str, row: bytes, y: int) -> dict[str, Any]:
    """Return what the learner gets: a plain row of topic `churn.labelled`."""
    at, until, *values, treated = _ROW.unpack_from(row)
    width = len(FEATURES)
    return {
        "id": name,
        "t": at,
        "until": until,
        "y": y,
        "x": values[:width],
        "p0": values[width],
        "p": values[width + 1],
        "m": row[_ROW.size :].decode(),
        "treated": treated,
        "d": values[width + 2 :],
    }
