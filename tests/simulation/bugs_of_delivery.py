"""Bugs of what is beside the fold to plant: ledgers, attempts, receipts, inbox, the learner."""

import re
from dataclasses import replace
from typing import Any

from engine.delivery import intake
from engine.delivery.channels import webhook
from engine.ingest import accept
from engine.ports import LedgerSnapshot
from engine.runtime import learner, rekey
from engine.runtime.handover import attempt, sender
from tests.instead import Patch
from tests.simulation import ways
from tests.simulation.bugs import bug


@bug("a new owner of a ledger does not know what is still to be delivered")
def jobs_forgotten_at_take_over() -> list[Patch]:
    real = ways.FaultyLedger.acquire

    async def acquire(self: Any, number: int, token: str) -> LedgerSnapshot:
        found = await real(self, number, token)
        return LedgerSnapshot(off=found.off, oseq=found.oseq, jobs={})

    return [(ways.FaultyLedger, "acquire", acquire)]


@bug("the ledger's offset moves on before its jobs are written")
def offset_before_jobs() -> list[Patch]:
    real = ways.FaultyLedger.apply

    async def apply(self: Any, number: int, token: str, update: Any) -> None:
        if update.off_expected is not None and update.jobs:
            await real(self, number, token, replace(update, jobs={}))
            update = replace(update, off_expected=None)
        await real(self, number, token, update)

    return [(ways.FaultyLedger, "apply", apply)]


@bug("who is held out for comparison is contacted")
def held_out_are_contacted() -> list[Patch]:
    real = intake._decode

    def decode(value: bytes) -> Any:
        item = real(value)
        if hasattr(item, "held_out"):
            item.held_out = False
        return item

    return [(intake, "_decode", decode)]


@bug("each attempt has an id of its own")
def an_id_per_attempt() -> list[Patch]:
    real, number = webhook.SPEC, iter(range(10**9))

    def render(endpoint: Any, name: str, *rest: Any) -> Any:
        return real.render(endpoint, f"{name}-{next(number)}", *rest)

    return [(attempt, "WEBHOOK", replace(real, render=render))]


@bug("an attempt that was not answered counts as done", seed=10)
def silence_is_success() -> list[Patch]:
    real = webhook.SPEC

    def read(reply: Any) -> Any:
        return real.read(reply if reply.status else replace(reply, status=200))

    return [(attempt, "WEBHOOK", replace(real, read=read))]


@bug("what expires is dropped without a dead letter")
def expiry_without_a_word() -> list[Patch]:
    async def letters(self: Any, *_: Any) -> list[Any]:
        return []

    return [(sender.Dispatcher, "_letters", letters)]


@bug("what tells of a delivery does not reach one who was parted from another", seed=6)
def receipts_of_the_parted_lost() -> list[Patch]:
    node = re.compile(r"(?:[0-3][a-z]|-[0-9][a-z]|E[a-z])[A-Za-z0-9_-]{16}")
    return [(accept, "_NODE", node)]


@bug("the inbox moves on before its records are in the log")
def inbox_committed_too_early() -> list[Patch]:
    async def batch(self: Any, number: int, records: Any) -> int:
        after: int = records[-1].offset + 1
        await self._offsets.put(number, after, accepted=0, dead=0)
        await self._publisher.publish([self._event(record) for record in records])
        return after

    return [(rekey.Rekeyer, "batch", batch)]


@bug("a label that the new owner of a partition sends again is learned again", seed=17)
def labels_are_learned_again() -> list[Patch]:
    return [(learner.Learner, "_is_new", lambda self, record: True)]


@bug("a model is announced to one partition", seed=5)
def one_partition_hears_of_a_model() -> list[Patch]:
    real = learner.version_records
    return [(learner, "version_records", lambda *arguments: real(*arguments)[:1])]
