"""What leaves on topic `triggers`: a trigger with its reason, or news about a customer's id."""

from typing import Any, Literal

import msgspec

TRIGGER_VERSION = 1


class Action(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a channel system is asked to do.

    `type`: offer, message, case or event; `name`: of the offer, template, case kind.
    `fields`: rendered values; `deadline_at`: UTC ms, of a case.
    """

    type: str
    name: str
    fields: dict[str, Any] = {}
    deadline_at: int = 0


class Trigger(msgspec.Struct, kw_only=True, tag_field="type", tag="trigger"):
    """A rule came true for an actor. All of it is a function of the log.

    `id`: 32 hex digits (WIRE.md, Ids). `customer`: id of the node that decided. `keys`: the
    channel's own addresses of the customer. `cause`: event id, or the schedule's own cause.
    `at`: event time that it is about (for an absence: the due time D). `decided_at`: log time.
    `received_at`: when the door took the cause. `expires_at`: too late after this. All UTC ms.
    `waited`: True if a timer decided (then latency is counted from `at`). `channels`: in order of
    preference, only those that consent and reachability allow. `inputs`: the values that the
    conditions read. `reason`: in words, by language. `events`: ids of the events that the steps
    matched, in order. `group`: limit group, '' for none. `kind`: marketing or service.
    """

    v: int = TRIGGER_VERSION
    id: str
    tenant: str
    rule: str
    rule_version: str
    title: str = ""
    kind: Literal["marketing", "service"] = "marketing"
    status: Literal["live", "shadow"] = "live"
    held_out: bool = False
    entity: str = "person"
    customer: str
    keys: dict[str, str] = {}
    cause: str
    instance: str = ""
    at: int
    received_at: int
    decided_at: int
    expires_at: int
    waited: bool = False
    action: Action
    channels: list[str] = []
    reason: dict[str, str] = {}
    inputs: dict[str, Any] = {}
    group: str = ""
    owner: str = ""
    events: list[str] = []


class GoalReached(msgspec.Struct, kw_only=True, tag_field="type", tag="goal"):
    """The goal event of a decision came in time; both arms are reported."""

    v: int = TRIGGER_VERSION
    trigger: str
    tenant: str
    rule: str
    customer: str
    event: str
    at: int
    held_out: bool


class Merged(msgspec.Struct, kw_only=True, tag_field="type", tag="merged"):
    """Two persons are one from now on; `conflict`: it was forced by a trusted link."""

    v: int = TRIGGER_VERSION
    tenant: str
    customer: str
    absorbed: str
    at: int
    conflict: bool = False


class Split(msgspec.Struct, kw_only=True, tag_field="type", tag="split"):
    """Staff parted a person: the identifiers `ids` are `part` from now on, history stays."""

    v: int = TRIGGER_VERSION
    tenant: str
    customer: str
    part: str
    ids: list[str]
    at: int


Outbound = Trigger | GoalReached | Merged | Split
