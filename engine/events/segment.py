"""Messages of the Segment spec, as its and RudderStack's SDKs really send them (ECOSYSTEM.md 1)."""

from collections.abc import Callable
from typing import Any

from engine.errors import ContractError
from engine.events.fields import got
from engine.events.raw import RawEvent

METHODS = ("track", "page", "screen", "identify", "group", "alias")
Message = dict[str, Any]


def from_segment(message: Message, method: str | None = None) -> RawEvent:
    """Return the raw event of one message; `method`: of the path, over the message's own `type`.

    Identifiers among the properties stay there, for the contract to find.

    Raises
    ------
    ContractError
        contract/shape, contract/missing or contract/type if it is no Segment message.
    """
    kind = method or message.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ContractError(
            f"$.type: want one of {', '.join(METHODS)}, got {got(kind)}", code="contract/shape"
        )
    name, data = reader(message)
    raw = RawEvent(
        name=name,
        data=data,
        message_id=_text(message.get("messageId")),
        original=message.get("timestamp") or message.get("originalTimestamp"),
        sent=message.get("sentAt"),
    )
    head = raw.identifiers
    if (value := message.get("userId")) is not None:
        head["user_id"] = value
    if (value := message.get("anonymousId")) is not None:
        head["anonymous_id"] = value
    context = message.get("context")
    if isinstance(context, dict):
        _from_context(context, raw.remembered)
    return raw


def _from_context(context: Message, remembered: Message) -> None:
    """Take what SDKs say of the device, and of the person that they remember."""
    device = context.get("device")
    if isinstance(device, dict) and device.get("id"):
        remembered["device_id"] = device["id"]
    traits = context.get("traits")
    if isinstance(traits, dict):
        for name in ("email", "phone"):
            if (value := traits.get(name)) is not None:
                remembered[name] = value


def _object(message: Message, key: str) -> Message:
    value = message.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ContractError(f"$.{key}: want object, got {got(value)}", code="contract/type")
    return dict(value)


def _track(message: Message) -> tuple[str, Message]:
    name = message.get("event")
    if not isinstance(name, str) or not (name := name.strip()):
        raise ContractError("$.event: missing; a track has a name", code="contract/missing")
    return name, _object(message, "properties")


def _page(message: Message) -> tuple[str, Message]:
    data = _object(message, "properties")
    context = message.get("context")
    seen = context.get("page") if isinstance(context, dict) else None
    page = seen if isinstance(seen, dict) else {}
    if data.get("page") is None:
        path = data.get("path") or page.get("path") or message.get("name") or data.get("url")
        data["page"] = path if isinstance(path, str) else "/"
    if data.get("category") is None and isinstance(message.get("category"), str):
        data["category"] = message["category"]
    return "web.page_viewed", data


def _screen(message: Message) -> tuple[str, Message]:
    data = _object(message, "properties")
    if data.get("screen") is None:
        name = message.get("name") or data.get("name")
        data["screen"] = name if isinstance(name, str) else "screen"
    return "app.screen_viewed", data


def _identify(message: Message) -> tuple[str, Message]:
    traits = _object(message, "traits")
    consent = traits.pop("consent", None)
    if isinstance(consent, dict):
        for channel, granted in consent.items():
            traits[f"consent.{channel}"] = granted
    address = traits.pop("address", None)
    if isinstance(address, dict) and traits.get("city") is None:
        traits["city"] = address.get("city")
    first, last = traits.get("firstName"), traits.get("lastName")
    if traits.get("name") is None and isinstance(first, str) and isinstance(last, str):
        traits["name"] = f"{first} {last}"
    return "customer.identified", traits


def _group(message: Message) -> tuple[str, Message]:
    data = _object(message, "traits")
    if message.get("groupId") is not None:
        data["group_id"] = message["groupId"]
    return "customer.grouped", data


def _alias(message: Message) -> tuple[str, Message]:
    # A former user id counts as anonymous: as a user id it would be a rival of the new one.
    previous = message.get("previousId")
    return "customer.identified", {} if previous is None else {"anonymous_id": previous}


_READERS: dict[str, Callable[[Message], tuple[str, Message]]] = {
    "track": _track,
    "page": _page,
    "screen": _screen,
    "identify": _identify,
    "group": _group,
    "alias": _alias,
}


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int and -(2**63) < value < 2**63 else None
