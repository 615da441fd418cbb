"""What is known of each event type: its contract, found by its own and by other names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from engine.events.fields import Check, Field, checker_of


@dataclass(frozen=True, slots=True)
class Contract:
    """What one event type may carry.

    `key`: "person", or the kind of thing it belongs to when no person is named. `entity`,
    `key_field`: the kind of thing that hears of it and the field that names it ('' = none).
    `writer`: the one source that may send it ('' = any). `by`: "us" where it is our own doing, or a
    network's answer to it, so that a silent customer stays silent. `traits`: field -> fact about
    the person that it sets. `segment`: other names that it answers to, first of all those of the
    Segment spec. `good`: data that is accepted; `bad`: {event: data, code}. Both are tests.
    """

    name: str
    title: Mapping[str, str]
    channel: str
    touchpoint: str = ""
    touchpoint_class: str = ""
    stage: str = ""
    section: str = ""
    key: str = "person"
    entity: str = ""
    key_field: str = ""
    writer: str = ""
    by: str = ""
    fields: Mapping[str, Field] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)
    segment: tuple[str, ...] = ()
    good: tuple[Mapping[str, Any], ...] = ()
    bad: tuple[Mapping[str, Any], ...] = ()
    named_by: tuple[tuple[str, str], ...] = ()  # (field, identifier type) under another name
    secret: tuple[str, ...] = ()  # fields whose value is never kept: ID numbers


class Contracts:
    """All contracts of a rule set, by canonical name and by Segment name.

    `sets`: name -> members. A value outside an open set is accepted; rules may name members only.
    """

    def __init__(
        self,
        by_name: Mapping[str, Contract],
        sets: Mapping[str, tuple[str, ...]],
        open_sets: frozenset[str] = frozenset(),
    ) -> None:
        self.by_name = by_name
        self.sets = sets
        self.open_sets = open_sets
        self._known = {s: c for c in by_name.values() for s in c.segment} | dict(by_name)
        self._checks: dict[str, Check] = {}

    def get(self, name: str) -> Contract | None:
        """Return the contract of a canonical event name."""
        return self.by_name.get(name)

    def by_segment_name(self, name: str) -> Contract | None:
        """Return the contract that a Segment event name, or a canonical one, means."""
        return self._known.get(name)

    def nearest(self, name: str) -> str | None:
        """Return the known name that a wrong one was probably meant to be."""
        near = get_close_matches(name[:80], self._known, 1, 0.75)
        return near[0] if near else None

    def check(
        self, contract: Contract, data: Mapping[str, Any], *, currency: str = "CNY"
    ) -> dict[str, Any]:
        """Return the data under canonical names, typed; money as int minor units with `currency`.

        `currency`: of the source, for data that names none. Undeclared scalars are kept.

        Raises
        ------
        ContractError
            contract/type, contract/missing, contract/set or contract/range, with path, wanted, got.
        """
        return self.checker(contract)(data, currency)

    def checker(self, contract: Contract) -> Check:
        """Return the function (data, currency) behind `check`; compiled once."""
        check = self._checks.get(contract.name)
        if check is None:
            check = checker_of(contract.fields, self.sets, self.open_sets)
            self._checks[contract.name] = check
        return check
