"""The endpoints of an installation: `topics/endpoints.yaml`, or a JSON list over it."""

from base64 import b64decode
from difflib import get_close_matches
from typing import Any

import orjson

from engine.delivery.address import refusal
from engine.delivery.model import Endpoint
from engine.errors import ConfigError, ContractError
from engine.events.contract import load_yaml

_KEYS = {"name", "url", "secret", "secrets", "rules", "channels", "private"} | {
    "on_unknown",
    "concurrency",
    "timeout_s",
}
_ON_UNKNOWN = ("retry", "park")
SECRET_SIZE_MIN, SECRET_SIZE_MAX = 24, 64  # bytes, as Standard Webhooks asks
SECRETS_MAX = 2  # the new one and, while it is rolled out, the old one
CONCURRENCY_MAX = 256
TIMEOUT_S_MAX = 30.0


def parse_endpoints(text: str, *, where: str) -> tuple[Endpoint, ...]:
    """Return the endpoints of a YAML or JSON text.

    Raises
    ------
    ConfigError
        With every mistake of the text.
    """
    try:
        body = orjson.loads(text) if text.lstrip()[:1] == "[" else load_yaml(text, where)
    except (orjson.JSONDecodeError, ContractError) as error:
        raise ConfigError(f"cannot read it: {error}", where=where) from None
    specs = body.get("endpoints", []) if isinstance(body, dict) else body
    if not isinstance(specs, list | None):
        raise ConfigError("want `endpoints:` and a list", where=where)
    problems: list[str] = []
    found: dict[str, Endpoint] = {}
    for spec in specs or []:
        endpoint = _endpoint(spec, problems)
        if endpoint is None:
            continue
        if endpoint.name in found:
            problems.append(f"endpoint `{endpoint.name}`: there is another of that name")
        found[endpoint.name] = endpoint
    if problems:
        raise ConfigError("\n".join(problems), where=where)
    return tuple(found.values())


def _endpoint(spec: Any, problems: list[str]) -> Endpoint | None:
    if not isinstance(spec, dict) or not spec.get("name") or not spec.get("url"):
        problems.append("an endpoint has `name`, `url` and `secret`")
        return None
    name = str(spec["name"])
    secrets = spec.get("secrets") or [spec.get("secret", "")]
    mistakes = [*_mistakes(spec), *_secret_mistakes(secrets)]
    problems += [f"endpoint `{name}`: {text}" for text in mistakes]
    if mistakes:
        return None
    return Endpoint(
        name=name,
        url=str(spec["url"]),
        secrets=tuple(secrets),
        rules=tuple(spec.get("rules") or ()),
        channels=tuple(spec.get("channels") or ()),
        private=spec.get("private", False),
        on_unknown=spec.get("on_unknown", "retry"),
        concurrency=spec.get("concurrency", 8),
        timeout_s=float(spec.get("timeout_s", 15)),
    )


def _mistakes(spec: dict[str, Any]) -> list[str]:
    found = []
    for key in spec.keys() - _KEYS:
        near = get_close_matches(key, _KEYS, 1)
        found.append(f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
    if "|" in str(spec["name"]):
        found.append("a name has no `|` in it")
    private = spec.get("private", False)
    if type(private) is not bool:
        found.append(f"`private` is {private!r}; want true or false")
    if why := refusal(str(spec["url"]), private=private is True):
        found.append(why)
    for key in ("rules", "channels"):
        value = spec.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            found.append(f"`{key}` is {value!r}; want a list of names")
    if spec.get("on_unknown", "retry") not in _ON_UNKNOWN:
        found.append(f"`on_unknown` is {spec['on_unknown']!r}; want {' or '.join(_ON_UNKNOWN)}")
    concurrency, timeout_s = spec.get("concurrency", 8), spec.get("timeout_s", 15)
    if type(concurrency) is not int or not 1 <= concurrency <= CONCURRENCY_MAX:
        found.append(f"`concurrency` is {concurrency!r}; want 1 to {CONCURRENCY_MAX}")
    if type(timeout_s) not in (int, float) or not 0 < timeout_s <= TIMEOUT_S_MAX:
        found.append(f"`timeout_s` is {timeout_s!r}; want above 0, up to {TIMEOUT_S_MAX:g}")
    return found


def _secret_mistakes(secrets: Any) -> list[str]:
    if not isinstance(secrets, list) or len(secrets) > SECRETS_MAX:
        return [f"want a list of at most {SECRETS_MAX} `secrets`, the new one first"]
    if all(_is_secret(secret) for secret in secrets):
        return []
    # Without the value: a secret is printed nowhere, not even a wrong one.
    return [
        "want a secret of the form whsec_ and base64 of "
        f"{SECRET_SIZE_MIN} to {SECRET_SIZE_MAX} bytes"
    ]


def _is_secret(secret: Any) -> bool:
    if not isinstance(secret, str) or not secret.startswith("whsec_"):
        return False
    try:
        size = len(b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False
    return SECRET_SIZE_MIN <= size <= SECRET_SIZE_MAX
