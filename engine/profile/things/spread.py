"""How values are spread: a histogram whose bins grow with the value, so a median is some 3 % off.

Adding is exact and in no order, and no chance is in it: a replay gives the same bytes. A bin is a
sixteenth of a power of two wide; its middle stands for all in it, at most 1/33 away. Values below
1e-9 count as 0. Beyond BINS_MAX bins the two lowest become one: what is rare and small is told
less well.

Source
------
Log-linear histograms: HdrHistogram (Gil Tene), OpenHistogram (Hartmann, Schlossnagle 2020). The
quantile sketches of Apache DataSketches draw lots (KLL, REQ), or lose the middle when they are
written after each event (t-digest, 5 to 10 % of rank off at this size).
"""

from collections.abc import Iterable, Sequence
from math import frexp, ldexp

import msgspec

PARTS = 16  # bins of a power of two
BINS_MAX = 128
SMALLEST = 1e-9
_OCTAVES_BELOW = 32  # of 1: 2^-31 is below SMALLEST
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode


def added(packed: bytes, value: float) -> bytes:
    """Return a histogram (b"": an empty one) with one value more; what is no number adds none."""
    if value != value or value in (float("inf"), float("-inf")):
        return packed
    bins = _unpacked(packed)
    place = _bin(value)
    bins[place] = bins.get(place, 0) + 1
    if len(bins) > BINS_MAX:
        lowest, next_ = sorted(bins)[:2]
        bins[next_] += bins.pop(lowest)
    return _packed(bins)


def removed(packed: bytes, value: float) -> bytes:
    """Return a histogram with one value less, which had been added to it."""
    bins = _unpacked(packed)
    place = _bin(value)
    if place not in bins:  # its bin has become one with those above it
        place = min(bins, default=place)
    left = bins.pop(place, 1) - 1
    if left:
        bins[place] = left
    return _packed(bins) if bins else b""


def percentile(histograms: Iterable[bytes], percent: int) -> float | None:
    """Return about the smallest value that `percent` of all do not exceed; None without any."""
    total: dict[int, int] = {}
    for packed in histograms:
        for place, count in _unpacked(packed).items():
            total[place] = total.get(place, 0) + count
    rank = nearest_rank(sum(total.values()), percent)
    for place, count in sorted(total.items()):
        rank -= count
        if rank < 0:
            return _middle(place)
    return None


def percentile_of(values: Sequence[float], percent: int) -> float | None:
    """Return the same of values that are all there, exactly."""
    return sorted(values)[nearest_rank(len(values), percent)] if values else None


def nearest_rank(count: int, percent: int) -> int:
    """Return the place, from 0, of the value that `percent` of `count` in order do not exceed.

    >>> nearest_rank(4, 50), nearest_rank(5, 50), nearest_rank(10, 90)
    (1, 2, 8)
    """
    return max(0, -(-count * percent // 100) - 1)


def _bin(value: float) -> int:
    """Return the number of a value's bin; they are in the order of the values."""
    size = abs(value)
    if size < SMALLEST:
        return 0
    mantissa, exponent = frexp(size)  # size = mantissa * 2^exponent, mantissa in [0.5, 1): exact
    place = (exponent + _OCTAVES_BELOW) * PARTS + int((mantissa - 0.5) * 2 * PARTS)
    return place if value > 0 else -place


def _middle(place: int) -> float:
    exponent, part = divmod(abs(place), PARTS)
    size = ldexp(0.5 + (part + 0.5) / (2 * PARTS), exponent - _OCTAVES_BELOW) if place else 0.0
    return size if place >= 0 else -size


def _packed(bins: dict[int, int]) -> bytes:
    return _encode([part for pair in sorted(bins.items()) for part in pair])


def _unpacked(packed: bytes) -> dict[int, int]:
    if not packed:
        return {}
    flat = _decode(packed)
    return dict(zip(flat[::2], flat[1::2], strict=True))
