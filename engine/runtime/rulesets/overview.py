"""The rules that are live now and what they have done: from the store, and the log's rule sets."""

import asyncio
from typing import Any

from engine.decision.effect import effects
from engine.events.record import partition_of
from engine.ports import Reader, Store
from engine.rules.compile import RuleSet
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.runtime.totals import summed


class Overview:
    """Reads only; keeps the rule sets that it has compiled."""

    def __init__(
        self, store: Store, reader: Reader, *, partition_count: int, secret: bytes
    ) -> None:
        self._store = store
        self._library = ArtefactLibrary(reader, secret=secret)
        self._count = partition_count

    async def rules_of(self, node_id: str) -> RuleSet | None:
        """Return the rules of a person or thing: those that its partition works by."""
        meta = await self._store.meta(partition_of(node_id, self._count))
        if not meta.ruleset:
            return None
        await self._library.need("ruleset", meta.ruleset)
        found: RuleSet = self._library.book.rule_sets[meta.ruleset]
        return found

    async def rules(self) -> dict[str, Any]:
        """Return the live version, how many partitions are still on another, and a row per rule."""
        metas = await asyncio.gather(*(self._store.meta(p) for p in range(self._count)))
        versions = [meta.ruleset for meta in metas if meta.ruleset]
        if not versions:
            return {"version": "", "others": 0, "rules": []}
        version = max(set(versions), key=lambda each: (versions.count(each), each))
        await self._library.need("ruleset", version)
        rules = self._library.book.rule_sets[version].rules
        disabled = {name for meta in metas for name in meta.disabled}
        return {
            "version": version,
            "others": sum(each != version for each in versions),
            "rules": effects(rules, summed(metas), disabled=disabled),
        }
