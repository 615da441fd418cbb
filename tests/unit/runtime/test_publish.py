"""How rules go live: two people, nothing lost of what another published meanwhile, and back."""

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest

from engine.config import Settings
from engine.errors import EngineError, RulesError
from engine.ports import Ready
from engine.rules.text.problems import Problem
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.runtime.rulesets.people import Who
from engine.runtime.rulesets.publish import POLL_S, with_status
from engine.runtime.rulesets.readiness import keep_told
from engine.runtime.rulesets.releases import Artefact, Release, artefact_record
from tests.turns import ROOT
from tests.unit.runtime.house import LI, WANG, House, a_rule, library_of, told, works


def test_one_asks_another_lets_in_and_workers_have_it_before() -> None:
    house = House()

    async def story() -> None:
        found = await house.publication.propose(a_rule(), LI, why="more looks")
        assert house.announced() == []
        assert found.checks == {"rules": 1, "tests": 2}
        library = ArtefactLibrary(house.log, secret=house.settings.secret_key)
        assert await library.newest("ruleset") == found.version
        release = await house.publication.approve(found.version, WANG)
        assert (release.author, release.approver, release.why) == (LI.name, WANG.name, "more looks")
        shelf = await house.publication.shelf()
        assert shelf.live == found.version and shelf.releases == [release]
        await library.need("ruleset", found.version)
        assert set(library.book.rule_sets[found.version].rules) == {"a"}

    asyncio.run(story())
    assert len(house.announced()) == 1


@pytest.mark.parametrize("who", [LI, None, Who("Li@Shop.example "), Who(" ")])
def test_nobody_lets_in_what_he_asked_for(who: Who | None) -> None:
    house = House()

    async def story() -> None:
        found = await house.publication.propose(a_rule(), LI)
        await house.publication.approve(found.version, who)

    told("rules/two-people", story)
    assert house.announced() == []


def test_in_a_demo_one_is_enough() -> None:
    house = House(secret=Settings().secret)

    async def story() -> Release:
        found = await house.publication.propose(a_rule(), LI)
        return await house.publication.approve(found.version, None)

    assert asyncio.run(story()).approver == ""
    assert len(house.announced()) == 1


def test_what_went_live_half_is_said_again() -> None:
    house = House()

    async def story() -> None:
        version = await house.goes_live(a_rule())
        await house.publication.approve(version, WANG)

    asyncio.run(story())
    assert len(house.announced()) == 2 and len(set(house.announced())) == 1


def test_mistakes_failing_tests_and_what_is_live_already_are_refused() -> None:
    house = House()
    with pytest.raises(RulesError):
        asyncio.run(house.publication.propose({"a.yaml": "rule: a\n"}, LI))
    with pytest.raises(RulesError):  # a test that can only fail
        asyncio.run(house.publication.propose(a_rule(expect="see"), LI))
    untested = {n: t.partition("tests:")[0] for n, t in a_rule().items()}
    with pytest.raises(RulesError) as caught:
        asyncio.run(house.publication.propose(untested, LI))
    found = [(p.code, p.level) for p in caught.value.problems if isinstance(p, Problem)]
    assert found == [("R131", "error")]
    late = {n: t.replace("{at: 0m, case", "{at: 1m, case") for n, t in a_rule().items()}
    told("rules/tests", lambda: house.publication.propose(late, LI))
    told("rules/who", lambda: house.publication.propose(a_rule(), Who("")))
    asyncio.run(house.goes_live(a_rule()))
    told("rules/same", lambda: house.publication.propose(a_rule(), LI))
    told("rules/unknown", lambda: house.publication.approve("v99", WANG))


def test_back_to_what_was_live_before_needs_one_person() -> None:
    house = House()

    async def story() -> None:
        told_first = await house.goes_live(a_rule("a"))
        second = await house.goes_live(a_rule("b"))
        with pytest.raises(EngineError, match="not live before"):
            await house.publication.roll_back(second, LI)
        back = await house.publication.roll_back("", LI, why="too many")
        assert (back.version, back.previous, back.kind) == (told_first, second, "rollback")
        again = await house.publication.roll_back(second, LI)
        assert [r.number for r in (await house.publication.shelf()).releases] == [1, 2, 3, 4]
        assert again.version == second

    asyncio.run(story())
    assert len(house.announced()) == 4


def test_going_back_twice_goes_back_twice_and_not_to_what_was_taken_back() -> None:
    house = House()

    async def story() -> None:
        publication = house.publication
        first, second, third = [await house.goes_live(a_rule(name)) for name in "abc"]
        assert (await publication.roll_back("", LI)).version == second
        assert (await publication.roll_back("", LI)).version == first
        with pytest.raises(EngineError, match=f"name what to go back to: .*{third}"):
            await publication.roll_back("", LI)
        with pytest.raises(EngineError) as caught:
            await publication.roll_back("v99", LI)
        assert caught.value.message == f"v99 was not live before; {second}, {third} was"
        assert (await publication.roll_back(third, LI)).version == third, "by name, also forward"
        fourth = await house.goes_live(a_rule("d"))
        assert (await publication.roll_back("", LI)).version == third != fourth

    asyncio.run(story())


def test_there_is_nothing_to_go_back_to_at_first() -> None:
    house = House()
    asyncio.run(house.goes_live(a_rule()))
    told("rules/unknown", lambda: house.publication.roll_back("", LI))


def test_a_retired_rule_stays_in_the_set_and_the_others_are_as_they_were() -> None:
    house = House()

    async def story() -> None:
        await house.goes_live({**a_rule("a"), **a_rule("b")})
        release, path, text = await house.publication.retire("a", WANG, why="nobody looks")
        assert (path, release.kind) == ("a.yaml", "retire")
        assert text == a_rule("a")["a.yaml"].replace("live ", "retired ")
        shelf = await house.publication.shelf()
        assert shelf.artefacts[shelf.live].rules == {**a_rule("b"), "a.yaml": text}

    asyncio.run(story())
    told("rules/unknown", lambda: house.publication.retire("c", LI))


def test_where_the_house_has_a_list_name_and_key_must_be_in_it(tmp_path: Path) -> None:
    for folder in (ROOT / "topics").iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    key = sha256(b"secret of li").hexdigest()
    (tmp_path / "staff.yaml").write_text(f"people: {{{LI.name}: {key}}}\n")
    house = House(topics_dir=tmp_path)
    asyncio.run(house.publication.propose(a_rule(), Who(LI.name, "secret of li")))
    told("rules/who", lambda: house.publication.propose(a_rule("b"), LI))
    told("rules/who", lambda: house.publication.propose(a_rule("b"), WANG))
    (tmp_path / "staff.yaml").write_text("people: {li: short}\n")
    told("config", lambda: house.publication.propose(a_rule("b"), LI))


def test_a_status_is_changed_where_it_stands_and_added_where_it_does_not() -> None:
    assert with_status("rule: a\nstatus: 'live'\n", "paused") == "rule: a\nstatus: paused\n"
    assert with_status("rule: a\nowner: b\n", "live") == "rule: a\nstatus: live\nowner: b\n"


def test_a_release_waits_until_the_worker_of_every_partition_has_it() -> None:
    house = House()

    async def story() -> None:
        first = await works(house, library_of(house), 0)
        version = (await house.publication.propose(a_rule(), LI)).version
        await house.store.acquire(1, "its worker is still starting")
        approving = asyncio.create_task(house.publication.approve(version, WANG))
        while version not in (await house.store.ready(0) or Ready("", (), {})).versions:
            await asyncio.sleep(0.01)
        await asyncio.sleep(POLL_S * 2)
        assert not approving.done() and house.announced() == []
        second = await works(house, library_of(house), 1)
        assert (await approving).version == version
        assert house.publication.asked == 2 and house.announced() == [version]
        first.set()
        second.set()

    asyncio.run(story())


def test_a_worker_that_does_not_come_is_named_and_nothing_changes() -> None:
    house = House(wait_s=0.1)

    async def story() -> None:
        version = (await house.publication.propose(a_rule(), LI)).version
        await house.store.acquire(1, "dead")
        with pytest.raises(EngineError) as caught:
            await house.publication.approve(version, WANG)
        assert caught.value.code == "rules/not-ready"
        assert f"{version} is not compiled at partition 1 of 2" in caught.value.message
        assert (await house.publication.shelf()).live == "" and house.announced() == []

    asyncio.run(story())


def test_what_a_worker_refuses_is_told_at_once() -> None:
    house = House(wait_s=60.0)

    async def story() -> None:
        stop = await works(house, library_of(house), 0)
        found = await house.publication.propose(a_rule(), LI)
        newer = Artefact(
            version="v9", rules={"a.yaml": "rule: a\nnew_word: 1\n"}, contracts=found.contracts,
            lateness_ms={}, author=LI.name,
        )  # fmt: skip
        await house.log.publish([artefact_record(newer, house.settings.secret_key)])
        with pytest.raises(EngineError) as caught:
            await house.publication.approve("v9", WANG)
        assert caught.value.code == "rules/not-ready"
        assert "a.yaml:1:1: error R102" in caught.value.message
        stop.set()

    asyncio.run(story())


def test_a_rule_set_that_no_partition_uses_is_forgotten_and_can_be_gone_back_to() -> None:
    house = House()

    async def story() -> None:
        library, used = library_of(house, kept_s=0.2), {"": ""}
        await house.store.acquire(0, "t")
        stop = asyncio.Event()
        following = asyncio.create_task(library.follow(stop, used=lambda: used.values()))
        telling = asyncio.create_task(keep_told(house.store, library, lambda: {0: "t"}, stop))
        old = used[""] = await house.goes_live(a_rule())
        new = await house.goes_live(a_rule(case="call", expect="call"))
        await asyncio.sleep(1.3)
        assert set(library.versions) == {old, new}, "a partition runs on the old one still"
        used[""] = new
        while (await house.store.ready(0) or Ready("", (), {})).versions != (new,):
            await asyncio.sleep(0.05)
        release = await house.publication.roll_back("", WANG)
        assert release.version == old and old in library.versions
        stop.set()
        await asyncio.gather(following, telling)

    asyncio.run(story())
