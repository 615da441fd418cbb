"""Which tests may run beside each other, where several processes test (`make test`).

All tests with servers are in one process: there is one of each server then, and what waits for the
clock of the wall has no other of its kind beside it. What only computes is in any process.
"""

from xdist.scheduler import LoadFileScheduling

COMPUTING = tuple(
    f"tests/{name}" for name in ("unit/", "properties/", "rules/", "simulation/", "test_tidy.py")
)


def computes(nodeid: str) -> bool:
    """Tell whether a test has no server and no clock of the wall."""
    return nodeid.startswith(COMPUTING)


class Beside(LoadFileScheduling):
    """Hands out files to processes; those with servers are one piece.

    Not by `--dist loadgroup`: xdist 3.8 writes the group into an id that pytest 9.2 reads no more,
    and then hands out the tests as if there were no groups.
    """

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid) if computes(nodeid) else "servers"
