"""The events of one request: as the bytes that were sent, and each read in full when it must be."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.api.body import Body
from engine.clock import parse_iso

Event = bytes | msgspec.Raw


class Opened(NamedTuple):
    """A request's body read in full; `sent_at`: what it says of when it left, in any form."""

    body: Body
    messages: Sequence[Any]
    sent_at: Any = None


class Parcel:
    """What one request brings.

    `usual`: the bytes of its events where it looks as nearly all do, else nothing; `sent_at`: UTC
    ms by the sender's clock, None if not said. Of a single event that is known only when it has
    been read in full: until then its own `sentAt` counts.
    """

    def __init__(
        self,
        method: str | None,
        open_: Callable[[], Opened],
        *,
        usual: Sequence[Event] = (),
        sent_at: Any = None,
    ) -> None:
        self.method = method
        self.usual = usual
        self.sent_at = _instant(sent_at)
        self._open = open_
        self._opened: Opened | None = None

    def __len__(self) -> int:
        return len(self.usual) or len(self._whole().messages)

    def whole(self, index: int) -> tuple[Any, bytes]:
        """Return an event read in full, and its bytes."""
        opened = self._whole()
        message = opened.messages[index]
        return message, opened.body.written(message)

    def _whole(self) -> Opened:
        opened = self._opened
        if opened is None:
            opened = self._opened = self._open()
            self.sent_at = _instant(opened.sent_at)
        return opened


class Batch(msgspec.Struct, gc=False):
    """A batch as nearly all are."""

    batch: list[msgspec.Raw]
    sentAt: str | None = None


_batch = msgspec.json.Decoder(Batch).decode


def usual_batch(plain: bytes) -> Batch | None:
    """Return the events of a batch by their bytes; None if it is none, or an unusual one."""
    try:
        return _batch(plain)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _instant(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_iso(value)
    except (ValueError, OverflowError):
        return None
