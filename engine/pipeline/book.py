"""What the fold reads besides state and record: contracts, rule sets and models by version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.churn.model import Model
from engine.outcome import Meta
from engine.rules.compile import RuleSet, without

LATENESS_MS = 10_000  # of a source that says nothing else (RULES.md, semantics 2)


def default_lateness(event_type: str) -> int:
    """Return the lateness of a source that says nothing else."""
    return LATENESS_MS


@dataclass(slots=True)
class Book:
    """Pinned by records in the log: RULESET(v) and MODEL(v) name what is looked up here.

    `secret`: key of the control records' seals. `lateness_ms`: event type -> the largest lateness
    among the sources that may send it.
    """

    secret: bytes
    rule_sets: Mapping[str, RuleSet] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    lateness_ms: Callable[[str], int] = default_lateness
    _rest: dict[tuple[str, ...], RuleSet] = field(default_factory=dict)

    def rules(self, meta: Meta) -> RuleSet | None:
        """Return the rule set that holds in a partition, without the rules disabled there."""
        found = self.rule_sets.get(meta.ruleset)
        if not meta.disabled or found is None:
            return found
        key = (meta.ruleset, *sorted(meta.disabled))
        if key not in self._rest:
            self._rest[key] = without(found, meta.disabled)
        return self._rest[key]

    def forget(self, version: str) -> None:
        """Forget what was made of a rule set that is in the book no more."""
        for key in [key for key in self._rest if key[0] == version]:
            del self._rest[key]
