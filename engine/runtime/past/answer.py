"""What an explanation says: plain JSON types, each time in words, in Chinese and English."""

from collections.abc import Iterable, Sequence
from typing import Any

from engine.clock import iso
from engine.events.contract import Contracts
from engine.matching.why.occasion import Occasion
from engine.matching.why.standing import AWAKE
from engine.matching.why.told import event_name, time_of, told
from engine.profile.calendar import zone_of
from engine.profile.model import Actor
from engine.rules.model import Rule
from engine.rules.sentence import LANGUAGES
from engine.runtime.past.part import Part


def answer(
    rule: Rule,
    actor: Actor,
    part: Part,
    occasions: Sequence[Occasion],
    now: Sequence[Occasion],
    contracts: Contracts,
) -> dict[str, Any]:
    """Return what is told of a rule: `verdict` first, `occasions` the newest first.

    `last`: when it came true the last time, also before the log begins; None: never.
    """
    zone = zone_of(actor)

    def show(each: Occasion) -> dict[str, Any]:
        return {
            "at": iso(each.at),
            "local": time_of(each.at, zone),
            "outcome": each.outcome,
            "event": each.event,
            "event_id": each.event_id,
            "step": each.step,
            "clause": dict(each.clause),
            "values": dict(each.values),
            **({"instance": each.instance} if each.instance else {}),
            **_more(each),
            "words": {lang: told(rule, each, contracts, zone, lang) for lang in LANGUAGES},
        }

    shown, standing_now = [show(each) for each in reversed(occasions)], [show(n) for n in now]
    newest = (shown or standing_now if rule.status in AWAKE else standing_now)[:1]
    nothing = _nothing(rule, contracts, "" if part.is_whole else time_of(part.since, zone))
    state = actor.rules.get(rule.id)
    return {
        "rule": rule.id,
        "title": dict(rule.title),
        "status": rule.status,
        "kind": actor.kind,
        "since": iso(part.since),
        "is_whole": part.is_whole,
        "verdict": newest[0]["words"] if newest else nothing,
        "last": _last(state.fired if state is not None else (), zone),
        "now": standing_now,
        "occasions": shown,
    }


def _last(fired: Sequence[int], zone: Any) -> dict[str, Any] | None:
    if not fired:
        return None
    at, local = fired[-1], time_of(fired[-1], zone)
    words = {"en": f"It came true the last time at {local}.", "zh": f"上一次成立：{local}。"}
    return {"at": iso(at), "local": local, "words": words}


def _more(each: Occasion) -> dict[str, Any]:
    """Return what only some occasions have: how often, a table's grades, a guard's incident."""
    found: dict[str, Any] = {}
    if each.times > 1:
        found["times"], found["first_at"] = each.times, iso(each.first_at)
    if each.table:
        found["table"] = [
            {"scale": g.scale, "grade": g.grade or None, "clause": dict(g.clause),
             "values": dict(g.values)}
            for g in each.table
        ]  # fmt: skip
    if (shared := each.incident) is not None:
        found["incident"] = {
            "cause": shared.cause,
            "customers": shared.customers,
            "more_than": shared.more_than,
            "within_ms": shared.within_ms,
            "tripped_at": iso(shared.tripped_at) if shared.tripped_at else None,
            "released_at": iso(shared.released_at) if shared.released_at else None,
        }
    return found


def _nothing(rule: Rule, contracts: Contracts, since: str) -> dict[str, str]:
    """Say that there was no occasion at all; `since`: a time, '' for ever."""
    en, zh = (_names((step.event for step in rule.steps), contracts, lang) for lang in ("en", "zh"))
    if not since:
        return {
            "en": f"Nothing that it is about has happened: {en}.",
            "zh": f"尚未发生相关事件：{zh}。",
        }
    return {
        "en": f"Nothing that it is about has happened since {since}: {en}.",
        "zh": f"自{since}起未发生相关事件：{zh}。",
    }


def _names(events: Iterable[str], contracts: Contracts, lang: str) -> str:
    """Return the titles of event types, each once."""
    shown = [event_name(name, contracts, lang) for name in dict.fromkeys(events)]
    return {"en": ", ".join(shown), "zh": "、".join(f"「{each}」" for each in shown)}[lang]
