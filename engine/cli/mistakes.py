"""Mistakes of rule files on a terminal: each with its place, and how many there are."""

import sys

from engine.errors import RulesError
from engine.rules.text.problems import Problem, report

_WRONG = {
    "en": "\nmistakes: {count}, in {wrong} of {files} files",
    "zh": "\n{files}个文件中的{wrong}个有{count}处错误",
}


def mistaken(error: RulesError, lang: str) -> int:
    """Print mistakes and their number; return what the command returns."""
    found = [problem for problem in error.problems if isinstance(problem, Problem)]
    texts = error.texts
    print(report(found, dict(texts), lang))
    wrong = len({problem.path for problem in found})
    words = _WRONG[lang].format(count=len(found), wrong=wrong, files=len(texts))
    print(words, file=sys.stderr)
    return 1
