"""What an installation needs before its first event: topics, a rule set in the log, its sources."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.adapters.files import read_contracts, read_rules, read_text
from engine.adapters.kafka.topics import TopicSpec
from engine.clock import HOUR_MS
from engine.config import Settings
from engine.delivery.endpoints import parse_endpoints
from engine.delivery.model import Endpoint
from engine.events.contract import Contracts, load_yaml, parse_contracts
from engine.ingest.sources import Sources, parse_sources
from engine.ports import Publisher
from engine.rules.compile import compile_rules
from engine.runtime.connect import count_of
from engine.runtime.learner import version_records
from engine.runtime.rulesets.releases import Artefact, Release, artefact_record, release_record

FIRST = "the first rules"  # why a rule set went live that nobody has asked for


def topic_specs(settings: Settings, *, replication: int = 1) -> list[TopicSpec]:
    """Return every topic as `topics/topics.yaml` wants it, P filled in."""
    path = Path(settings.topics_dir) / "topics.yaml"
    body: dict[str, dict[str, Any]] = load_yaml(read_text(path), str(path))["topics"]
    specs = []
    for name, spec in body.items():
        count = settings.partitions if spec["partitions"] == "P" else int(spec["partitions"])
        config = {"cleanup.policy": "compact" if spec.get("compacted") else "delete"}
        if not spec.get("compacted"):
            config["retention.ms"] = str(int(spec["retention_hours"]) * HOUR_MS)
        specs.append(TopicSpec(name, count, config, replication))
    return specs


def topic_partitions(settings: Settings) -> dict[str, int]:
    """Return how many partitions each topic has; blocks where the log has grown.

    Only the log itself grows: a compacted topic's keys stay where they are, and so does the inbox.
    """
    counts = {spec.name: spec.partitions for spec in topic_specs(settings)}
    if settings.log_version > 1:
        return {name: count_of(settings, name) for name in counts}
    return counts


def sources_of(settings: Settings) -> Sources:
    """Return the sources of the installation."""
    path = Path(settings.topics_dir) / "sources.yaml"
    return parse_sources(read_text(path), where=str(path))


def contracts_of(settings: Settings) -> Contracts:
    """Return the contracts of the installation."""
    return parse_contracts(read_contracts(settings.topics_dir))


def endpoints_of(settings: Settings) -> tuple[Endpoint, ...]:
    """Return the webhook endpoints: those of ENDPOINTS if it is set, else of the file."""
    if settings.endpoints:
        return parse_endpoints(settings.endpoints, where="ENDPOINTS")
    path = Path(settings.topics_dir) / "endpoints.yaml"
    return parse_endpoints(read_text(path), where=str(path)) if path.exists() else ()


def artefact_of(
    settings: Settings,
    rules: Mapping[str, str],
    *,
    version: str = "",
    author: str = "",
    at: int = 0,
) -> Artefact:
    """Return the artefact of some rule files, with the contracts and sources of the installation.

    Raises
    ------
    RulesError
        If any file has a mistake.
    """
    contract_texts = read_contracts(settings.topics_dir)
    contracts = parse_contracts(contract_texts)
    compile_rules(rules, contracts, version=version)
    sources = sources_of(settings)
    return Artefact(
        version=version,
        rules=dict(rules),
        contracts=contract_texts,
        lateness_ms={name: sources.lateness_ms(name) for name in contracts.by_name},
        author=author,
        at=at,
    )


async def publish_rules(
    settings: Settings,
    publisher: Publisher,
    version: str,
    *,
    rules: dict[str, str] | None = None,
    number: int = 1,
) -> None:
    """Publish the first rule set of an installation: checked, then its artefact, then RULESET(v).

    `rules` None: all of the rules folder. `number`: of the release. Later ones go by
    `runtime/rulesets/publish.py`.

    Raises
    ------
    RulesError
        If any file has a mistake; then nothing is published.
    """
    texts = read_rules(settings.rules_dir) if rules is None else rules
    artefact = artefact_of(settings, texts, version=version, author="setup")
    release = Release(number=number, version=version, author="setup", at=0, why=FIRST)
    await publisher.publish(
        [
            artefact_record(artefact, settings.secret_key),
            release_record(release, settings.secret_key),
        ]
    )
    records = version_records("ruleset", version, settings.partitions, settings.secret_key)
    await publisher.publish(records)
