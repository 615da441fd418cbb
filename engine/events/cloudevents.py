"""CloudEvents 1.0, structured and binary: `type` names the event, `subject` may name a person."""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from engine.errors import ContractError
from engine.events.fields import got
from engine.events.ids import TYPES
from engine.events.raw import RawEvent

_REQUIRED = ("specversion", "id", "source", "type")


def is_cloudevent(message: Mapping[str, Any]) -> bool:
    """Tell whether a JSON object is a structured CloudEvent."""
    return "specversion" in message


def from_cloudevent(message: Mapping[str, Any]) -> RawEvent:
    """Return the raw event of a structured CloudEvent; identifiers stand in its data.

    `subject` of the form `type:value` names an identifier too (`user_id:u1`).

    Raises
    ------
    ContractError
        contract/shape if an attribute that the specification requires is missing.
    """
    for name in _REQUIRED:
        if not isinstance(message.get(name), str) or not message[name]:
            raise ContractError(
                f"$.{name}: missing; a CloudEvent has {', '.join(_REQUIRED)}", code="contract/shape"
            )
    data = message.get("data")
    if data is None:
        data = _decoded(message.get("data_base64"))
    if not isinstance(data, dict):
        raise ContractError(f"$.data: want object, got {got(data)}", code="contract/type")
    raw = RawEvent(
        name=message["type"],
        data=dict(data),
        message_id=f"{message['source']}\0{message['id']}",
        original=message.get("time"),
    )
    subject = message.get("subject")
    if isinstance(subject, str):
        kind, colon, value = subject.partition(":")
        if colon and kind in TYPES:
            raw.remembered[kind] = value
    return raw


def _decoded(text: Any) -> Any:
    """Return what `data_base64` holds: JSON, whatever its media type says."""
    if text is None:
        return {}
    try:
        return orjson.loads(b64decode(text, validate=True))
    except (ValueError, TypeError):
        raise ContractError(
            "$.data_base64: want base64 of a JSON object", code="contract/json"
        ) from None


def from_binary(headers: Mapping[str, str], body: bytes, *, prefix: str) -> dict[str, Any]:
    """Return the structured form of a binary CloudEvent; `prefix`: `ce-` (HTTP) or `ce_` (Kafka).

    Raises
    ------
    ContractError
        contract/json if the body is no JSON.
    """
    message: dict[str, Any] = {
        name.lower().removeprefix(prefix): unquote(value)
        for name, value in headers.items()
        if name.lower().startswith(prefix)
    }
    try:
        message["data"] = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise ContractError(f"the data is no JSON: {error}", code="contract/json") from None
    return message
