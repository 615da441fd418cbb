"""Names of the topics, for code; `topics/topics.yaml` says what each is; a test compares."""

INBOX = "channel.inbox"
EVENTS = "channel.events"
TRIGGERS = "triggers"
ALIASES = "customer.aliases"
RULE_SETS = "rules.sets"
MODELS = "churn.models"
SNAPSHOTS = "churn.snapshots"
LABELLED = "churn.labelled"
DEAD_EVENTS = "dead.events"
DEAD_DELIVERIES = "dead.deliveries"
LOG = (EVENTS, TRIGGERS)  # what begins anew, under a new name, when the partition count grows


def named(version: int) -> dict[str, str]:
    """Return what the topics of a version of the log are called at the broker, by our name.

    >>> named(2)["triggers"], named(1)
    ('triggers.v2', {})
    """
    return {name: f"{name}.v{version}" for name in LOG} if version > 1 else {}
