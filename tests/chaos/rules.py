"""The rules of the chaos, as the engine reads them; `oracle.py` knows by heart what they mean."""

_HEAD = "owner: chaos@shop.example\nstatus: live\n"
_BODIES = {
    "big-order": """
when: [{event: order.placed, where: event.value > 100.0}]
do: [{case: big}]
fresh: 30d
limits: [64 per 1m]
""",
    "thanks": """
when: [{event: review.posted}]
do: [{case: thanks}]
fresh: 1d
limits: [2 per 20s]
""",
    "left-cart": """
when: [{event: cart.updated}, {not: order.placed, within: 5s}]
repeat: restart
do: [{case: cart}]
fresh: 3d
limits: [64 per 1m]
""",
}
FILES = {f"{name}.yaml": f"rule: {name}\n{_HEAD}{body.strip()}\n" for name, body in _BODIES.items()}
