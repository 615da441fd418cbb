"""In which language a command speaks: `--lang`, else that of the locale."""

import os
from argparse import ArgumentParser

from engine.rules.sentence import LANGUAGES


def add_language(parser: ArgumentParser) -> None:
    """Add `--lang`."""
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=language(), help="to speak (that of the locale)"
    )


def language() -> str:
    """Return the language of the locale: zh where it is Chinese, else en."""
    found = next((v for n in ("LC_ALL", "LC_MESSAGES", "LANG") if (v := os.environ.get(n))), "")
    return "zh" if found.startswith("zh") else "en"
