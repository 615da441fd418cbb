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
    """The addressed node becomes a signpost to `winner`, '' for nobody: it is erased.

    `forced`: against rivals, by trust. `shared`: the node is in quarantine. `cut`: of an erased
    person who was once cut in two, so that others' events may still have to pass here.
    """

    tenant: str
    winner: str
    forced: bool = False
    shared: bool = False
    cut: bool = False


class Erase(msgspec.Struct):
    """Staff, to the registrar: the person of `name` is to be erased; `at` UTC ms.

    To a node, from the registrar: what said that it is erased may go too.
    """

    tenant: str
    name: str
    at: int


class MoveIn(msgspec.Struct):
    """All that the node `absorbed` had, for the addressed node (a Live value, msgpack).

    `absorbed` '': only a copy of its ring, for who was cut off from it.
    """

    tenant: str
    absorbed: str
    state: bytes
    forced: bool = False


class Refusal(msgspec.Struct):
    """The registrar refused to join `name` to the addressed node; `hard`: it was erased.

    `ev`: of the claim that is refused; what was claimed with trust is immune to one without.
    """

    tenant: str
    name: str
    hard: bool = False
    ev: int = 0


class Shorten(msgspec.Struct):
    """CMP: events homed at the addressed node may go straight to `root`."""

    tenant: str
    root: str


class Quarantine(msgspec.Struct):
    """The addressed identifier is shared by too many: rules on persons skip its events."""

    tenant: str


class Split(msgspec.Struct):
    """Staff, to the registrar: of the person of `name`, `ids` are somebody else.

    To a node, from the registrar: events homed at one of `ids` go to the new person `name` now.
    """

    tenant: str
    name: str
    ids: list[str]


class Probe(msgspec.Struct):
    """An event without effect, homed at `home`: shortens its way to where its person is now."""

    tenant: str
    home: str


class Look(msgspec.Struct):
    """Staff: look at the addressed person as of now, for rules that time alone makes true.

    Who has been silent for longer than `silent_max_ms` by then is left alone; 0: nobody is.
    """

    tenant: str
    silent_max_ms: int = 0


class Alias(msgspec.Struct, kw_only=True):
    """Value of `customer.aliases`: the old id `absorbed` leads to `customer`; `at` log time.

    `shared`: what is sent under the old id comes from too many people for rules about one.
    """

    v: int = 1
    tenant: str
    customer: str
    absorbed: str
    at: int
    shared: bool = False


class Disable(msgspec.Struct):
    """From this record on a rule that breaks is passed over, until a set brings another version."""

    rule: str
    version: str


class Grow(msgspec.Struct):
    """From here on the log has another version, with `partitions` partitions.

    As `grow` at the end of the old one: only moves between actors are folded behind it. As
    `grown` at offset 0 of the new one: its state was carried over, and does not begin here.
    """

    version: int
    partitions: int


class Version(msgspec.Struct):
    """RULESET(v) and MODEL(v): from this record on, this version holds in this partition."""

    version: str
