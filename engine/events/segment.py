"""Messages of the Segment spec, as its and RudderStack's SDKs really send them (ECOSYSTEM.md 1)."""

from collections.abc import Callable
from typing import Any

from engine.errors import ContractError
from engine.events.raw import RawEvent

METHODS = ("track", "page", "screen", "identify", "group", "alias")
_CHANNEL_FIELDS = ("email", "phone", "openid", "unionid", "member_no", "device_id", "id_number")
Message = dict[str, Any]


def from_segment(message: Message, method: str | None = None) -> RawEvent:
    """Return the raw event of one message; `method`: of the path, over the message's own `type`.

    Raises
    ------
    ContractError
        contract/shape if it is no Segment message.
    """
    kind = method or message.get("type")
    if kind not in _READERS:
        raise ContractError(
            f"$.type: want one of {', '.join(METHODS)}, got {kind!r:.60}", code="contract/shape"
        )
    name, data = _READERS[kind](message)
    context = message.get("context")
    raw = RawEvent(
        name=name,
        data=data,
        message_id=_text(message.get("messageId")),
        original=message.get("timestamp") or message.get("originalTimestamp"),
        sent=message.get("sentAt"),
    )
    for field, key in (("user_id", "userId"), ("anonymous_id", "anonymousId")):
        if (value := message.get(key)) is not None:
            raw.identifiers[field] = value
    if isinstance(context, dict):
        device = context.get("device")
        if isinstance(device, dict) and device.get("id"):
            raw.identifiers["device_id"] = device["id"]
        traits = context.get("traits")
        if isinstance(traits, dict):
            _lift(traits, raw)
    _lift(data, raw)
    return raw


def _lift(data: Message, raw: RawEvent) -> None:
    for name in _CHANNEL_FIELDS:
        if (value := data.get(name)) is not None:
            raw.identifiers.setdefault(name, value)


def _object(message: Message, key: str) -> Message:
    value = message.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ContractError(f"$.{key}: want object, got {value!r:.60}", code="contract/type")
    return dict(value)


def _track(message: Message) -> tuple[str, Message]:
    name = message.get("event")
    if not isinstance(name, str) or not name.strip():
        raise ContractError("$.event: missing; a track has a name", code="contract/missing")
    return name.strip(), _object(message, "properties")


def _page(message: Message) -> tuple[str, Message]:
    data = _object(message, "properties")
    context = message.get("context")
    seen = context.get("page") if isinstance(context, dict) else None
    page = seen if isinstance(seen, dict) else {}
    path = data.get("path") or page.get("path") or message.get("name") or data.get("url") or "/"
    data.setdefault("page", str(path))
    return "web.page_viewed", data


def _screen(message: Message) -> tuple[str, Message]:
    data = _object(message, "properties")
    data.setdefault("screen", str(message.get("name") or data.get("name") or "screen"))
    return "app.screen_viewed", data


def _identify(message: Message) -> tuple[str, Message]:
    traits = _object(message, "traits")
    consent = traits.pop("consent", None)
    if isinstance(consent, dict):
        for channel, granted in consent.items():
            traits[f"consent.{channel}"] = granted
    return "customer.identified", traits


def _group(message: Message) -> tuple[str, Message]:
    data = _object(message, "traits")
    if message.get("groupId") is not None:
        data["group_id"] = str(message["groupId"])
    return "customer.grouped", data


def _alias(message: Message) -> tuple[str, Message]:
    previous = message.get("previousId")
    return "customer.identified", {"anonymous_id": str(previous)} if previous else {}


_READERS: dict[str, Callable[[Message], tuple[str, Message]]] = {
    "track": _track,
    "page": _page,
    "screen": _screen,
    "identify": _identify,
    "group": _group,
    "alias": _alias,
}


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value != "" else None
