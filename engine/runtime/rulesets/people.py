"""Who may change rules: a name, and where the house has a list, the key that goes with it."""

import re
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from engine.adapters.files import read_text
from engine.errors import ConfigError, ContractError, EngineError
from engine.events.contract import load_yaml

STAFF = "staff.yaml"


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody of the house, by name; `key` '' where the house has no keys."""

    name: str
    key: str = ""


def check_known(who: Who, topics_dir: str) -> None:
    """Check a name against the house's list, where it has one; a name must be there anyhow.

    Raises
    ------
    EngineError
        `rules/who` if there is no name, or it is not in the list with this key.
    """
    if not who.name:
        raise EngineError("who are you? name yourself with --as", code="rules/who")
    path = Path(topics_dir) / STAFF
    if not path.is_file():
        return
    people = parse_staff(read_text(path), where=str(path))
    wanted = people.get(who.name, "")
    given = sha256(who.key.encode()).hexdigest()
    if not compare_digest(wanted, given):
        raise EngineError(
            f"`{who.name}` is not in {path}, or the key is another; see --key", code="rules/who"
        )


def parse_staff(text: str, *, where: str) -> dict[str, str]:
    """Return who may publish: name -> sha256 of the key, in hex.

    Raises
    ------
    ConfigError
        If the text is anything else than `people: {name: 64 hex digits}`.
    """
    try:
        body = load_yaml(text, where)
    except ContractError as error:
        raise ConfigError(str(error), where=where) from None
    people = body.get("people") if isinstance(body, dict) else None
    if not isinstance(people, dict) or not all(
        isinstance(key, str) and re.fullmatch(r"[0-9a-f]{64}", key) for key in people.values()
    ):
        raise ConfigError("want people: {name: sha256 of the key}", where=where)
    return {str(name): key for name, key in people.items()}
