"""What a batch must have loaded before it is folded, so that the fold itself never waits."""

from collections.abc import Iterable, Sequence

from engine.identity.messages import Claim, Tick
from engine.keys import node_name, registrar_name
from engine.pipeline.envelope import Arrival
from engine.pipeline.state import Partition


def needed_nodes(state: Partition, arrivals: Iterable[Arrival]) -> set[str]:
    """Return the names of the nodes that the batch reads: addressees, and owners of due timers."""
    names: set[str] = set()
    passed = state.meta.clk
    for arrival in arrivals:
        if arrival.error is not None:
            continue
        if arrival.name:
            names.add(arrival.name)
        elif isinstance(arrival.body, Tick):
            passed = max(passed, arrival.body.passed)
    for member in state.due_members(passed):
        address = member.partition("|")[0]
        tenant, _, node_id = address.partition(":")
        names.add(node_name(tenant, node_id))
    return names


def needed_entries(arrivals: Iterable[Arrival]) -> set[str]:
    """Return the names of the registrar entries that the batch's claims start from."""
    names: set[str] = set()
    for arrival in arrivals:
        claim = arrival.body
        if isinstance(claim, Claim) and arrival.error is None:
            names.update(registrar_name(claim.tenant, x) for x in (claim.by, *claim.names))
    return names


def needed_roots(state: Partition, names: Iterable[str]) -> set[str]:
    """Return the names of the roots that loaded pointers lead to: the second and last round."""
    roots: set[str] = set()
    for name in names:
        entry = state.entries[name]
        if isinstance(entry, str) and entry:
            tenant = name[2 : name.index("/")]
            roots.add(registrar_name(tenant, entry))
    return roots


def contiguous(arrivals: Sequence[Arrival], off: int) -> bool:
    """Tell whether a batch begins right behind what is applied and has no hole."""
    return all(a.record.offset == off + 1 + i for i, a in enumerate(arrivals))
