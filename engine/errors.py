"""Every error that the engine raises on purpose, as one tree; each has a stable `code`.

EngineError
├── ContractError      an event that breaks its contract, or cannot be read       contract/...
├── RulesError         a rule file with mistakes; carries all of them             rules/...
├── ConfigError        a setting that cannot work                                 config/...
├── MappingError       a replay mapping or a row that it cannot read              mapping/...
├── StoreError         Redis refused, or answered what it must not
│   ├── Fenced         another worker owns the partition now                      store/fenced
│   └── Stale          the stored offset is not the one that we folded from       store/stale
├── StateError         state that a release behind the next one has written        state/newer
├── CoverageError      the log no longer holds what Redis needs (or lost a tail)  log/coverage
├── LogError           the broker did not take or give a record                   log/...
└── DeliveryError      a channel system cannot be spoken to                       delivery/...
"""

from collections.abc import Mapping
from types import MappingProxyType


class EngineError(Exception):
    """Base of the tree: `where: what is wrong; what would be right [code]`."""

    code = "engine"

    def __init__(self, message: str, *, code: str | None = None, where: str = "") -> None:
        self.message = message
        self.where = where
        if code is not None:
            self.code = code
        super().__init__(message)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message} [{self.code}]"


class ContractError(EngineError):
    """An event that breaks its contract, or bytes that are no event."""

    code = "contract"


class RulesError(EngineError):
    """Rule files with mistakes; `problems` holds them all, in order of file and line.

    `texts`: all files that were read, by path: a live one may be on no disk here.
    """

    code = "rules"

    def __init__(
        self,
        message: str,
        *,
        problems: tuple[object, ...] = (),
        texts: Mapping[str, str] = MappingProxyType({}),
        where: str = "",
    ) -> None:
        super().__init__(message, where=where)
        self.problems = problems
        self.texts = texts


class ConfigError(EngineError):
    """A setting that cannot work."""

    code = "config"


class MappingError(EngineError):
    """A replay mapping with a mistake, or a row that it cannot read."""

    code = "mapping"


class StoreError(EngineError):
    """Redis refused, or answered what it must not."""

    code = "store"


class Fenced(StoreError):
    """Another worker owns the partition now: believe nothing that is cached."""

    code = "store/fenced"


class Stale(StoreError):
    """The stored offset is not the one that the batch was folded from."""

    code = "store/stale"


class StateError(EngineError):
    """State of a release that we cannot read without loss: this worker is to be upgraded."""

    code = "state/newer"


class CoverageError(EngineError):
    """The log no longer holds what Redis needs next, or lost a tail that Redis has seen."""

    code = "log/coverage"


class LogError(EngineError):
    """The broker did not take, or did not give, a record."""

    code = "log"


class DeliveryError(EngineError):
    """A channel system cannot be spoken to."""

    code = "delivery"
