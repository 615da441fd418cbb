"""How rules go live: checked, tested and back-tested, asked for by one person, let in by another.

A proposal is an artefact in the log that nothing names yet; workers load and compile it meanwhile.
A release is RULESET(v) in every partition, once the owner of each has told that it is ready for it.
Going back, and taking a rule out, need one person only: both only return to what two have agreed
to, or do less.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from engine.config import DEMO_SECRET, Settings
from engine.errors import EngineError, RulesError
from engine.events.contract import parse_contracts
from engine.ports import Publisher, Reader, Store
from engine.rules.compile import RuleSet, compile_rules, unfit
from engine.rules.model import Rule
from engine.runtime.learner import version_records
from engine.runtime.rulesets.catch_up import PER_SECOND, catch_up
from engine.runtime.rulesets.people import Who, check_known
from engine.runtime.rulesets.readiness import ask
from engine.runtime.rulesets.releases import (
    Artefact,
    Release,
    Shelf,
    artefact_record,
    read_shelf,
    release_record,
)
from engine.runtime.setup import artefact_of
from engine.simulation.cases import run_case

WAIT_S = 60.0  # for the workers, before a release
POLL_S = 0.25
AGAIN_S = 3.0  # then the artefact is put into the log again: a worker may have forgotten it
NAMED_MAX = 12  # partitions that an error names
_STATUS = re.compile(r"^status:[ \t]*[^\s#]+", re.MULTILINE)
_RULE = re.compile(r"^rule:.*$", re.MULTILINE)
Checks = dict[str, Any]


class Publication:
    """Rule sets of one installation. `now`: UTC ms; `partition_count`: of `channel.events`.

    `store` None, or `wait_s` 0: the workers are not asked whether they are ready for a release;
    a partition whose worker is not stands still until it is.
    """

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        reader: Reader,
        *,
        now: Callable[[], int],
        partition_count: int,
        store: Store | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        self.asked = 0  # partitions whose owner was asked before the last release
        self._store = store
        self._wait_s = wait_s
        self._settings = settings
        self._secret = settings.secret_key
        self._publisher = publisher
        self._reader = reader
        self._now = now
        self._count = partition_count

    @property
    def needs_two(self) -> bool:
        """Whether a second person lets rules in: everywhere but in a demo."""
        return self._settings.secret != DEMO_SECRET

    async def shelf(self) -> Shelf:
        """Return what the log holds of rule sets."""
        return await read_shelf(self._reader, self._secret)

    async def propose(
        self,
        texts: Mapping[str, str],
        who: Who,
        *,
        why: str = "",
        checks: Checks | None = None,
        lang: str = "en",
    ) -> Artefact:
        """Put a rule set into the log, for another person to let in; return it.

        Raises
        ------
        RulesError
            If any file has a mistake, or makes a rule live without its tests.
        EngineError
            `rules/tests` if a test inside a file fails; `rules/same` if it is what is live, or what
            waits to be let in.
        """
        check_known(who, self._settings.topics_dir)
        shelf = await self.shelf()
        found = artefact_of(self._settings, texts, version="proposed", author=who.name)
        if shelf.live and shelf.artefacts[shelf.live].hash == found.hash:
            raise EngineError(f"these rules are live as {shelf.live}", code="rules/same")
        if same := next((a for a in shelf.waiting if a.hash == found.hash), None):
            raise EngineError(
                f"{same.author} has proposed the same, as {same.version}; it waits to be let in",
                code="rules/same",
            )
        rules = compile_rules(found.rules, parse_contracts(found.contracts), version=found.version)
        live = shelf.artefacts[shelf.live].rules if shelf.live else {}
        untested = [p for p in unfit(rules) if live.get(p.path) != found.rules[p.path]]
        if untested:
            raise RulesError(
                "a live rule without its tests", problems=tuple(untested), texts=found.rules
            )
        failed = failing(rules, lang)
        if failed:
            told = "".join(f"\n{line}" for line in failed)
            raise EngineError(f"tests fail:{told}", code="rules/tests")
        found.version = shelf.next_version(found.hash)
        found.previous, found.after = shelf.live, shelf.number
        found.at, found.why = self._now(), why
        tests = sum(len(rule.cases) for rule in rules.rules.values())
        found.checks = {"rules": len(rules.rules), "tests": tests, **(checks or {})}
        await self._publisher.publish([artefact_record(found, self._secret)])
        return found

    async def approve(self, version: str, who: Who | None) -> Release:
        """Let a proposal in; `who` None: its author alone, where one is enough.

        Raises
        ------
        EngineError
            `rules/unknown` version, `rules/two-people` if author and approver are one, `rules/old`
            if it does not wait any more: other rules have gone live since, it was live before, or
            its author has proposed another in its place; `rules/not-ready` if a worker has not
            compiled it in time. Then nothing has changed.
        """
        shelf = await self.shelf()
        found = _artefact(shelf, version)
        if who is not None:
            check_known(who, self._settings.topics_dir)
        approver = "" if who is None else who.name
        if self.needs_two and _same(approver) in ("", _same(found.author)):
            raise EngineError(
                f"{found.author or 'somebody'} asked for {version}; another person lets it in",
                code="rules/two-people",
            )
        if version == shelf.live:
            await self._announce(version)  # again: nobody knows how far the first time came
            return shelf.releases[-1]
        _check_waits(shelf, found)
        return await self._release(shelf, found, "publish", found.author, approver, found.why)

    async def roll_back(self, version: str, who: Who, *, why: str = "") -> Release:
        """Make a version live that was live before; '' is the one before the live one.

        Going back twice goes back twice: never to what was just taken back.
        """
        check_known(who, self._settings.topics_dir)
        shelf = await self.shelf()
        known = ", ".join(
            dict.fromkeys(r.version for r in shelf.releases if r.version != shelf.live)
        )
        if not version and not shelf.before:
            raise EngineError(
                f"nothing was live before {shelf.live or 'now'}; name what to go back to: "
                f"{known or 'there is none'}",
                code="rules/unknown",
            )
        if version and version not in known.split(", "):
            raise EngineError(
                f"{version} was not live before; {known or 'nothing'} was", code="rules/unknown"
            )
        found = _artefact(shelf, version or shelf.before[-1])
        return await self._release(shelf, found, "rollback", who.name, "", why)

    async def retire(self, rule: str, who: Who, *, why: str = "") -> tuple[Release, str, str]:
        """Let a rule act no more; return the release, and the rule's file with its new text.

        Raises
        ------
        EngineError
            `rules/unknown` if no such rule is live.
        """
        check_known(who, self._settings.topics_dir)
        shelf = await self.shelf()
        live = _artefact(shelf, shelf.live)
        rules = rules_of(live).rules
        if rule not in rules or rules[rule].status == "retired":
            raise EngineError(f"no rule `{rule}` is live", code="rules/unknown")
        path = rules[rule].path
        text = with_status(live.rules[path], "retired")
        changed = {**live.rules, path: text}
        found = Artefact(
            version="",
            rules=changed,
            contracts=live.contracts,
            lateness_ms=live.lateness_ms,
            author=who.name,
            at=self._now(),
            why=why,
            previous=shelf.live,
        )
        done = rules_of(found).rules[rule]
        assert done.status == "retired", "the line that says so was changed"
        found.version = shelf.next_version(found.hash)
        await self._publisher.publish([artefact_record(found, self._secret)])
        told = f"{rule}: {why}" if why else rule
        release = await self._release(shelf, found, "retire", who.name, "", told)
        return release, path, text

    async def catch_up(
        self,
        who: Who,
        *,
        silent_max_ms: int = 0,
        per_second: float = PER_SECOND,
        tell: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Let rules about dates and silences begin with everybody; return how many persons."""
        check_known(who, self._settings.topics_dir)
        assert self._store is not None, "who is silent is found in the store only"
        return await catch_up(
            self._store,
            self._publisher,
            tenant=self._settings.tenant,
            secret=self._secret,
            silent_max_ms=silent_max_ms,
            per_second=per_second,
            tell=tell,
        )

    async def _release(
        self, shelf: Shelf, found: Artefact, kind: str, author: str, approver: str, why: str
    ) -> Release:
        await self._until_ready(found)
        if (now := await self.shelf()).number != shelf.number:
            raise EngineError(
                f"{now.live} has gone live in the meantime; look at it, and try again",
                code="rules/old",
            )
        release = Release(
            number=shelf.number + 1,
            version=found.version,
            previous=shelf.live,
            kind=kind,
            author=author,
            approver=approver,
            at=self._now(),
            why=why,
        )
        await self._publisher.publish([release_record(release, self._secret)])
        await self._announce(release.version)
        return release

    async def _until_ready(self, found: Artefact) -> None:
        """Return when the owner of every partition has compiled a rule set.

        Raises
        ------
        EngineError
            `rules/not-ready`, with the partitions whose owner has not, and why if it refuses.
        """
        if self._store is None or not self._wait_s:
            return
        began, is_told_again = monotonic(), False
        while True:
            self.asked, missing = await ask(self._store, found.version, self._count)
            if not missing:
                return
            waited = monotonic() - began
            reasons = sorted({why for why in missing.values() if why})
            if reasons or waited > self._wait_s:
                raise _not_ready(found.version, missing, self._count, reasons, waited)
            if waited > AGAIN_S and not is_told_again:
                is_told_again = True
                await self._publisher.publish([artefact_record(found, self._secret)])
            await asyncio.sleep(POLL_S)

    async def _announce(self, version: str) -> None:
        records = version_records("ruleset", version, self._count, self._secret)
        await self._publisher.publish(records)


def _same(name: str) -> str:
    """Return a name as it counts: Li@Shop and li@shop are one person."""
    return name.strip().casefold()


def _check_waits(shelf: Shelf, found: Artefact) -> None:
    """Refuse a proposal that does not wait any more."""
    version = found.version
    if any(release.version == version for release in shelf.releases):
        raise EngineError(
            f"{version} was live before; make it live again with `engine rules rollback {version}`",
            code="rules/old",
        )
    if not shelf.is_of_now(found):
        raise EngineError(
            f"{version} was proposed before {shelf.live} went live; publish it again",
            code="rules/old",
        )
    if instead := shelf.instead_of(found):
        raise EngineError(
            f"{found.author} has proposed {instead.version} in the place of {version}",
            code="rules/old",
        )


def _not_ready(
    version: str, missing: Mapping[int, str], count: int, reasons: Sequence[str], waited: float
) -> EngineError:
    named = ", ".join(map(str, list(missing)[:NAMED_MAX]))
    more = ", ..." if len(missing) > NAMED_MAX else ""
    if reasons:
        return EngineError(
            f"{version} cannot be compiled at partition {named}{more} of {count}: "
            f"{'; '.join(reasons)} (nothing has changed)",
            code="rules/not-ready",
        )
    return EngineError(
        f"{version} is not compiled at partition {named}{more} of {count} after {waited:.0f} s; "
        "is its worker alive? "
        "(nothing has changed; with --wait 0 it goes live, and these stand still until it is)",
        code="rules/not-ready",
    )


def failing(rules: RuleSet, lang: str = "en") -> list[str]:
    """Return what the tests inside the files find wrong, a line each; `lang`: zh or en."""
    return [
        f"{rule.path}:{case.line}: {rule.id}: {case.name}: {'; '.join(differences)}"
        for rule in rules.rules.values()
        for case in rule.cases
        if (differences := run_case(rule, case, rules, lang))
    ]


def begin_anew(old: Mapping[str, Rule], new: Mapping[str, Rule]) -> list[str]:
    """Return the rules that act, begin with a date or a silence, and did not before as they do now.

    They know nobody who does nothing; see `catch_up`.
    """
    return sorted(
        name
        for name, rule in new.items()
        if rule.schedule is not None
        and rule.status in ("live", "shadow")
        and (name not in old or old[name].version != rule.version)
    )


def with_status(text: str, status: str) -> str:
    """Return a rule file with another status, all else as it was.

    >>> with_status("rule: a\\nstatus: live   # now\\n", "retired")
    'rule: a\\nstatus: retired   # now\\n'
    >>> with_status("rule: a\\n", "live")
    'rule: a\\nstatus: live\\n'
    """
    line = f"status: {status}"
    if _STATUS.search(text):
        return _STATUS.sub(line, text, count=1)
    return _RULE.sub(lambda found: f"{found[0]}\n{line}", text, count=1)


def rules_of(artefact: Artefact) -> RuleSet:
    """Return the rule set of an artefact, compiled."""
    contracts = parse_contracts(artefact.contracts)
    return compile_rules(artefact.rules, contracts, version=artefact.version, is_published=True)


def _artefact(shelf: Shelf, version: str) -> Artefact:
    found = shelf.artefacts.get(version)
    if found is None:
        known: Sequence[str] = list(shelf.artefacts)[-5:]
        raise EngineError(
            f"no rule set `{version}`; there are {', '.join(known) or 'none'}", code="rules/unknown"
        )
    return found
