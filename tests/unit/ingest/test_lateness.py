"""Event time held against log time: the edges of WIRE.md."""

import pytest

from engine.clock import AHEAD_MS_MAX, DAY_MS, LATE_AFTER_MS
from engine.ingest.lateness import placed

NOW = 100 * DAY_MS


@pytest.mark.parametrize(
    ("at", "counts_at", "code"),
    [
        (NOW, NOW, None),
        (NOW - LATE_AFTER_MS, NOW - LATE_AFTER_MS, None),  # exactly 7 days is not late
        (NOW - LATE_AFTER_MS - 1, NOW - LATE_AFTER_MS - 1, "late"),
        (NOW + AHEAD_MS_MAX, NOW + AHEAD_MS_MAX, None),
        (NOW + AHEAD_MS_MAX + 1, NOW + AHEAD_MS_MAX, "clamped"),
    ],
)
def test_a_time_is_kept_told_late_or_clamped(at: int, counts_at: int, code: str | None) -> None:
    assert placed(at, NOW) == (counts_at, code)
