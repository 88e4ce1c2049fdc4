"""A sample of a project's events: its pages, and what is left of private values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from endpoints_gitops.api.client import Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.api.errors import BadAnswer
from endpoints_gitops.errors import UsageError
from endpoints_gitops.local.serve import RunningServer, running_server
from endpoints_gitops.model.secret import Secret
from endpoints_gitops.operations import event_sample
from endpoints_gitops.operations.event_redaction import RedactionRules, as_lines, is_private, redact_events
from endpoints_gitops.operations.event_sample import EventSample, copy_events, query_of_page
from endpoints_gitops.operations.project import Silence

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
EVERYTHING_KEPT = frozenset(("uuid", "distinct_id", "person_id", "$session_id", "$group_0", "email"))


@pytest.fixture(scope="module")
def project() -> Iterator[RunningServer]:
    with running_server(sample=True, now=NOW) as running:
        yield running


@pytest.fixture
def client(project: RunningServer) -> Iterator[Client]:
    with Client(Connection(host=project.url, project_id=project.project_id, key=Secret(project.readonly_key))) as made:
        yield made


def copied(client: Client, count: int, **rules: Any) -> EventSample:
    return copy_events(client, count=count, days=90, now=NOW, rules=RedactionRules(**rules), progress=Silence())


def test_pages_are_the_newest_events_without_gaps(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many events of the sample have the same time, so that pages end between them."""
    monkeypatch.setattr(event_sample, "PAGE", 7)
    sample = copied(client, 100, kept=EVERYTHING_KEPT)
    whole = client.query({"kind": "HogQLQuery", "query": query_of_page(100, NOW, 90, None)})["results"]
    assert sample.requests == 15
    assert [row["uuid"] for row in sample.redacted.rows] == [row[0] for row in whole]
    assert [row["properties"] for row in sample.redacted.rows] == [json.loads(row[6]) for row in whole]
    assert len({row["timestamp"] for row in sample.redacted.rows}) < 90


def test_fewer_events_than_asked_for(client: Client) -> None:
    sample = copy_events(client, count=100_000, days=3, now=NOW, rules=RedactionRules(), progress=Silence())
    assert len(sample.redacted.rows) < 1000 * sample.requests
    assert min(row["timestamp"] for row in sample.redacted.rows) >= "2026-06-28T12:00:00"


def test_a_project_without_events(client: Client) -> None:
    with pytest.raises(UsageError, match="no events in the last 1 days"):
        copy_events(
            client, count=5, days=1, now=datetime(2020, 1, 1, tzinfo=UTC), rules=RedactionRules(), progress=Silence()
        )


class Answering:
    """A client whose every answer to a query is the same."""

    def __init__(self, results: Any) -> None:
        self.results = results

    def query(self, _node: Any) -> dict[str, Any]:
        return {"results": self.results}


ROW = [
    "00000000-0000-4000-8000-000000000001",
    "e",
    "a",
    "2026-07-01T00:00:00Z",
    "2026-07-01T00:00:00Z",
    "p",
    "{}",
    "{}",
    1,
]


@pytest.mark.parametrize(
    ("results", "told"),
    [
        (None, "does not have 1 rows or fewer"),
        ([ROW, ROW], "does not have 1 rows or fewer"),
        ([ROW[1:]], "does not have 9 values"),
        ([["x", *ROW[1:]]], "cannot be read: badly formed"),
        ([[*ROW[:6], "[1]", "{}", 1]], "properties are not an object"),
        ([[*ROW[:6], "{", "{}", 1]], "cannot be read"),
        ([[ROW[0], None, *ROW[2:]]], "a value that is not text"),
        ([ROW], "does not continue"),
    ],
)
def test_odd_answers_are_refused(results: Any, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_sample, "PAGE", 1)
    client: Any = Answering(results)
    with pytest.raises(BadAnswer, match=told):
        copied(client, 2)


def event(distinct_id: str = "ann@acme.example", **properties: Any) -> dict[str, Any]:
    return {"uuid": ROW[0], "event": "e", "distinct_id": distinct_id, "person_id": ROW[0], "properties": properties}


def test_ids_are_hashed_alike_wherever_they_stand() -> None:
    rows = [
        event(email="ann@acme.example", owner="ann@acme.example", **{"$device_id": ROW[0]}),
        event("user-7", seen=["user-7"], user_id=7, **{"$groups": {"company": "acme"}, "$group_0": "acme"}),
        event("user-7"),
    ]
    first, second, third = redact_events(rows, RedactionRules()).rows
    assert first["distinct_id"] == first["properties"]["email"] == first["properties"]["owner"]
    assert first["distinct_id"].startswith("person-")
    assert first["uuid"] == first["person_id"] == first["properties"]["$device_id"] != ROW[0]
    assert second["distinct_id"] == third["distinct_id"] == second["properties"]["seen"][0] != "user-7"
    assert second["properties"]["$groups"]["company"] == second["properties"]["$group_0"] != "acme"
    assert isinstance(second["properties"]["user_id"], int)
    assert second["properties"]["user_id"] != 7
    assert b"ann" not in as_lines([first, second, third])


def test_another_copy_has_other_hashes() -> None:
    one, other = (redact_events([event()], RedactionRules()).rows[0]["distinct_id"] for _ in range(2))
    assert one != other


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("name", "Ann", "redacted"),
        ("firstName", "Ann", "redacted"),
        ("billing_address", {"street": "x"}, {}),
        ("phone", 4912345, 0),
        ("phones", ["1"], []),
        ("phone", "", ""),
        ("$ip", "8.8.8.8", "redacted"),
        ("api_key", "x", "redacted"),
        ("is_email_verified", True, True),
        ("$geoip_latitude", 52.5, 0),
        ("$el_text", "Hello Ann", "redacted"),
        ("$os_name", "Linux", "Linux"),
        ("plan", "pro", "pro"),
        ("deep", {"list": [{"email": ""}, {"name": "Ann"}]}, {"list": [{"email": ""}, {"name": "redacted"}]}),
        ("note", "call 8.8.8.8 or 2001:db8::1, at 10:00:00", "call 0.0.0.0 or ::, at 10:00:00"),
        ("$raw_user_agent", "Chrome/121.0.0.0", "Chrome/121.0.0.0"),
        ("note", "phx_abcdefghijk", "redacted"),
        (
            "$current_url",
            "https://x.example/p?utm_source=a&token=b#code=c",
            "https://x.example/p?utm_source=a&token=redacted#code=redacted",
        ),
        ("$pathname", "/p?q=ann", "/p?q=redacted"),
        ("formula", "a=b?c=d", "a=b?c=d"),
    ],
)
def test_what_is_replaced(name: str, value: Any, wanted: Any) -> None:
    (row,) = redact_events([event("a", **{name: value})], RedactionRules()).rows
    assert row["properties"] == {name: wanted}


def test_addresses_inside_of_texts_are_replaced() -> None:
    text = "mail ann@acme.example, ann%40acme.example"
    (row,) = redact_events([event("a", note=text)], RedactionRules()).rows
    first, second = row["properties"]["note"].removeprefix("mail ").split(", ")
    assert first == second
    assert first.endswith("@example.com")


def test_rules_of_the_user_win() -> None:
    rows = [event("a", plan="pro", email="ann@acme.example", name="Ann")]
    redacted = redact_events(rows, RedactionRules(replaced={"plan": "x"}, kept=frozenset(("email", "distinct_id"))))
    assert redacted.rows[0]["properties"] == {"plan": "x", "email": "ann@acme.example", "name": "redacted"}
    assert redacted.rows[0]["distinct_id"] == "a"
    assert redacted.replaced == ("name", "plan")
    assert redacted.hashed == ("person_id", "uuid")


def test_a_rule_without_effect_is_refused() -> None:
    with pytest.raises(UsageError, match="no copied event has 'emial', 'x'"):
        redact_events([event("a")], RedactionRules(replaced={"x": ""}, kept=frozenset(("emial",))))


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="--redact and --keep both name 'plan'"):
        redact_events([event("a", plan="pro")], RedactionRules(replaced={"plan": "x"}, kept=frozenset(("plan",))))


@pytest.mark.parametrize(
    "name", ["ship", "filename2x", "nameless", "$lib_version", "$browser", "zipped", "description"]
)
def test_parts_of_words_are_not_private(name: str) -> None:
    assert not is_private(name)


def test_long_texts_are_masked_in_time() -> None:
    """A pattern that looks back over the whole text for each character would take minutes."""
    text = "a" * 200_000 + ":" * 200_000
    (row,) = redact_events([event("b", note=text)], RedactionRules()).rows
    assert row["properties"]["note"] == text
