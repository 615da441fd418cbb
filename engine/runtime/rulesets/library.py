"""Artefacts that the log's records name: rule sets and models, read from their compacted topics."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from threading import Event
from time import monotonic, sleep
from typing import Any

from engine.churn.model import parse_model
from engine.errors import ConfigError, EngineError
from engine.events import topics
from engine.events.contract import Contracts, parse_contracts
from engine.events.record import Record
from engine.pipeline.book import Book, default_lateness
from engine.ports import Reader
from engine.rules.compile import compile_rules
from engine.runtime.rulesets.releases import LIVE, Artefact, opened

POLL_S = 0.2
FOLLOW_S = 1.0
READ_MAX = 500
KEPT_S = 600.0  # a compiled rule set that nobody has asked for: far longer than any batch
REFUSED_MAX = 8
REASON_LENGTH_MAX = 200
_TOPICS = {"ruleset": topics.RULE_SETS, "model": topics.MODELS}
log = logging.getLogger(__name__)


class ArtefactLibrary:
    """The worker's book: takes versions in as they are needed, and never changes one.

    A compiled rule set that nobody has needed for `kept_s` is forgotten, but not the newest.
    """

    def __init__(self, reader: Reader, *, secret: bytes, kept_s: float = KEPT_S) -> None:
        self._reader = reader
        self._rule_sets: dict[str, Any] = {}
        self._contracts: tuple[Mapping[str, str], Contracts] = {}, Contracts({}, {})
        self._models: dict[str, Any] = {}
        self._lateness: dict[str, int] = {}
        self._offsets = dict.fromkeys(_TOPICS, 0)
        self._places: dict[str, int] = {}  # version of a rule set -> offset of its artefact
        self._tried = ""
        self._kept_s = kept_s
        self._used: Callable[[], Collection[str]] = tuple
        self._needed_at: dict[str, float] = {}
        self.refused: dict[str, str] = {}  # version that does not compile here -> why
        self._busy = asyncio.Lock()
        self.book = Book(
            secret=secret,
            rule_sets=self._rule_sets,
            models=self._models,
            lateness_ms=self._lateness_ms,
        )

    @property
    def versions(self) -> tuple[str, ...]:
        """The rule sets that are compiled."""
        return tuple(self._rule_sets)

    async def need(self, kind: str, version: str) -> None:
        """Return when `version` is in the book; waits for its artefact as long as it takes."""
        held = self._rule_sets if kind == "ruleset" else self._models
        if kind == "ruleset":
            self._needed_at[version] = monotonic()
        waited = 0
        while version not in held:
            async with self._busy:
                if version not in held:
                    await self._read(kind)
                    if kind == "ruleset" and version in self._places:
                        await self._take_rules(version)
            if version not in held:
                if waited % 50 == 0:
                    log.warning("waiting for the artefact of %s %s", kind, version)
                waited += 1
                await asyncio.sleep(POLL_S)

    async def newest(self, kind: str) -> str:
        """Return the version whose artefact came last, '' if there is none."""
        async with self._busy:
            await self._read(kind)
        return next(reversed(self._places if kind == "ruleset" else self._models), "")

    async def follow(
        self, stop: asyncio.Event, *, used: Callable[[], Collection[str]] = tuple
    ) -> None:
        """Compile each rule set as soon as it is proposed: then its release makes nobody wait.

        `used`: the versions that partitions run on now; others are forgotten after a while.
        """
        while not stop.is_set():
            self._used = used
            self._forget()
            try:
                version = await self.newest("ruleset")
                if version and version not in self._rule_sets and self._is_worth_trying(version):
                    async with self._busy:
                        await self._take_rules(version)
            except (EngineError, OSError, TimeoutError) as error:
                log.warning("rule sets: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), FOLLOW_S)

    def _forget(self) -> None:
        newest, now = next(reversed(self._places), ""), monotonic()
        self._needed_at |= dict.fromkeys({newest, *self._used()}, now)
        for version in list(self._rule_sets):
            if now - self._needed_at.setdefault(version, now) >= self._kept_s:
                del self._rule_sets[version], self._needed_at[version]
                self.book.forget(version)

    def _is_worth_trying(self, version: str) -> bool:
        worth, self._tried = version != self._tried, version
        return worth

    async def _read(self, kind: str) -> None:
        topic = _TOPICS[kind]
        while True:
            start, _ = await self._reader.bounds(topic, 0)
            offset = max(start, self._offsets[kind])
            found = await self._reader.read(topic, 0, offset, count_max=READ_MAX)
            if not found:
                return
            for record in found:
                self._offsets[kind] = record.offset + 1
                if kind == "ruleset":
                    self._note_rules(record)
                elif record.value:
                    self._take_model(record.key, record.value)

    def _note_rules(self, record: Record) -> None:
        name = record.key.decode()
        if not name.startswith(LIVE):
            self._places.pop(name, None)  # out and in again: the newest is the last
            self._places[name] = record.offset

    async def _take_rules(self, version: str) -> None:
        """Compile a rule set in a thread: the partitions go on with the one that they have.

        Of a version before it only the files that changed are read.
        """
        found = await self._reader.read(topics.RULE_SETS, 0, self._places[version], count_max=1)
        try:
            artefact = opened(version, found[0].value if found else b"", self.book.secret)
        except ConfigError as error:
            log.error("%s", error)
            self._refuse(version, str(error))
            return
        assert isinstance(artefact, Artefact)
        before = next(reversed(self._rule_sets.values()), None)
        given_up = Event()
        try:
            self._rule_sets[version] = await asyncio.to_thread(
                lambda: compile_rules(
                    artefact.rules,
                    self._contracts_of(artefact.contracts),
                    version=version,
                    before=before,
                    between=lambda: _let_others_run(given_up),
                    is_published=True,
                )
            )
        except asyncio.CancelledError:
            given_up.set()  # the process would wait for its thread
            raise
        except EngineError as error:
            self._refuse(version, str(error))
            raise
        self.refused.pop(version, None)
        self._lateness.update(artefact.lateness_ms)
        self._forget()

    def _contracts_of(self, texts: Mapping[str, str]) -> Contracts:
        """Return the contracts of some files: the same object while the files say the same."""
        if self._contracts[0] != texts:
            self._contracts = texts, parse_contracts(texts)
        return self._contracts[1]

    def _refuse(self, version: str, why: str) -> None:
        first_line = why.strip().partition("\n")[0]
        refused = {**self.refused, version: first_line[:REASON_LENGTH_MAX]}
        self.refused = dict(list(refused.items())[-REFUSED_MAX:])

    def _take_model(self, key: bytes, value: bytes) -> None:
        name, _, version = key.decode().partition("@")
        if name == "churn" and version:
            self._models[version] = parse_model(value)

    def _lateness_ms(self, event_type: str) -> int:
        return self._lateness.get(event_type, default_lateness(event_type))


def _let_others_run(given_up: Event) -> None:
    """Let the loop's thread have the interpreter: else it waits 5 ms for it after each await."""
    if given_up.is_set():
        raise asyncio.CancelledError
    sleep(0)
