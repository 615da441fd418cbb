"""Mistakes in rule files, told so that a marketer can mend them: place, caret, hint."""

from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import east_asian_width

from engine.rules.text.chinese import LEVELS, chinese

PROBLEMS_MAX = 200  # of one file


class Problem(NamedTuple):
    """One mistake. `line`, `column` from 1; `length` in characters; `level` error or warning."""

    path: str
    line: int
    column: int
    length: int
    code: str
    message: str
    hint: str = ""
    level: str = "error"


def told(problem: Problem, text: str, lang: str = "en") -> str:
    """Return a mistake as it is printed, with the line that it is in and a caret under it.

    `lang`: en or zh.
    """
    return _told(problem, text.splitlines(), lang)


def _told(problem: Problem, lines: Sequence[str], lang: str) -> str:
    level, message, hint = problem.level, problem.message, problem.hint
    if lang == "zh":
        level, message, hint = LEVELS[level], chinese(message), chinese(hint)
    place = f"{problem.path}:{problem.line}:{problem.column}"
    shown = lines[problem.line - 1] if 0 < problem.line <= len(lines) else ""
    shown = shown.encode(errors="replace").decode()  # of a file that is no UTF-8
    number = f"{problem.line:>6}"
    # Full-width characters take two columns of a terminal; the caret must stand under them.
    before = sum(_width(c) for c in shown[: problem.column - 1])
    under = shown[problem.column - 1 : problem.column - 1 + max(1, problem.length)]
    caret = "^" * max(1, sum(_width(c) for c in under))
    out = [
        f"{place}: {level} {problem.code}: {message}",
        f"{number} | {shown}",
        f"{'':>6} | {'':>{before}}{caret}",
    ]
    if hint:
        out.append(f"{'':>6} = {hint}")
    return "\n".join(out)


def report(problems: Sequence[Problem], texts: dict[str, str], lang: str = "en") -> str:
    """Return all mistakes, in the order of files and lines."""
    ordered = sorted(problems, key=lambda p: (p.path, p.line, p.column))
    lines = {path: texts.get(path, "").splitlines() for path in {p.path for p in ordered}}
    return "\n".join(_told(p, lines[p.path], lang) for p in ordered)


def bounded(problems: Sequence[Problem]) -> list[Problem]:
    """Return the mistakes of one file, no more than anybody reads, and how many are left out."""
    ordered = sorted(problems, key=lambda p: (p.level, p.line, p.column))
    found, left = ordered[:PROBLEMS_MAX], len(ordered) - PROBLEMS_MAX
    if left > 0:
        found.append(found[-1]._replace(code="R121", message=f"and {left} more like it", hint=""))
    return found


def _width(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 1
