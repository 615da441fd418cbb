"""Mistakes in rule files, told so that a marketer can mend them: place, caret, hint."""

from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import east_asian_width

from engine.rules.text.chinese import LEVELS, chinese


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
    level, message, hint = problem.level, problem.message, problem.hint
    if lang == "zh":
        level, message, hint = LEVELS[level], chinese(message), chinese(hint)
    place = f"{problem.path}:{problem.line}:{problem.column}"
    lines = text.splitlines()
    shown = lines[problem.line - 1] if 0 < problem.line <= len(lines) else ""
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
    return "\n".join(told(p, texts.get(p.path, ""), lang) for p in ordered)


def _width(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 1
