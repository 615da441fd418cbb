"""The meaning of a rule as a whole: what no line of the file can know alone."""

from collections.abc import Mapping

from engine.events.catalogue import Contract
from engine.events.contract import Contracts
from engine.profile.things.tally import SKETCHED_MAX, SPREAD
from engine.rules.cases import INCIDENT
from engine.rules.model import Rule
from engine.rules.parts.reach import check_reach
from engine.rules.text.problems import Problem
from engine.rules.text.reader import Reader, nearest
from engine.rules.text.source import Node

UNTESTED = "R131"


def check_rule(reader: Reader, root: Node, rule: Rule, contracts: Contracts) -> None:
    """Note the mistakes of a rule whose parts have been read."""
    check_reach(reader, root, rule, contracts)
    _per(reader, root, rule, contracts)
    _waits(reader, root, rule)
    _limits(reader, root, rule)
    _tests(reader, root, rule)
    _nobody(reader, root, rule)


def check_groups(rules: Mapping[str, Rule], texts: Mapping[str, str]) -> list[Problem]:
    """Return warnings about groups that are suppressed although no rule is in them.

    A suppression is of one customer or thing: it stops rules about the same kind.
    """
    groups: dict[str, set[str]] = {}
    for rule in rules.values():
        groups.setdefault(rule.key, set()).update(rule.groups)
    found = []
    for rule in rules.values():
        known = groups[rule.key]
        for action in rule.actions:
            if action.type == "suppress" and action.name not in known:
                message = f"no rule is in group '{action.name}', so nothing is suppressed"
                hint = nearest(action.name, known)
                line, column = _where(texts[rule.path], f"suppress: {action.name}")
                length = len(action.name) + 10
                found.append(
                    Problem(rule.path, line, column, length, "R132", message, hint, "warning")
                )
    return found


def check_tallies(rules: Mapping[str, Rule]) -> list[Problem]:
    """Return a mistake of the rule with which a kind of thing sketches too many fields."""
    known: dict[str, set[tuple[str, str]]] = {}
    found = []
    for rule in rules.values():
        wanted = known.setdefault(rule.key, set())
        wanted |= {(event, name) for event, name in rule.sketched}
        if len(wanted) > SKETCHED_MAX:
            message = f"a {rule.key} keeps distinct() or median() of {SKETCHED_MAX} fields at most"
            names = ", ".join(f"{event}.{name.lstrip(SPREAD)}" for event, name in sorted(wanted))
            found.append(Problem(rule.path, 1, 1, 1, "R146", message, f"these are {names}"))
    return found


def _where(text: str, words: str) -> tuple[int, int]:
    for number, line in enumerate(text.splitlines(), 1):
        if (column := line.find(words)) >= 0:
            return number, column + 1
    return 1, 1


def _per(reader: Reader, root: Node, rule: Rule, contracts: Contracts) -> None:
    place = reader.child(root, "per")
    if place is None:
        return
    if rule.schedule is not None:
        reader.add(place, "R117", "a rule that begins with a date has no 'per'")
    for event in rule.hears:
        contract: Contract | None = contracts.get(event)
        if contract is not None and rule.per not in contract.fields:
            hint = nearest(rule.per, contract.fields)
            reader.add(place, "E203", f"event '{event}' has no field '{rule.per}'", hint)


def _waits(reader: Reader, root: Node, rule: Rule) -> None:
    held = rule.quiet is not None or rule.guard is not None or bool(rule.context)
    lasts = rule.absent is not None or held or len(rule.steps) > 1
    if rule.cancels and not lasts and not any(step.times > 1 for step in rule.steps):
        for node in reader.items(root, "when"):
            if "unless" in node.pairs:
                message = "the rule acts at once, so nothing can call it off"
                hint = "add a second step, not:, times: or quiet_hours:"
                reader.add(node.pairs["unless"][0], "R140", message, hint)
    nodes = [node for node in reader.items(root, "when") if "event" in node.pairs]
    for node, step in list(zip(nodes, rule.steps, strict=False))[1:]:
        if step.within_ms is None and "within" not in node.pairs:
            message = f"'{step.event}' is waited for without an end"
            place = node.pairs["event"][0]
            reader.add(place, "R135", message, "such as within: 1d", level="warning")


def _limits(reader: Reader, root: Node, rule: Rule) -> None:
    node = reader.child(root, "when")
    is_busy = rule.steps and any(action.type != "suppress" for action in rule.actions)
    if node is not None and is_busy and not rule.limits:
        message = "a rule without limits can fire at every event"
        hint = "add limits:, such as - 1 per 7d"
        reader.add(node, "R130", message, hint, level="warning")
    holdout = reader.child(root, "holdout")
    if holdout is not None and rule.kind == "service":
        message = "a service rule leaves nobody out, so 'holdout' has no effect"
        reader.add(holdout, "R133", message, level="warning")
    elif holdout is not None and rule.key != "person":
        message = f"of each {rule.key} there is one, so 'holdout' has no effect"
        reader.add(holdout, "R133", message, level="warning")
    named = "limits" if any(limit.group for limit in rule.limits) else "group"
    if rule.kind == "service" and (place := reader.child(root, named)) is not None:
        message = "a service rule is in no group, so this has no effect"
        hint = "add kind: marketing if it is no service"
        reader.add(place, "R133", message, hint, level="warning")
    offers = any(action.type == "offer" for action in rule.actions)
    place = reader.child(root, "rule")
    is_held_out = rule.kind == "marketing" and rule.key == "person"
    if offers and is_held_out and holdout is None and place is not None:
        message = "without 'holdout' nobody can tell what the offer brings"
        reader.add(place, "R133", message, "add holdout: 10%", level="warning")


def _nobody(reader: Reader, root: Node, rule: Rule) -> None:
    """A rule that reaches nobody, or a word of it that changes nothing."""
    holdout = reader.child(root, "holdout")
    is_held_out = rule.kind == "marketing" and rule.key == "person"
    if holdout is not None and rule.holdout == 1.0 and is_held_out:
        hint = "write a share, such as 10%"
        message = "everybody is held out, so nobody ever gets it"
        reader.add(holdout, "R150", message, hint, level="warning")
    scope = reader.child(root, "scope")
    share = None if scope is None else reader.child(scope, "share")
    if share is not None and rule.scope is not None and rule.scope.share == 0.0:
        message = "nobody is in the scope, so nobody ever gets it"
        hint = "write a share, such as 10%"
        reader.add(share, "R150", message, hint, level="warning")
    steps = [node for node in reader.items(root, "when") if "event" in node.pairs]
    if steps and rule.steps and rule.steps[0].times == 1 and "within" in steps[0].pairs:
        message = "'within' of one first event has no effect"
        hint = "add times: 2, or write it under the next step"
        place = steps[0].pairs["within"][0]
        reader.add(place, "R151", message, hint, level="warning")


def _tests(reader: Reader, root: Node, rule: Rule) -> None:
    nodes = reader.items(root, "tests")
    for node in nodes:
        _expected(reader, node, rule)
    fires = any(case.expect for case in rule.cases)
    if not (fires and any(not case.expect for case in rule.cases)):
        place = reader.child(root, "tests") or reader.child(root, "rule") or root
        message = "a rule has a test that fires and one that does not"
        hint = "add one test with expect: [..] and one with expect: []"
        reader.add(place, UNTESTED, message, hint, level="warning")


def _expected(reader: Reader, node: Node, rule: Rule) -> None:
    """A test that expects what the rule never does can only fail: say so before it runs."""
    done = {(action.type, action.name) for action in rule.actions}
    raised = set() if rule.guard is None else {("case", rule.guard.case)}
    for item in reader.items(node, "expect"):
        is_incident = reader.text(item, "who") == INCIDENT
        if is_incident and rule.guard is None:
            hint = "only a rule with guard: raises an incident"
            reader.add(item.pairs["who"][1], "R148", "the rule has no guard", hint)
            continue
        known = raised if is_incident else done
        for kind, (_, value) in item.pairs.items():
            names = [name for type, name in known if type == kind]
            is_action = kind in ("offer", "message", "case", "event", "suppress")
            if is_action and rule.actions and value.text not in names:
                if (kind, value.text) in raised:
                    hint = "the incident raises it: add who: incident"
                    reader.add(value, "R137", f"the rule has no {kind} '{value.text}'", hint)
                    continue
                hint = nearest(value.text, names) or "it does: " + ", ".join(
                    f"{type} {name}" for type, name in sorted(known)
                )
                reader.add(value, "R137", f"the rule has no {kind} '{value.text}'", hint)
