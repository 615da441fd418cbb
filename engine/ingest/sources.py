"""Who may send what: sources with their keys, trust, region and rights (topics/sources.yaml)."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from engine.clock import SECOND_MS
from engine.errors import ConfigError
from engine.events.contract import load_yaml

TRUST = ("none", "names", "proves")
_KEYS = frozenset(
    "key tenant trust region currency types custom lateness_s origins events_per_s".split()
)


@dataclass(frozen=True, slots=True)
class Source:
    """One source of events. `types`: patterns of event names that it may send.

    `trust`: none (its identifiers of strength 0 and 1 are only facts), names, proves (its links
    are believed against a rival). `custom`: it may send events without a contract, as `custom.*`.
    `origins`: web pages that may use the key, `*` for any. `events_per_s`: 0 is no limit.
    """

    name: str
    key: str
    tenant: str = "demo"
    trust: str = "names"
    region: str = "CN"
    currency: str = "CNY"
    types: tuple[str, ...] = ("*",)
    custom: bool = False
    lateness_ms: int = 10 * SECOND_MS
    origins: tuple[str, ...] = ("*",)
    events_per_s: int = 0

    def may_send(self, event_type: str) -> bool:
        """Tell whether an event of this type is this source's to send."""
        return any(fnmatchcase(event_type, pattern) for pattern in self.types)


class Sources:
    """All sources, by key and by name."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.by_name = sources
        self.by_key = {source.key: source for source in sources.values()}

    def lateness_ms(self, event_type: str) -> int:
        """Return the largest lateness among the sources that may send a type."""
        return max(
            (s.lateness_ms for s in self.by_name.values() if s.may_send(event_type)),
            default=10 * SECOND_MS,
        )


def parse_sources(text: str, *, where: str = "topics/sources.yaml") -> Sources:
    """Return the sources of a file.

    Raises
    ------
    ConfigError
        With every mistake of the file.
    """
    body = load_yaml(text, where)
    problems: list[str] = []
    found: dict[str, Source] = {}
    for name, spec in (body.get("sources") or {}).items():
        source = _source(name, spec, problems)
        if source is not None:
            found[name] = source
    keys = [source.key for source in found.values()]
    problems += [f"key of {s.name} is used twice" for s in found.values() if keys.count(s.key) > 1]
    if problems:
        raise ConfigError("\n".join(problems), where=where)
    return Sources(found)


def _source(name: str, spec: Any, problems: list[str]) -> Source | None:
    if not isinstance(spec, dict) or not spec.get("key"):
        problems.append(f"source `{name}`: `key` is missing")
        return None
    wrong = spec.keys() - _KEYS
    for key in wrong:
        near = get_close_matches(key, _KEYS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        problems.append(f"source `{name}`: unknown key `{key}`{hint}")
    if spec.get("trust", "names") not in TRUST:
        problems.append(f"source `{name}`: trust `{spec['trust']}` is none of {', '.join(TRUST)}")
        return None
    if wrong:
        return None
    values = {k: v for k, v in spec.items() if k not in ("lateness_s", "types", "origins")}
    return Source(
        name=name,
        **{k: str(v) if k != "custom" and k != "events_per_s" else v for k, v in values.items()},
        types=tuple(spec.get("types") or ("*",)),
        origins=tuple(spec.get("origins") or ("*",)),
        lateness_ms=int(float(spec.get("lateness_s", 10)) * SECOND_MS),
    )
