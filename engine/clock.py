"""Time is an int of milliseconds UTC everywhere; here are its units and its written forms."""

from datetime import UTC, datetime

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

LATE_AFTER_MS = 7 * DAY_MS  # older than log time by this: applied as late (WIRE.md, Time)
AHEAD_MS_MAX = 5 * MINUTE_MS  # later than log time by this: clamped, the original kept
YEAR_1970_MS = 0
YEAR_2100_MS = 4_102_444_800_000


def iso(at: int) -> str:
    """Return `at` (UTC ms) as ISO 8601 with milliseconds and `Z`.

    >>> iso(0)
    '1970-01-01T00:00:00.000Z'
    """
    stamp = datetime.fromtimestamp(at / 1000, tz=UTC)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03d}Z"


def parse_iso(text: str) -> int:
    """Return UTC ms of an ISO 8601 instant; one without an offset is taken as UTC.

    Raises
    ------
    ValueError
        If `text` is no instant of ISO 8601.

    >>> parse_iso("2026-01-02T03:04:05.678+08:00")
    1767294245678
    """
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    return round(stamp.timestamp() * 1000)
