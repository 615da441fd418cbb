"""topics/topics.yaml and the names that code uses are the same list."""

from pathlib import Path

import pytest

from engine.events import topics
from engine.events.contract import load_yaml

FILE = Path(__file__).parents[3] / "topics" / "topics.yaml"
TOPICS = load_yaml(FILE.read_text(encoding="utf-8"), "topics/topics.yaml")["topics"]


def test_code_and_file_name_the_same_topics() -> None:
    named = {value for name, value in vars(topics).items() if name.isupper() and name != "LOG"}
    assert set(TOPICS) == named
    assert set(topics.LOG) < named


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_a_topic_says_all_that_its_users_ask(name: str) -> None:
    row = TOPICS[name]
    assert row.keys() >= {"about", "key", "partitions", "writers", "readers", "schema"}
    assert row["partitions"] == "P" or row["partitions"] >= 1
    assert row.get("compacted") is True or row["retention_hours"] >= 168
