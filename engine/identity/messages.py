"""Bodies of the control records that actors send each other (IDENTITY.md, Messages)."""

import msgspec


class Tick(msgspec.Struct):
    """The clock of the log: `now` UTC ms; `passed` = T, what all partitions have passed."""

    now: int
    passed: int


class Claim(msgspec.Struct):
    """The person at `by` names each of `names` for the first time; to the registrar."""

    tenant: str
    by: str
    names: list[str]
    ev: int  # 0 weak, 1 trusted


class Absorb(msgspec.Struct):
    """The addressed node becomes a signpost to `winner`; `forced`: against rivals, by trust."""

    tenant: str
    winner: str
    forced: bool = False
    shared: bool = False


class MoveIn(msgspec.Struct):
    """All that the node `absorbed` had, for the addressed node (a Live value, msgpack)."""

    tenant: str
    absorbed: str
    state: bytes
    forced: bool = False


class Refusal(msgspec.Struct):
    """The registrar refused to join `name` to the addressed node; `hard`: it was erased."""

    tenant: str
    name: str
    hard: bool = False


class Shorten(msgspec.Struct):
    """CMP: events homed at the addressed node may go straight to `root`."""

    tenant: str
    root: str


class Quarantine(msgspec.Struct):
    """The addressed identifier is shared by too many: rules on persons skip its events."""

    tenant: str


class Version(msgspec.Struct):
    """RULESET(v) and MODEL(v): from this record on, this version holds in this partition."""

    version: str
