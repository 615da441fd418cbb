"""The endpoints of an installation: `topics/endpoints.yaml`, or a JSON list over it."""

from base64 import b64decode
from difflib import get_close_matches
from typing import Any

import orjson

from engine.delivery.address import refusal
from engine.delivery.model import Endpoint
from engine.errors import ConfigError, ContractError
from engine.events.contract import load_yaml

_KEYS = frozenset(
    "name url secret secrets rules channels private on_unknown concurrency timeout_s".split()
)
SECRET_SIZE_MIN, SECRET_SIZE_MAX = 24, 64  # bytes, as Standard Webhooks asks


def parse_endpoints(text: str, *, where: str) -> tuple[Endpoint, ...]:
    """Return the endpoints of a YAML or JSON text.

    Raises
    ------
    ConfigError
        With every mistake of the text.
    """
    problems: list[str] = []
    try:
        body = orjson.loads(text) if text.lstrip()[:1] == "[" else load_yaml(text, where)
    except (orjson.JSONDecodeError, ContractError) as error:
        raise ConfigError(f"cannot read it: {error}", where=where) from None
    specs = body if isinstance(body, list) else (body or {}).get("endpoints") or []
    found = [e for spec in specs if (e := _endpoint(spec, problems)) is not None]
    if problems:
        raise ConfigError("\n".join(problems), where=where)
    return tuple(found)


def _endpoint(spec: Any, problems: list[str]) -> Endpoint | None:
    if not isinstance(spec, dict) or not spec.get("name") or not spec.get("url"):
        problems.append("an endpoint has `name`, `url` and `secret`")
        return None
    name = str(spec["name"])
    before = len(problems)
    for key in spec.keys() - _KEYS:
        near = get_close_matches(key, _KEYS, 1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        problems.append(f"endpoint `{name}`: unknown key `{key}`{hint}")
    private = bool(spec.get("private", False))
    why = refusal(str(spec["url"]), private=private)
    if why:
        problems.append(f"endpoint `{name}`: {why}")
    secrets = tuple(map(str, spec.get("secrets") or [spec.get("secret", "")]))
    for secret in secrets:
        if not _is_secret(secret):
            problems.append(
                f"endpoint `{name}`: want a secret of the form whsec_ and base64 of "
                f"{SECRET_SIZE_MIN} to {SECRET_SIZE_MAX} bytes"
            )
    if len(problems) > before:
        return None
    return Endpoint(
        name=name,
        url=str(spec["url"]),
        secrets=secrets,
        rules=tuple(spec.get("rules") or ()),
        channels=tuple(spec.get("channels") or ()),
        private=private,
        on_unknown="park" if spec.get("on_unknown") == "park" else "retry",
        concurrency=int(spec.get("concurrency", 8)),
        timeout_s=float(spec.get("timeout_s", 15)),
    )


def _is_secret(secret: str) -> bool:
    if not secret.startswith("whsec_"):
        return False
    try:
        size = len(b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False
    return SECRET_SIZE_MIN <= size <= SECRET_SIZE_MAX
