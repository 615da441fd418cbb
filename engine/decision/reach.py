"""Through which channels a customer may be reached: consent and an address for each."""

from engine.profile.model import Actor

# A channel needs one of these identifiers; one without a row needs none (a desk is always there).
ADDRESSES: dict[str, tuple[str, ...]] = {
    "email": ("email",),
    "sms": ("phone",),
    "call": ("phone",),
    "wechat": ("openid", "unionid"),
    "push": ("device_id", "user_id"),
    "app": ("user_id",),
    "web": ("user_id", "anonymous_id"),
}
NEEDS_NO_CONSENT = frozenset({"desk", "web"})  # they come to us


def reachable(actor: Actor, channels: tuple[str, ...], *, service: bool) -> list[str]:
    """Return those of some channels that may be used, in their order.

    Marketing needs consent for the channel, by default there is none; a service message needs an
    address only.
    """
    found = []
    for channel in channels:
        needed = ADDRESSES.get(channel)
        if needed is not None and not any(name in actor.keys for name in needed):
            continue
        if not service and channel not in NEEDS_NO_CONSENT:
            consent = actor.traits.get(f"consent.{channel}")
            if consent is None or consent.value is not True:
                continue
        found.append(channel)
    return found
