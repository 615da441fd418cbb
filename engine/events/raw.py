"""A message of any dialect, translated: what all doors hand to the one check."""

from typing import Any

import msgspec


class RawEvent(msgspec.Struct, gc=False):
    """One message, not yet checked. `name`: a canonical or Segment event name.

    `message_id`: the sender's own id, None if it gave none. `original`: when it happened by the
    sender's clock (ISO 8601 or ms), None if not said; `sent`: when it left, by the same clock.
    `identifiers`: identifier type -> value that the message's head names; believed before `data`.
    `remembered`: what the client knows from earlier; believed after it.
    """

    name: str
    data: dict[str, Any]
    message_id: str | None = None
    original: Any = None
    sent: Any = None
    identifiers: dict[str, Any] = {}
    remembered: dict[str, Any] = {}
