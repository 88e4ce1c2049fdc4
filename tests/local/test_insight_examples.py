"""Runs of insights that are not computed (here: a sampled one) return the examples of the definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import RunningServer, running_server

NODE = {
    "kind": "TrendsQuery",
    "series": [{"kind": "EventsNode", "event": "$pageview"}],
    "breakdownFilter": {"breakdown": "$browser"},
    "samplingFactor": 0.1,
}
DEFINITION = """\
name: views
query_definition:
  kind: TrendsQuery
  series:
    - kind: EventsNode
      event: $pageview
  breakdownFilter:
    breakdown: $browser
  samplingFactor: 0.1
examples:
  - rows:
      - {label: all, count: 3, data: [1, 2]}
  - variables: {$browser: Chrome}
    rows:
      - {label: Chrome, count: 1, data: [1, 0]}
"""
OTHER = "name: other\nquery: SELECT 1 AS one\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "views.yml").write_text(DEFINITION)
    (tmp_path / "other.yaml").write_text(OTHER)
    return tmp_path


@pytest.fixture
def insights(engine: QueryEngine, folder: Path) -> Iterator[RunningServer]:
    with running_server(engine=engine, definitions=folder) as running:
        yield running


@pytest.fixture
def client(insights: RunningServer, connect: Callable[..., httpx.Client]) -> httpx.Client:
    made = connect(insights)
    assert made.post("endpoints/", json={"name": "views", "query": NODE}).status_code == 201
    return made


@pytest.mark.parametrize(("variables", "label"), [({}, "all"), ({"$browser": "Chrome"}, "Chrome")])
def test_rows_of_the_example(client: httpx.Client, variables: dict[str, Any], label: str) -> None:
    told = client.post("endpoints/views/run", json={"variables": variables}).json()
    assert [each["label"] for each in told["results"]] == [label]
    assert (told["hasMore"], told["endpoint_version"], told["name"]) == (False, 1, "views")
    assert not {"columns", "types", "limit", "offset", "query"} & set(told)


def test_other_variables(client: httpx.Client) -> None:
    told = client.post("endpoints/views/run", json={"variables": {"$browser": "Safari"}})
    assert (told.status_code, told.json()["code"]) == (400, "not_supported_locally")
    assert "does not compute samplingFactor" in told.json()["detail"]
    assert 'no example with rows for the variables {"$browser":"Safari"}' in told.json()["detail"]


def test_another_query_than_the_definition_has(client: httpx.Client) -> None:
    client.patch("endpoints/views/", json={"query": {**NODE, "interval": "week"}})
    told = client.post("endpoints/views/run")
    assert told.status_code == 400
    assert "defines another query" in told.json()["detail"]
    assert client.post("endpoints/views/run", json={"version": 1}).status_code == 200


def test_no_definition(client: httpx.Client, folder: Path) -> None:
    (folder / "inner" / "views.yml").unlink()
    assert "has this name" in client.post("endpoints/views/run").json()["detail"]


def test_definition_that_cannot_be_read(client: httpx.Client, folder: Path) -> None:
    (folder / "broken.yaml").write_text("name: [")
    told = client.post("endpoints/views/run")
    assert told.status_code == 400
    assert "broken.yaml cannot be read" in told.json()["detail"]


def test_filters_override_never_takes_an_example(client: httpx.Client) -> None:
    told = client.post("endpoints/views/run", json={"filters_override": {"date_from": "-7d"}})
    assert (told.status_code, told.json()["code"]) == (400, "not_supported_locally")


PLAIN = {key: NODE[key] for key in NODE if key != "samplingFactor"}


@pytest.mark.parametrize("own", [[], {"type": "AND", "values": [{"type": "AND", "values": []}]}])
def test_filters_override_replaces_dates_and_adds_filters(client: httpx.Client, own: Any) -> None:
    client.patch("endpoints/views/", json={"query": {**PLAIN, "properties": own}})
    chrome = {"key": "$browser", "value": "Chrome", "operator": "exact", "type": "event"}
    sent = {"filters_override": {"date_from": "-2d", "properties": [chrome]}, "variables": {"date_from": "-30d"}}
    told = client.post("endpoints/views/run", json=sent)
    assert told.status_code == 200, told.text
    assert [(each["label"], len(each["data"])) for each in told.json()["results"]] == [("Chrome", 3)]
    assert told.headers["X-PostHog-Warn"].startswith("filters_override is deprecated.")
    assert "X-PostHog-Warn" not in client.post("endpoints/views/run").headers


def test_other_keys_of_filters_override_are_refused_by_name(client: httpx.Client) -> None:
    client.patch("endpoints/views/", json={"query": PLAIN})
    told = client.post("endpoints/views/run", json={"filters_override": {"interval": "week"}})
    assert told.json()["detail"] == "The local server does not compute filters_override.interval."


def test_computed_results_win_over_examples(client: httpx.Client, folder: Path) -> None:
    (folder / "inner" / "views.yml").write_text(DEFINITION.replace("  samplingFactor: 0.1\n", ""))
    client.patch("endpoints/views/", json={"query": PLAIN})
    told = client.post("endpoints/views/run", json={"variables": {"$browser": "Chrome", "date_from": "-30d"}}).json()
    (series,) = told["results"]
    assert (series["label"], series["breakdown_value"], len(series["data"])) == ("Chrome", "Chrome", 31)
    assert series["count"] == sum(series["data"]) > 0


def test_a_mistake_of_the_query_is_not_answered_from_an_example(client: httpx.Client) -> None:
    broken = {"kind": "TrendsQuery", "series": NODE["series"], "trendsFilter": {"formula": "A + B"}}
    client.patch("endpoints/views/", json={"query": broken})
    told = client.post("endpoints/views/run")
    assert told.status_code == 400
    assert told.json()["detail"] == "Formula references series B, but only 1 series is defined (A)"
