"""What the expressions of one rule may name: its steps so far, and everything that is shared."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.events.contract import Contracts
from engine.profile import schema
from engine.profile.calendar import PERIODS
from engine.rules.expression.types import Scope
from engine.rules.model import CONTEXT

FACTS = schema.schema()
RESERVED = (
    *("event", "it", "profile", "features", "sets", "local", "conditions", CONTEXT),
    *("true", "false", "null", *PERIODS),
)


class Scopes:
    """The names that are known at each place of a rule; `see` adds a step."""

    def __init__(
        self, contracts: Contracts, shared: Any, *, thing: str = "", is_published: bool = False
    ) -> None:
        self.contracts = contracts
        self.thing = thing
        self.is_published = is_published
        self.shared = shared  # rules/parts/shared.py
        self.profile = profile_of(contracts)
        self._events: dict[str, Mapping[str, Any]] = {}
        self._types: dict[str, str] = {}
        self._labels = _labels_of(contracts)

    def see(self, alias: str, event: str) -> None:
        """Make a step's event known under its alias."""
        contract = self.contracts.get(event)
        self._events = {**self._events, alias: contract.fields if contract else {}}
        self._types = {**self._types, alias: event}

    def see_context(self, kind: str) -> None:
        """Make known what things of a kind answer: the traits that their events set."""
        self._events = {
            **self._events,
            CONTEXT: {
                trait: contract.fields[name]
                for contract in self.contracts.by_name.values()
                if contract.entity == kind and contract.key != "person"
                for name, trait in contract.traits.items()
            },
        }
        self._types = {**self._types, CONTEXT: ""}

    def hide(self, alias: str) -> None:
        """Forget an alias: what did not happen has no fields."""
        self._events = {name: found for name, found in self._events.items() if name != alias}

    @property
    def aliases(self) -> frozenset[str]:
        """The steps so far."""
        return frozenset(self._types)

    def scope(self) -> Scope:
        """Return what may be named now."""
        return Scope(
            events=self._events,
            profile=self.profile,
            # Scores are of people; in what was let through before they are never known.
            features=schema.FEATURES if self.is_published or not self.thing else {},
            sets={**self.contracts.sets, **self.shared.sets},
            conditions=self.shared.conditions,
            thing=self.thing,
            is_published=self.is_published,
            aggregates=self._fields,
            event_types=self.contracts.by_name.keys(),
            types=self._types,
            labels=self._labels,
        )

    def _fields(self, event: str) -> Mapping[str, Any] | None:
        contract = self.contracts.get(event)
        return contract.fields if contract else None


@lru_cache(maxsize=4)  # of contracts: every rule of a set asks for the same
def profile_of(contracts: Contracts) -> Mapping[str, Any]:
    """Return all facts that a rule may name: those of the profile, and traits that events set."""
    traits = {
        trait: contract.fields[name].type
        for contract in contracts.by_name.values()
        for name, trait in contract.traits.items()
        if name in contract.fields
    }
    return {**traits, **FACTS}


@lru_cache(maxsize=4)
def _labels_of(contracts: Contracts) -> Mapping[str, Mapping[str, str]]:
    features = {f"features.{n}": {"en": f.en, "zh": f.zh} for n, f in schema.FEATURES.items()}
    titles = {name: contract.title for name, contract in contracts.by_name.items()}
    return {**schema.labels(FACTS), **features, **titles}
