"""History for back-tests: a dump of the log, a mapped file, or the topic itself, under rule sets.

Over the topic each partition's records are folded as they stand, ticks and messages between actors
too, so the live rule sets decide to the byte as they did. A file has source events only: all else
is made anew, with the ticks of its own time.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from engine.adapters.rows import torn
from engine.errors import ConfigError, MappingError
from engine.events import topics
from engine.events.codec import decode
from engine.events.record import Record, header
from engine.pipeline.book import Book
from engine.pipeline.envelope import read
from engine.ports import Reader
from engine.rules.compile import RuleSet
from engine.runtime.past.passed import Passed
from engine.runtime.rulesets.library import ArtefactLibrary
from engine.simulation.backtest import Watch
from engine.simulation.past import Past, book_of

CUSTOM = "custom."  # types that have no contract, and of which rules cannot speak
CHUNK = 2_000  # events that one rule set sees before the next one sees them
_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"  # with which some editors begin a file
Tell = Callable[[int], None]
"""Told how much further it is: bytes of a dump, events of a mapped file, records of a log."""


@dataclass(frozen=True, slots=True)
class Run:
    """A rule set over a history; `rules` None: those that the log itself names, in their time."""

    watch: Watch
    rules: RuleSet | None


def dumped(path: Path, tell: Tell, passed: Passed | None = None) -> Iterator[bytes]:
    """Yield the lines of an NDJSON dump: values of topic `channel.events`.

    Of a line without an event b"": an empty one, or a control record, which a dump by other tools
    may have among them. `passed`: told where a gzip is torn, cut off or with other bytes in it;
    the lines before that place happen.

    Raises
    ------
    MappingError
        Where a gzip is torn, if `passed` is None.
    ConfigError
        If the file cannot be read.
    """
    number = 0
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
            file.seek(0)
            at = 0
            lines = gzip.GzipFile(fileobj=file) if zipped else file
            for number, line in enumerate(lines, 1):
                value = line.removeprefix(_MARK) if number == 1 else line
                yield value if b'"ids":' in value or not _is_other(value) else b""
                if number % CHUNK == 0:
                    tell(file.tell() - at)
                    at = file.tell()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        wrong = torn(error, where=f"{path}:{number + 1}")
        if passed is None:
            raise wrong from None
        passed.over(wrong)
    except OSError as error:
        raise ConfigError(f"cannot read it: {error}", where=str(path)) from None


def _is_other(line: bytes) -> bool:
    """Tell whether a line without identifiers is in order all the same."""
    try:
        return not line.strip() or isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def over_events(
    runs: Sequence[Run],
    values: Iterator[bytes],
    *,
    secret: bytes,
    lateness_ms: Callable[[str], int],
    where: str = "",
    passed: Passed | None = None,
) -> int:
    """Let events happen, in the order in which they came, under each rule set; return how many.

    b"" stands for a line without one. `passed`: told of a value that is no event, with its number
    from 1; the others happen.

    Raises
    ------
    MappingError
        For a value that is no event, if `passed` is None; and if there is no event at all.
    """
    pasts = []
    for run in runs:
        assert run.rules is not None, "a file names no rule sets"
        book = book_of(run.rules, secret=secret, lateness_ms=lateness_ms)
        pasts.append(Past(book, run.watch.heard, version=run.rules.version))
    count = 0
    chunk: list[_Line] = []
    for line in enumerate(values, 1):
        chunk.append(line)
        if len(chunk) == CHUNK:
            count += _let_happen(runs, pasts, chunk, where, passed)
            chunk.clear()
    count += _let_happen(runs, pasts, chunk, where, passed)
    if not count:
        first = passed.told[0] if passed is not None and passed.told else "it is empty"
        raise MappingError(
            f"no line of it is an event: {first}; want a dump (`engine dump FILE`), "
            "or name the --mapping of another file",
            where=where,
        )
    for run, past in zip(runs, pasts, strict=True):
        past.end()
        run.watch.ended(past.state)
    return count


_Line = tuple[int, bytes]


def _let_happen(
    runs: Sequence[Run],
    pasts: Sequence[Past],
    lines: Sequence[_Line],
    where: str,
    passed: Passed | None,
) -> int:
    """Return how many lines were events; what is none is told once, and no other past sees it."""
    for run, past in zip(runs, pasts, strict=True):
        assert run.rules is not None
        contracts, good = run.rules.contracts.by_name, []
        for line in lines:
            number, value = line
            if not value:
                continue
            try:
                event = decode(value)
            except (msgspec.MsgspecError, ValueError) as error:
                wrong = MappingError(f"no event: {error}", where=f"{where}:{number}")
                if passed is None:
                    raise wrong from None
                passed.over(wrong)
                continue
            good.append(line)
            if event.type not in contracts and not event.type.startswith(CUSTOM):
                run.watch.strange[event.type] += 1
            if event.ids:
                past.event(event, value)
        lines = good
    return len(lines)


@dataclass(slots=True)
class Story:
    """The log as a history: where each partition begins and ends now. `is_whole`: none was cut."""

    bounds: list[tuple[int, int]]

    @property
    def size(self) -> int:
        """How many records there are."""
        return sum(end - start for start, end in self.bounds)

    @property
    def is_whole(self) -> bool:
        """Whether the log still has all that ever happened: else windows and limits begin empty."""
        return all(start == 0 for start, _ in self.bounds)


async def story_of(reader: Reader, partition_count: int) -> Story:
    """Return what topic `channel.events` holds now."""
    return Story([await reader.bounds(topics.EVENTS, p) for p in range(partition_count)])


async def over_log(
    runs: Sequence[Run],
    reader: Reader,
    library: ArtefactLibrary,
    story: Story,
    tell: Tell,
    *,
    ruleset: str,
    lateness_ms: Callable[[str], int],
) -> None:
    """Fold every partition of the log again under each rule set.

    `ruleset`: the one that is live now, for where the log does not say it any more.
    """
    book = library.book
    model = "" if story.is_whole else await library.newest("model")
    count = len(story.bounds)
    for partition, (start, end) in enumerate(story.bounds):
        pasts = [
            Past(
                book
                if run.rules is None
                else Book(book.secret, {run.rules.version: run.rules}, book.models, lateness_ms),
                run.watch.heard,
                index=partition,
                count=count,
                version="" if run.rules is None else run.rules.version,
                ruleset=ruleset if start else "",
                model=model if start else "",
            )
            for run in runs
        ]
        offset = start
        while offset < end:
            found = await reader.read(topics.EVENTS, partition, offset, count_max=CHUNK)
            records = [record for record in found if record.offset < end]
            if not records:
                break
            await _have_artefacts(library, records)
            for past in pasts:
                for record in records:
                    past.record(record)
            tell(records[-1].offset + 1 - offset)
            offset = records[-1].offset + 1
        for run, past in zip(runs, pasts, strict=True):
            run.watch.ended(past.state)


async def _have_artefacts(library: ArtefactLibrary, records: Sequence[Record]) -> None:
    """Wait for what the records name; what does not bear our seal is not waited for."""
    for record in records:
        if header(record.headers, "kind") in (b"ruleset", b"model"):
            arrival = read(record, library.book.secret)
            if arrival.error is None:
                await library.need(arrival.kind, arrival.body.version)
