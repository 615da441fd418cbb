"""Side by side, or alone."""

import asyncio

from engine.runtime.partition.gate import Gate


def test_one_that_goes_alone_waits_for_all_others_and_lets_none_in() -> None:
    async def scenario() -> list[str]:
        gate, told = Gate(), []

        async def beside(name: str) -> None:
            async with gate.beside():
                told.append(f"{name} in")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                told.append(f"{name} out")

        async def alone() -> None:
            async with gate.alone():
                told.append("alone in")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                told.append("alone out")

        await asyncio.gather(beside("a"), beside("b"), alone(), beside("c"))
        return told

    told = asyncio.run(scenario())
    assert told[:2] == ["a in", "b in"], "they need not wait for each other"
    assert told[2:] == ["a out", "b out", "alone in", "alone out", "c in", "c out"]


def test_one_that_fails_inside_leaves_the_gate_open() -> None:
    async def scenario() -> None:
        gate = Gate()
        for way in (gate.beside, gate.alone, gate.beside):
            try:
                async with way():
                    raise LookupError
            except LookupError:
                continue

        async with asyncio.timeout(5), gate.alone():
            pass

    asyncio.run(scenario())
