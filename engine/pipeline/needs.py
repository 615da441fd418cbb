"""What a batch must have loaded before it is folded, so that the fold itself never waits."""

from collections.abc import Iterable, Sequence

from engine.identity.messages import Claim, Erase, Split, Tick
from engine.keys import node_name, registrar_name
from engine.pipeline.envelope import Arrival
from engine.pipeline.registry import timer_entry
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
        if timer_entry(member) is None:
            tenant, _, node_id = member.partition("|")[0].partition(":")
            names.add(node_name(tenant, node_id))
    return names


def needed_entries(state: Partition, arrivals: Iterable[Arrival]) -> set[str]:
    """Return the names of the registrar entries that the batch starts from."""
    names: set[str] = set()
    passed = state.meta.clk
    for arrival in arrivals:
        body = arrival.body
        if arrival.error is not None or arrival.name:
            continue
        if isinstance(body, Claim):
            names.update(registrar_name(body.tenant, x) for x in (body.by, *body.names))
        elif isinstance(body, Erase | Split):
            names.add(registrar_name(body.tenant, body.name))
        elif isinstance(body, Tick):
            passed = max(passed, body.passed)
    for member in state.due_members(passed):
        entry = timer_entry(member)
        if entry is not None:
            names.add(registrar_name(*entry))
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


def fitting(state: Partition, arrivals: Sequence[Arrival]) -> int:
    """Return how many of some arrivals make one batch: all, unless too many timers are due.

    Then what stands before the first tick, or that tick alone.
    """
    ticks = [n for n, each in enumerate(arrivals) if isinstance(each.body, Tick)]
    passed = max((arrivals[n].body.passed for n in ticks), default=0)
    if not ticks or not state.overflows(max(passed, state.meta.clk)):
        return len(arrivals)
    return ticks[0] or 1
