"""The bytes of an event in the log: JSON, field by field as `Event` has them."""

import msgspec

from engine.events.model import Event

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
