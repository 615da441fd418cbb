"""Rule sets on topic `rules.sets`: sealed artefacts, and who made which of them live, and when."""

import gzip
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec
import orjson

from engine.errors import ConfigError
from engine.events import topics
from engine.events.record import Outgoing
from engine.identity import mac
from engine.ports import Reader

READ_MAX = 500
SIZE_MAX = 1_000_000  # bytes of a record, by Kafka's default
LIVE = "live@"  # keys of releases: live@1, live@2, ...; an artefact's key is its version
_GZIP = b"\x1f\x8b"
_json = msgspec.json.Encoder(order="sorted").encode


class Artefact(msgspec.Struct, kw_only=True):
    """All that a worker needs to run a rule set. `rules`, `contracts`: path -> text.

    `lateness_ms`: event type -> the largest lateness of the sources that may send it. `author`: who
    asked for it; `at`: UTC ms; `previous`: what was live then, `after`: by the release of which
    number. `checks`: what was found before it was published, for the record.
    """

    version: str
    rules: dict[str, str]
    contracts: dict[str, str]
    lateness_ms: dict[str, int]
    author: str = ""
    at: int = 0
    why: str = ""
    previous: str = ""
    checks: dict[str, Any] = {}
    after: int | None = None  # of one from before it was noted: `previous` tells

    @property
    def hash(self) -> str:
        """Say what would run, in 12 hex digits: the same texts have the same hash."""
        body = [self.rules, self.contracts, self.lateness_ms]
        return sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


class Release(msgspec.Struct, kw_only=True):
    """A version went live. `kind`: publish, rollback or retire; `approver` '': nobody else.

    `number` from 1; `at` UTC ms; `why`: for people.
    """

    number: int
    version: str
    previous: str = ""
    kind: str = "publish"
    author: str
    approver: str = ""
    at: int
    why: str = ""


class _Sealed(msgspec.Struct):
    seal: str
    body: msgspec.Raw


@dataclass(slots=True)
class Shelf:
    """What the topic holds: artefacts by version, releases in order."""

    artefacts: dict[str, Artefact] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)

    @property
    def live(self) -> str:
        """The version that was made live last, '' if none ever was."""
        return self.releases[-1].version if self.releases else ""

    @property
    def number(self) -> int:
        """The number of the last release, 0 before the first."""
        return self.releases[-1].number if self.releases else 0

    @property
    def before(self) -> list[str]:
        """What was live before, what a rollback returns to last: going back takes back for good."""
        found: list[str] = []
        for release in self.releases:
            if release.version in found:
                del found[found.index(release.version) :]
            found.append(release.version)
        return found[:-1]

    @property
    def waiting(self) -> list[Artefact]:
        """Proposals that somebody may let in, in the order in which they were made."""
        live = {each.version for each in self.releases}
        made = [a for a in self.artefacts.values() if self.is_of_now(a)]
        made = sorted((a for a in made if a.version not in live), key=lambda a: _number(a.version))
        return [a for place, a in enumerate(made) if not self._instead(a, made[place + 1 :])]

    def is_of_now(self, proposal: Artefact) -> bool:
        """Tell whether nothing has gone live since a proposal was made."""
        if proposal.after is None:
            return proposal.previous == self.live
        return proposal.after == self.number

    def instead_of(self, proposal: Artefact) -> Artefact | None:
        """Return what its author has proposed in the place of a proposal: all of it, or more."""
        later = [a for a in self.waiting if _number(a.version) > _number(proposal.version)]
        return self._instead(proposal, later)

    def _instead(self, proposal: Artefact, later: list[Artefact]) -> Artefact | None:
        changed = self._changed(proposal)
        return next(
            (a for a in later if a.author == proposal.author and changed <= self._changed(a)), None
        )

    def _changed(self, proposal: Artefact) -> set[str]:
        """Return the paths of the files that are not as they are live."""
        live = self.artefacts[self.live].rules if self.live else {}
        paths = proposal.rules.keys() | live.keys()
        return {path for path in paths if proposal.rules.get(path) != live.get(path)}

    def next_version(self, artefact_hash: str) -> str:
        """Return the name of a new version: its number, and what is in it."""
        return f"v{max(map(_number, self.artefacts), default=0) + 1}-{artefact_hash[:8]}"


def _number(version: str) -> int:
    """Return the number in the name of a version, 0 of one that somebody has named."""
    return int(version[1:].partition("-")[0]) if _is_numbered(version) else 0


def _is_numbered(version: str) -> bool:
    return version[:1] == "v" and version[1:].partition("-")[0].isdigit()


def artefact_record(artefact: Artefact, secret: bytes) -> Outgoing:
    """Return the record of an artefact, sealed, so that no worker runs what nobody has checked.

    What is larger than a record may be is compressed with gzip: 5,000 rules are 2 MB of text.

    Raises
    ------
    ConfigError
        If it is too large even so.
    """
    value = _sealed(artefact, artefact.version, secret)
    if len(value) > SIZE_MAX:
        value = gzip.compress(value, mtime=0)
    if len(value) > SIZE_MAX:
        raise ConfigError(
            f"rule set {artefact.version} has {len(value):,} bytes compressed; "
            f"a record holds {SIZE_MAX:,}",
            code="config/size",
        )
    return Outgoing(topics.RULE_SETS, 0, artefact.version.encode(), value)


def release_record(release: Release, secret: bytes) -> Outgoing:
    """Return the record of a release, sealed."""
    name = f"{LIVE}{release.number}"
    return Outgoing(topics.RULE_SETS, 0, name.encode(), _sealed(release, name, secret))


def opened(name: str, value: bytes, secret: bytes) -> Artefact | Release:
    """Return what a record of the topic holds, by its key.

    Raises
    ------
    ConfigError
        `rules/seal` if it does not bear our seal, or a version's content is not what its name says.
    """
    try:
        sealed = msgspec.json.decode(
            gzip.decompress(value) if value[:2] == _GZIP else value, type=_Sealed
        )
        seal, body = bytes.fromhex(sealed.seal), bytes(sealed.body)
    except (msgspec.MsgspecError, ValueError, OSError, EOFError, zlib.error) as error:
        raise _refused(name, f"it cannot be read ({error})") from None
    if not mac.holds(seal, "ruleset", name.encode(), body, secret):
        raise _refused(name, "it does not bear the engine's seal")
    if name.startswith(LIVE):
        return msgspec.json.decode(body, type=Release)
    artefact = msgspec.json.decode(body, type=Artefact)
    said = name.partition("-")[2] if _is_numbered(name) else ""
    if artefact.version != name or not artefact.hash.startswith(said):
        raise _refused(name, f"its content is {artefact.version} with hash {artefact.hash}")
    return artefact


def _sealed(body: msgspec.Struct, name: str, secret: bytes) -> bytes:
    value = _json(body)
    seal = mac.sign("ruleset", name.encode(), value, secret).hex()
    return _json(_Sealed(seal, msgspec.Raw(value)))


def _refused(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"rule set record `{name}` is refused: {why}; publish it again with the secret of the "
        "workers",
        code="rules/seal",
    )


async def read_shelf(reader: Reader, secret: bytes) -> Shelf:
    """Return all that the topic holds and that bears our seal; the rest is passed over."""
    shelf, releases = Shelf(), {}
    offset, _ = await reader.bounds(topics.RULE_SETS, 0)
    while found := await reader.read(topics.RULE_SETS, 0, offset, count_max=READ_MAX):
        for record in found:
            offset = record.offset + 1
            try:
                item = opened(record.key.decode(), record.value, secret)
            except ConfigError:
                continue
            if isinstance(item, Release):
                releases[item.number] = item
            else:
                shelf.artefacts[item.version] = item
    shelf.releases = [releases[number] for number in sorted(releases)]
    return shelf
