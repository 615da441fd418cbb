"""What goes to a channel system, what comes back, and who the channel systems are."""

from dataclasses import dataclass, field
from typing import Literal

import msgspec

HELD_MAX = 5_000  # jobs per partition whose bytes are kept in memory; of more, the place only
ATTEMPTS_MAX = 50  # remembered of a job
CODE_SIZE_MAX = 200
ERASED = "the customer was erased"  # why a trigger is refused, and its letter empty
Outcome = Literal["accepted", "retry", "throttled", "gone", "rejected", "unknown"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One webhook of a channel system.

    `secrets`: active signing secrets, newest first (two while they rotate). `rules`, `channels`:
    what it wants, empty = everything. `private`: may be on this machine or network. `on_unknown`:
    after a timeout behind the send, try again (it drops repeated ids) or park.
    """

    name: str
    url: str
    secrets: tuple[str, ...]
    rules: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    private: bool = False
    on_unknown: Literal["retry", "park"] = "retry"
    concurrency: int = 8
    timeout_s: float = 15.0

    def wants(self, rule: str, channels: list[str]) -> bool:
        """Tell whether a trigger is for this endpoint."""
        if self.rules and rule not in self.rules:
            return False
        return not self.channels or not channels or bool(set(self.channels) & set(channels))


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that is ready to be sent."""

    url: str
    headers: dict[str, str]
    body: bytes
    private: bool = False
    timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `status` 0: nothing did; then `sent` tells whether the request went out."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a reply means; `retry_after_ms`: what the receiver asked for, 0 if nothing.

    `outcome`: accepted; throttled (come later), retry (no answer, or a broken one), rejected (it
    lives, but not like this); gone (never again); unknown (it was sent, nobody knows the rest).
    """

    outcome: Outcome
    code: str
    retry_after_ms: int = 0


class Job(msgspec.Struct, array_like=True):
    """A trigger on its way to one endpoint. `attempts`: [real ms, code] each, oldest first.

    `trigger`: its bytes; empty once it is settled, and in memory where only the ledger holds them.
    `expires_at`: the trigger's own, log time.
    """

    trigger: bytes
    endpoint: str
    state: str = "pending"  # pending, sent, failed, expired, refused, parked; moved (growth)
    attempts: list[tuple[int, str]] = []
    expires_at: int = 0

    def settled(self) -> "Job":
        """Return what is kept of it when it has ended: how, and nothing of what it said."""
        return msgspec.structs.replace(self, trigger=b"")

    def note(self, at: int, code: str) -> None:
        """Remember an attempt; of very many the first and the last."""
        kept = self.attempts
        if len(kept) >= ATTEMPTS_MAX:
            kept = [kept[0], *kept[2:]]
        self.attempts = [*kept, (at, code[:CODE_SIZE_MAX])]
