"""Which tests may run beside each other, where several processes test (`make test`).

What only computes is in any process; so is what starts an installation of its own, a file at once.
All other tests share servers, one of each, and so one process.
"""

from xdist.scheduler import LoadFileScheduling

COMPUTING = (
    "engine/",  # the examples in its docstrings
    *(f"tests/{n}" for n in ("unit/", "properties/", "rules/", "simulation/", "test_tidy.py")),
)
OWN = ("tests/apache/", "tests/chaos/", "tests/endurance/")  # each file: Kafka, Redis, and workers


def computes(nodeid: str) -> bool:
    """Tell whether a test has no server and no clock of the wall."""
    return nodeid.startswith(COMPUTING)


class Beside(LoadFileScheduling):  # type: ignore[misc]
    """Hands out files to processes; those that share servers are one piece.

    Not by `--dist loadgroup`: xdist 3.8 writes the group into an id that pytest 9.2 reads no more,
    and then hands out the tests as if there were no groups.
    """

    def _split_scope(self, nodeid: str) -> str:
        alone = nodeid.startswith((*COMPUTING, *OWN))
        return super()._split_scope(nodeid) if alone else "servers"
