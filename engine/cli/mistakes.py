"""Mistakes of rule files on a terminal: each with its place, and how many there are."""

import sys
from collections.abc import Mapping, Sequence

from engine.rules.text.problems import Problem, report

_WRONG = {
    "en": "\nmistakes: {count}, in {wrong} of {files} files",
    "zh": "\n{files}个文件中的{wrong}个有{count}处错误",
}


def mistaken(problems: Sequence[object], texts: Mapping[str, str], lang: str) -> int:
    """Print mistakes and their number; return what the command returns."""
    found = [problem for problem in problems if isinstance(problem, Problem)]
    print(report(found, dict(texts), lang))
    wrong = len({problem.path for problem in found})
    words = _WRONG[lang].format(count=len(found), wrong=wrong, files=len(texts))
    print(words, file=sys.stderr)
    return 1
