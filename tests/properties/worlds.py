"""What random expressions are evaluated on: events, profiles and logs with holes in them."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from engine.profile import schema
from engine.profile.logs import exact
from engine.profile.model import Actor, Trait
from engine.rules.expression.types import (
    BOOL,
    DOUBLE,
    INT,
    LIST,
    MONEY,
    STRING,
    FieldType,
    Scope,
)

FIELDS = {
    "i": INT,
    "j": INT,
    "d": DOUBLE,
    "s": STRING,
    "u": FieldType("string", optional=True),
    "b": BOOL,
    "l": LIST,
    "m": MONEY,
}
LOGGED = {"n": INT, "m": MONEY, "w": STRING, "f": BOOL}
SCOPE = Scope(
    events={"x": FIELDS},
    profile={**schema.schema(), "tier": STRING},
    # Without their bounds: any number may stand beside any other here.
    features={name: replace(fact, between=None) for name, fact in schema.FEATURES.items()},
    sets={},
    aggregates={"seen": LOGGED}.get,
)
WORDS = ["", "a", "ab", "茶", 'q"\\']
NOW = 1_000


@dataclass
class World:
    """What an expression is evaluated on: absent keys are missing."""

    event: dict[str, Any]
    tier: str | None
    risk: float | None
    orders: int
    rows: list[dict[str, Any]]
    it: dict[str, Any] | None = None


def a_world(random: Random) -> World:
    def some(name: str, value: Any) -> dict[str, Any]:
        return {name: value} if random.random() < 0.7 else {}

    event = {
        **some("i", random.randint(-3, 3)),
        **some("j", random.randint(-3, 3)),
        **some("d", random.choice([-1.5, 0.0, 2.0])),
        **some("s", random.choice(WORDS)),
        **some("u", random.choice(WORDS)),
        **some("b", random.random() < 0.5),
        **some("l", random.sample(WORDS, random.randint(0, 3))),
        **some("m", random.randint(-300, 300)),
    }
    rows = [
        {
            "at": at,
            **some("n", random.randint(-3, 3)),
            **some("m", random.randint(-300, 300)),
            **some("w", random.choice(WORDS)),
            **some("f", random.random() < 0.5),
        }
        for at in sorted(random.sample(range(NOW + 200), random.randint(0, 5)))
    ]
    return World(
        event,
        random.choice([None, *WORDS]),
        random.choice([None, -1.5, 0.0, 2.0]),
        random.randint(0, 3),
        rows,
    )


def an_actor(world: World) -> Actor:
    actor = Actor()
    if world.tier is not None:
        actor.traits["tier"] = Trait(world.tier, "crm", 0)
    if world.risk is not None:
        actor.scores["churn_risk"] = world.risk
    actor.trade.orders = world.orders
    columns = exact.Columns(("f", "m", "n"), ("w",))
    for row in world.rows:
        exact.append(actor.logs, "seen", row["at"], row, columns)
    return actor
