"""Who may send what: sources with their keys, trust, region and rights (topics/sources.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from engine.clock import SECOND_MS
from engine.errors import ConfigError, ContractError
from engine.events.contract import load_yaml

TRUST = ("none", "names", "proves")
LATENESS_MS = 10 * SECOND_MS  # of a source that says nothing else
LATENESS_S_MAX = 7 * 86_400  # then an event counts as late anyway
_TEXTS = ("key", "tenant", "trust", "region", "currency")
_LISTS = ("types", "origins")
_KEYS = (*_TEXTS, *_LISTS, "custom", "lateness_s", "events_per_s")


@dataclass(frozen=True, slots=True)
class Source:
    """One source of events.

    `types`: patterns of event names that it may send; one with `!` before it takes away. `trust`:
    none (its identifiers of strength 0 and 1 are only facts), names, proves (its links are
    believed against a rival). `custom`: it may send events without a contract, as `custom.*`.
    `origins`: web pages that may use the key, `*` for any. `events_per_s`: 0 is no limit.
    """

    name: str
    key: str
    tenant: str = "demo"
    trust: str = "names"
    region: str = "CN"
    currency: str = "CNY"
    types: tuple[str, ...] = ("*",)
    origins: tuple[str, ...] = ("*",)
    custom: bool = False
    lateness_ms: int = LATENESS_MS
    events_per_s: int = 0
    _may: dict[str, bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    def may_send(self, event_type: str) -> bool:
        """Tell whether an event of this type is this source's to send."""
        known = self._may.get(event_type)
        if known is None:
            known = _matches(event_type, self.types)
            if len(self._may) < 1_000:  # contracts are fewer; custom names have no end
                self._may[event_type] = known
        return known


class Sources:
    """All sources, by key and by name."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.by_name = sources
        self.by_key = {source.key: source for source in sources.values()}

    def lateness_ms(self, event_type: str) -> int:
        """Return the largest lateness among the sources that may send a type."""
        return max(
            (s.lateness_ms for s in self.by_name.values() if s.may_send(event_type)),
            default=LATENESS_MS,
        )


def parse_sources(text: str, *, where: str = "topics/sources.yaml") -> Sources:
    """Return the sources of a file.

    Raises
    ------
    ConfigError
        With every mistake of the file, a line each.
    """
    try:
        body = load_yaml(text, where)
    except ContractError as error:
        raise ConfigError(error.message, where=error.where, code="config/sources") from None
    specs = body.get("sources") if isinstance(body, dict) else None
    if not isinstance(specs, dict) or not specs:
        raise ConfigError("`sources` is missing; it maps a name to {key: ...}", where=where)
    problems: list[str] = []
    found: dict[str, Source] = {}
    for name, spec in specs.items():
        place = f"{where}:{getattr(specs, 'lines', {}).get(name, 1)}: source `{name}`"
        mistakes = _mistakes(spec)
        if mistakes:
            problems += [f"{place}: {mistake}" for mistake in mistakes]
        else:
            found[name] = _source(name, spec)
    keys = [source.key for source in found.values()]
    problems += [
        f"{where}: key of source `{s.name}` is used twice"
        for s in found.values()
        if keys.count(s.key) > 1
    ]
    if problems:
        raise ConfigError("\n".join(problems), code="config/sources")
    return Sources(found)


def _mistakes(spec: Any) -> list[str]:
    if not isinstance(spec, dict) or not isinstance(spec.get("key"), str) or not spec["key"]:
        return ["`key` is missing; it is what its events come with"]
    found = []
    for key in spec.keys() - set(_KEYS):
        near = get_close_matches(key, _KEYS, 1)
        found.append(f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
    found += [
        f"{key} {spec[key]!r} is no text"
        for key in _TEXTS
        if not isinstance(spec.get(key, ""), str)
    ]
    found += [
        f"{key} {spec[key]!r} is no list of texts"
        for key in _LISTS
        if not isinstance(spec.get(key, []), list)
        or not all(isinstance(item, str) for item in spec.get(key, []))
    ]
    if spec.get("trust", "names") not in TRUST:
        found.append(f"trust `{spec['trust']}` is none of {', '.join(TRUST)}")
    if not isinstance(spec.get("custom", False), bool):
        found.append(f"custom {spec['custom']!r} is not true or false")
    for key, most in (("lateness_s", LATENESS_S_MAX), ("events_per_s", 1_000_000)):
        value = spec.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            found.append(f"{key} {value!r} is outside 0 to {most}")
    return found


def _source(name: str, spec: Mapping[str, Any]) -> Source:
    given: dict[str, Any] = {key: spec[key] for key in (*_TEXTS, "custom") if key in spec}
    given |= {key: tuple(spec[key]) for key in _LISTS if key in spec}
    if "lateness_s" in spec:
        given["lateness_ms"] = int(spec["lateness_s"] * SECOND_MS)
    return Source(name=name, events_per_s=int(spec.get("events_per_s", 0)), **given)


def _matches(event_type: str, patterns: tuple[str, ...]) -> bool:
    if any(p[0] == "!" and fnmatchcase(event_type, p[1:]) for p in patterns if p):
        return False
    return any(fnmatchcase(event_type, pattern) for pattern in patterns)
