"""Files of the house: rules, contracts, settings of topics; text in, for the pure parts."""

from pathlib import Path

from engine.errors import ConfigError
from engine.rules.offers import FILE as OFFERS
from engine.rules.offers import Offers, parse_offers

SHARED = "shared.yaml"
SHARED_LEVELS_MAX = 3


def read_texts(
    folder: str | Path, *, ending: str = ".yaml", errors: str = "strict"
) -> dict[str, str]:
    """Return path -> text of all files with an ending below a folder, paths as given.

    `errors`: as `bytes.decode` has it.

    Raises
    ------
    ConfigError
        If there is no such folder, or a file is no UTF-8.
    """
    root = Path(folder)
    if root.is_file():
        return {str(root): read_text(root, errors=errors)}
    if not root.is_dir():
        raise ConfigError(f"no folder `{folder}`; run from the project's root, or name another")
    return {str(path): read_text(path, errors=errors) for path in sorted(root.rglob(f"*{ending}"))}


def read_text(path: str | Path, *, errors: str = "strict") -> str:
    """Return the text of a file; ConfigError says why it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors=errors)
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"no UTF-8 at byte {error.start}", where=str(path)) from None


def read_contracts(topics_dir: str | Path) -> dict[str, str]:
    """Return the texts that `parse_contracts` wants: events and sets."""
    root = Path(topics_dir)
    return {
        **read_texts(root / "events"),
        str(root / "sets.yaml"): read_text(root / "sets.yaml"),
    }


def read_rules(rules_dir: str | Path) -> dict[str, str]:
    """Return the texts of all rule files below a folder, or of one file.

    With them comes what they share: `shared.yaml` of a folder above that is one of rules too.
    Bytes that are no UTF-8 become surrogates: whoever parses them says where, with all else.
    """
    found = read_texts(rules_dir, errors="surrogateescape")
    here = Path(rules_dir)
    for folder in here.parents[:SHARED_LEVELS_MAX]:
        path = folder / SHARED
        if path.is_file():
            found.setdefault(str(path), read_text(path, errors="surrogateescape"))
    return {path: text for path, text in found.items() if not path.endswith(".bad.yaml")}


def read_offers(rules_dir: str | Path) -> Offers:
    """Return the offers of a rules folder; none where it has no such file."""
    path = Path(rules_dir) / OFFERS
    return parse_offers(read_text(path), where=str(path)) if path.is_file() else Offers()
