"""What is proposed waits for another person, until anything has gone live or it is replaced."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from engine.errors import EngineError
from engine.runtime.rulesets.people import Who
from engine.runtime.rulesets.publish import POLL_S, Publication
from engine.runtime.rulesets.releases import artefact_record
from tests.unit.runtime.house import LI, WANG, House, a_rule, library_of, told, works


def test_a_proposal_that_others_have_overtaken_is_made_again() -> None:
    house = House()

    async def story() -> None:
        first = await house.publication.propose(a_rule("a"), LI)
        await house.goes_live(a_rule("b"))
        await house.publication.approve(first.version, WANG)

    told("rules/old", story)


def waiting(house: House) -> Coroutine[Any, Any, list[str]]:
    """Return the versions that wait to be let in."""

    async def asked() -> list[str]:
        return [each.version for each in (await house.publication.shelf()).waiting]

    return asked()


def test_what_was_taken_back_or_overtaken_waits_no_more_though_the_same_is_live_again() -> None:
    house = House()

    async def story() -> None:
        publication = house.publication
        first = await house.goes_live(a_rule("a"))
        overtaken = (await publication.propose(a_rule("c"), WANG)).version
        second = (await publication.propose(a_rule("b"), LI)).version
        assert await waiting(house) == [overtaken, second]
        await publication.approve(second, WANG)
        assert await waiting(house) == []
        assert (await publication.roll_back("", LI)).version == first
        assert await waiting(house) == [], "the one was overtaken, the other taken back"
        for version, why in ((overtaken, "before .* went live"), (second, f"rollback {second}")):
            with pytest.raises(EngineError, match=why) as caught:
                await publication.approve(version, Who("chen"))
            assert caught.value.code == "rules/old"
        again = await publication.propose(a_rule("c"), WANG)
        assert await waiting(house) == [again.version]
        assert (await publication.approve(again.version, LI)).version == again.version

    asyncio.run(story())


def test_who_mends_a_proposal_puts_another_in_its_place() -> None:
    house = House()

    async def story() -> None:
        publication, here = house.publication, a_rule("a")
        await house.goes_live(here)
        wrong = (await publication.propose({**here, **a_rule("b")}, LI)).version
        beside = (await publication.propose({**here, **a_rule("c")}, LI)).version
        others = (await publication.propose({**here, **a_rule("b", case="call", expect="call")},
                                            WANG)).version  # fmt: skip
        assert await waiting(house) == [wrong, beside, others], "each is of its own"
        right = await publication.propose({**here, **a_rule("b", case="see", expect="see")}, LI)
        assert await waiting(house) == [beside, others, right.version]
        with pytest.raises(EngineError, match=f"{right.version} in the place of {wrong}"):
            await publication.approve(wrong, WANG)
        with pytest.raises(EngineError, match=f"the same, as {others}") as caught:
            await publication.propose({**here, **a_rule("b", case="call", expect="call")}, LI)
        assert caught.value.code == "rules/same"
        await publication.approve(right.version, WANG)
        assert await waiting(house) == []

    asyncio.run(story())


def test_a_proposal_of_a_release_that_did_not_number_them_waits_as_it_did() -> None:
    house = House()

    async def story() -> None:
        live = await house.goes_live(a_rule("a"))
        found = await house.publication.propose({**a_rule("a"), **a_rule("b")}, LI)
        waits, overtaken = f"v8-{found.hash}", f"v9-{found.hash}"
        for name, previous in ((waits, live), (overtaken, "v0-of-before")):
            older = msgspec.structs.replace(found, version=name, previous=previous, after=None)
            older.author = name
            await house.log.publish([artefact_record(older, house.settings.secret_key)])
        assert await waiting(house) == [found.version, waits]
        with pytest.raises(EngineError, match=f"{overtaken} was proposed before"):
            await house.publication.approve(overtaken, WANG)
        await house.publication.approve(waits, WANG)
        assert await waiting(house) == []

    asyncio.run(story())


def test_of_two_who_let_something_in_at_once_one_is_told_of_the_other() -> None:
    house = House()

    async def story() -> None:
        publication = house.publication
        one = await publication.propose(a_rule("a"), LI)
        other = await publication.propose(a_rule("b"), WANG)
        await house.store.acquire(0, "its worker is still starting")
        slow = asyncio.create_task(publication.approve(one.version, WANG))
        await asyncio.sleep(POLL_S / 2)  # it waits for the worker
        quick = Publication(
            house.settings, house.log, house.log, now=lambda: 5, partition_count=2, store=None
        )
        await quick.approve(other.version, LI)
        stop = await works(house, library_of(house), 0)
        with pytest.raises(EngineError, match=f"{other.version} has gone live in the meantime"):
            await slow
        stop.set()
        shelf = await publication.shelf()
        assert [each.version for each in shelf.releases] == [other.version]

    asyncio.run(story())
    assert len(set(house.announced())) == 1
