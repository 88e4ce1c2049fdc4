"""`serve --from-project`: what it refuses, before it serves anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

FAILURES = {
    "no key": ({"ENDPOINTS_TEST_KEY": ""}, 3),
    "wrong key": ({"ENDPOINTS_TEST_KEY": "phx_wrong"}, 3),
    "no network": ({"ENDPOINTS_GITOPS_HOST": "http://127.0.0.1:9"}, 4),
}


@pytest.mark.parametrize("name", FAILURES)
def test_exit_codes(cli: Any, name: str) -> None:
    env, code = FAILURES[name]
    ran = cli("serve", "--from-project", "--max-wait", "1", "--format", "json", env=env)
    assert ran.code == code
    assert ran.json["errors"][0]["message"]


def test_a_key_without_the_scope(cli: Any, server: Any) -> None:
    key = server.issue_key("endpoint:read")
    ran = cli("serve", "--from-project", env={"ENDPOINTS_TEST_KEY": key})
    assert ran.code == 3
    assert "query:read" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--events", "5"], "--events: only with --from-project"),
        (["--keep", "a", "--redact", "b"], "--redact and --keep: only with --from-project"),
        (["--from-project", "--sample"], "--from-project and --sample both fill events"),
        (["--from-project", "--events", "0"], "expected a whole number of at least 1"),
    ],
)
def test_combinations(cli: Any, words: list[str], told: str) -> None:
    ran = cli("serve", *words)
    assert ran.code == 2
    assert told in ran.err


def test_a_file_is_not_replaced_without_an_answer(cli: Any, checkout: Any, server: Any) -> None:
    path = checkout.top / "saved" / "events.jsonl"
    path.parent.mkdir()
    path.write_text("mine")
    server.requests.clear()
    ran = cli("serve", "--from-project", "--save", "saved")
    assert ran.code == 2
    assert "Replace saved/events.jsonl?" in ran.err
    assert path.read_text() == "mine"
    assert server.requests.entries() == ()


def test_a_project_without_events(cli: Any) -> None:
    ran = cli("serve", "--from-project", "--format", "json")
    assert ran.code == 2
    assert ran.json["errors"][0]["code"] == "usage.no-events"
    assert json.dumps(ran.json)
