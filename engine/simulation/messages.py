"""What the channels of the simulated company send: messages as a Segment SDK would build them."""

from random import Random
from typing import Any

from engine.clock import iso
from engine.simulation.people import Person

Message = dict[str, Any]


class Sender:
    """Builds messages with ids that depend on the seed alone."""

    def __init__(self, random: Random, prefix: str) -> None:
        self._random = random
        self._prefix = prefix
        self._number = 0

    def track(self, person: Person | None, event: str, at: int, **properties: Any) -> Message:
        """Return a `track`; `person` None: nobody in person, as from a queue's ticket machine.

        On the web a person is mostly known by the browser's id, elsewhere by the user id.
        """
        message: Message = {
            "type": "track",
            "event": event,
            "messageId": self._message_id(),
            "timestamp": iso(at),
            "properties": properties,
        }
        return self._who(message, person, event)

    def identify(self, person: Person, at: int) -> Message:
        """Return an `identify` with all traits: browser and user become one."""
        return {
            "type": "identify",
            "userId": person.user_id,
            "anonymousId": person.anonymous_id,
            "messageId": self._message_id(),
            "timestamp": iso(at),
            "traits": person.traits(),
        }

    def _who(self, message: Message, person: Person | None, event: str) -> Message:
        if person is None:
            return message
        channel = event.partition(".")[0]
        properties = message["properties"]
        if channel in ("web", "ad"):
            message["anonymousId"] = person.anonymous_id
        elif channel in ("call", "ivr", "sms", "promise"):
            properties["phone"] = person.phone
        elif channel in ("email",):
            properties["email"] = person.email
        elif channel in ("social",):
            properties["openid"] = person.openid
        else:
            message["userId"] = person.user_id
        return message

    def _message_id(self) -> str:
        self._number += 1
        return f"{self._prefix}-{self._number:07d}"
