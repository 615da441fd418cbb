"""Rule sets in the log: sealed, told apart by their content, and their history readable."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import orjson
import pytest

from engine.adapters.memory import MemoryLog
from engine.errors import ConfigError, RulesError
from engine.events import topics
from engine.events.contract import parse_contracts
from engine.events.record import Outgoing
from engine.profile.model import Actor
from engine.rules.compile import compile_rules
from engine.rules.text.problems import Problem
from engine.runtime.rulesets import library as library_
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.runtime.rulesets.publish import rules_of
from engine.runtime.rulesets.releases import (
    SIZE_MAX,
    Artefact,
    Release,
    Shelf,
    artefact_record,
    opened,
    read_shelf,
    release_record,
)

SECRET = b"of the installation"
PATIENCE_S = 10.0


def an_artefact(version: str = "v1", *, text: str = "") -> Artefact:
    return Artefact(version=version, rules={"r.yaml": text}, contracts={}, lateness_ms={"x": 1})


def test_an_artefact_comes_back_as_it_was_written() -> None:
    record = artefact_record(an_artefact(), SECRET)
    assert opened(record.key.decode(), record.value, SECRET) == an_artefact()


def test_a_large_artefact_is_compressed_and_too_large_a_one_refused() -> None:
    large = an_artefact(text="a" * (SIZE_MAX + 1))
    record = artefact_record(large, SECRET)
    assert len(record.value) < SIZE_MAX
    assert opened("v1", record.value, SECRET) == large
    noise = "".join(f"{n * 2654435761 % 2**32:08x}" for n in range(400_000))
    with pytest.raises(ConfigError, match="holds 1,000,000"):
        artefact_record(an_artefact(text=noise), SECRET)


def forged(value: bytes, old: bytes, new: bytes) -> bytes:
    assert old in value
    return value.replace(old, new)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v1", forged(artefact_record(an_artefact(text="draft"), SECRET).value, b"draft", b"x")),
        ("v2", artefact_record(an_artefact("v1"), SECRET).value),  # another version's, as it is
        ("v1", artefact_record(an_artefact(), b"another secret").value),
        ("v1", b'{"version":"v1","rules":{}}'),
        ("v1", gzip.compress(b"no json")),
        ("v1", b"\x1f\x8bno gzip"),
        ("v2-00000000", artefact_record(an_artefact("v2-00000000"), SECRET).value),
    ],
    ids=["content", "renamed", "secret", "unsealed", "no json", "no gzip", "not as named"],
)  # fmt: skip
def test_what_nobody_sealed_is_refused(name: str, value: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(name, value, SECRET)
    assert caught.value.code == "rules/seal"


def test_versions_are_numbered_and_say_what_is_in_them() -> None:
    shelf = Shelf()
    first = shelf.next_version(an_artefact(text="a").hash)
    assert first == f"v1-{an_artefact(text='a').hash[:8]}"
    shelf.artefacts = {"v1": an_artefact(), "v9-abc": an_artefact(), "contracts": an_artefact()}
    assert shelf.next_version("0123456789ab") == "v10-01234567"


def a_log(*records: Outgoing) -> MemoryLog:
    log = MemoryLog({topics.RULE_SETS: 1})
    for record in records:
        log.append(record)
    return log


def test_the_shelf_knows_what_is_live_and_passes_over_what_is_forged() -> None:
    mine = Release(number=1, version="v1", author="li", at=5)
    newer = Release(number=2, version="v2", previous="v1", author="li", approver="wang", at=6)
    log = a_log(
        artefact_record(an_artefact(), SECRET),
        release_record(newer, SECRET),
        release_record(mine, SECRET),
        release_record(Release(number=3, version="evil", author="x", at=9), b"no secret"),
        Outgoing(topics.RULE_SETS, 0, b"live@4", orjson.dumps({"version": "evil"})),
    )
    shelf = asyncio.run(read_shelf(log, SECRET))
    assert shelf.releases == [mine, newer] and shelf.live == "v2"
    assert shelf.artefacts == {"v1": an_artefact()}


def test_a_worker_does_not_take_a_forged_rule_set() -> None:
    empty = Artefact(version="v1", rules={}, contracts={}, lateness_ms={})
    other = Artefact(version="v2", rules={}, contracts={}, lateness_ms={})
    log = a_log(
        artefact_record(other, b"no secret"),
        release_record(Release(number=1, version="v1", author="li", at=5), SECRET),
        artefact_record(empty, SECRET),
    )
    library = ArtefactLibrary(log, secret=SECRET)
    asyncio.run(library.need("ruleset", "v1"))
    assert set(library.book.rule_sets) == {"v1"}


def contract_texts() -> dict[str, str]:
    return {"sets.yaml": Path("topics/sets.yaml").read_text(encoding="utf-8")} | {
        str(path): path.read_text(encoding="utf-8") for path in Path("topics/events").glob("*.yaml")
    }


NO_SENSE = {
    "shop.yaml": "rule: shop\nowner: o\nkey: store\nstatus: live\n"
    "when: [{event: store.served, where: profile.tier == 'gold'}]\ndo: [{case: c}]\n",
    "risk.yaml": "rule: risk\nowner: o\nstatus: live\n"
    "when: [{event: cart.updated, where: conditions.risky}]\ndo: [{case: c}]\n",
    "queue.yaml": "rule: queue\nowner: o\nkey: store\nstatus: live\n"
    "when: [{event: store.served, where: features.churn_risk > 0.5}]\ndo: [{case: c}]\n",
    "trial.yaml": "rule: trial\nowner: o\nstatus: live\nwhen: [{event: cart.updated}]\n"
    "scope: {tier: [platinum]}\ndo: [{case: c}]\n",
    "shared.yaml": "conditions: {risky: features.churn_risk >= 30}\n",
}


def test_what_an_earlier_release_let_through_goes_on_running() -> None:
    """A stricter check must not stop the partitions in which customers wait for its rules."""
    with pytest.raises(RulesError) as refused:
        compile_rules(NO_SENSE, parse_contracts(contract_texts()), version="new")
    codes = {each.code for each in refused.value.problems if isinstance(each, Problem)}
    assert codes == {"E204", "E205", "E213", "E214"}
    found = Artefact(version="v1", rules=NO_SENSE, contracts=contract_texts(), lateness_ms={})
    library = ArtefactLibrary(a_log(artefact_record(found, SECRET)), secret=SECRET)
    asyncio.run(library.need("ruleset", "v1"))
    rules = library.book.rule_sets["v1"].rules
    assert [rule.id for rule in rules.values()] == ["queue", "risk", "shop", "trial"]
    queue = rules["queue"].steps[0].where
    assert queue is not None
    assert not queue.holds({"step0": {}}, Actor(kind="store"), 0), "a shop has no score"
    calm, never = Actor(), Actor()
    calm.scores["churn_risk"], never.scores["churn_risk"] = 0.9, 31.0
    where = rules["risk"].steps[0].where
    assert where is not None
    assert [where.holds({"step0": {}}, each, 0) for each in (calm, never)] == [False, True]
    assert rules_of(found).rules["shop"].status == "live", "who retires it can read it too"


def test_what_cannot_be_read_is_refused_wherever_it_comes_from() -> None:
    broken = {"r.yaml": NO_SENSE["shop.yaml"].replace("'gold'", "1")}
    found = Artefact(version="v1", rules=broken, contracts=contract_texts(), lateness_ms={})
    library = ArtefactLibrary(a_log(artefact_record(found, SECRET)), secret=SECRET)
    with pytest.raises(RulesError):
        asyncio.run(library.need("ruleset", "v1"))
    assert "v1" in library.refused


def test_the_next_version_reads_only_the_files_that_changed() -> None:
    rule = "rule: {0}\nowner: o\nwhen: [{{event: cart.updated}}]\ndo: [{{case: {1}}}]\n"
    files = {f"{name}.yaml": rule.format(name, "c") for name in "ab"}
    contracts = contract_texts()
    changed = contracts | {"sets.yaml": contracts["sets.yaml"] + "\n# changed\n"}
    versions = {
        "v1": (files, contracts),
        "v2": (files | {"b.yaml": rule.format("b", "d")}, contracts),
        "v3": (files, changed),
    }
    artefacts = (
        Artefact(version=version, rules=rules, contracts=texts, lateness_ms={})
        for version, (rules, texts) in versions.items()
    )
    log = a_log(*(artefact_record(each, SECRET) for each in artefacts))
    library = ArtefactLibrary(log, secret=SECRET)
    for version in versions:
        asyncio.run(library.need("ruleset", version))
    first, second, third = (library.book.rule_sets[version].rules for version in versions)
    assert second["a"] is first["a"]
    assert second["b"].actions[0].name == "d"
    assert third["a"] is not second["a"], "it may name other contracts"


def test_a_compile_that_nobody_waits_for_any_more_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process does not end before its threads do."""
    begun, ended = Event(), Event()

    def endless(*_: object, between: Callable[[], object], **more: object) -> None:
        begun.set()
        try:
            for __ in range(int(PATIENCE_S * 1_000)):
                between()
                sleep(0.001)
        finally:
            ended.set()

    monkeypatch.setattr(library_, "compile_rules", endless)
    empty = Artefact(version="v1", rules={}, contracts={}, lateness_ms={})
    library = ArtefactLibrary(a_log(artefact_record(empty, SECRET)), secret=SECRET)

    async def play() -> None:
        needing = asyncio.create_task(library.need("ruleset", "v1"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        needing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await needing

    began = monotonic()
    asyncio.run(play())
    assert ended.is_set() and monotonic() - began < PATIENCE_S
    assert library.versions == () and library.refused == {}
