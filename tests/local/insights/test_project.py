"""The settings of a project, given as a file, in HogQL and in insights; cases by hand are in `project_cases.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from endpoints_gitops.errors import InvalidInput, UsageError
from endpoints_gitops.local.engine.engine import Engine
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights.computed import computed
from endpoints_gitops.local.insights.project_file import read_project
from endpoints_gitops.local.insights.refused import NotComputed
from endpoints_gitops.local.insights.sql_filters import sql_of
from tests.local.insights.conftest import NOW
from tests.local.insights.test_odd_values import with_odd_values

HERE = Path(__file__).parent
CASES: dict[str, list[Any]] = YAML(typ="safe").load(HERE / "project_cases.yaml")


@pytest.fixture(scope="session", params=["embedded", pytest.param("remote", marks=pytest.mark.slow)])
def project(request: pytest.FixtureRequest) -> Iterator[Engine]:
    clickhouse = request.getfixturevalue("clickhouse") if request.param == "remote" else None
    settings = read_project(HERE / "project.yaml", NOW)
    files = sorted((HERE / "project").iterdir())
    with Engine.open(data=files, now=NOW, project=settings, clickhouse=clickhouse) as engine:
        yield engine


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES["insights"]])
def test_insight(project: Engine, case: dict[str, Any]) -> None:
    rows: Any = computed(project, case["node"]).results
    wanted = {key: value for key, value in case.items() if key not in ("name", "node")}
    assert wanted
    for key, value in wanted.items():
        assert [_shown(row, key) for row in rows] == value, key


def _shown(row: dict[str, Any], key: str) -> Any:
    return [item["count"] for item in row["values"]] if key == "values" else row[key.removesuffix("_")]


@pytest.mark.parametrize(("event", "condition", "count"), CASES["filters"], ids=str)
def test_filter(project: Engine, event: str, condition: dict[str, Any], count: int) -> None:
    node = {
        "kind": "TrendsQuery",
        "series": [{"kind": "EventsNode", "event": event, "properties": [condition]}],
        "trendsFilter": {"display": "ActionsPie"},
    }
    rows: Any = computed(project, node).results
    assert [row["aggregated_value"] for row in rows] == [count]


@pytest.mark.parametrize(("sql", "rows"), CASES["hogql"], ids=str)
def test_query(project: Engine, sql: str, rows: list[Any]) -> None:
    assert [list(row) for row in project.run(sql, {}).results] == rows


@pytest.mark.parametrize(("sql", "message"), CASES["refused"], ids=str)
def test_refused(project: Engine, sql: str, message: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        project.run(sql, {})
    assert message in caught.value.message


SERIES = [{"kind": "EventsNode", "event": "view"}, {"kind": "EventsNode", "event": "view"}]


@pytest.mark.parametrize(
    "node",
    [
        {"kind": "TrendsQuery", "series": SERIES},
        {"kind": "LifecycleQuery", "series": SERIES[:1]},
        {"kind": "StickinessQuery", "series": SERIES[:1]},
        {"kind": "FunnelsQuery", "series": SERIES, "funnelsFilter": {"funnelVizType": "trends"}},
        {"kind": "RetentionQuery", "retentionFilter": {"period": "Hour"}},
    ],
    ids=lambda node: node["kind"],
)
def test_hours_are_refused_when_a_local_time_comes_twice(project: Engine, node: dict[str, Any]) -> None:
    """On 1 November 2026, 1:00 to 2:00 comes twice in Los Angeles. On 8 March an hour is missing: nothing is lost."""
    by_hour = node if node["kind"] == "RetentionQuery" else node | {"interval": "hour"}
    with pytest.raises(NotComputed, match="hours over the end of daylight saving time"):
        computed(project, by_hour | {"dateRange": {"date_from": "2026-10-31", "date_to": "2026-11-02"}})
    for first, last in (("2026-10-30", "2026-10-31"), ("2026-03-07", "2026-03-09")):
        assert computed(project, by_hour | {"dateRange": {"date_from": first, "date_to": last}}).results is not None
    if node["kind"] != "RetentionQuery":
        by_day = node | {"interval": "day", "dateRange": {"date_from": "2026-10-31", "date_to": "2026-11-02"}}
        assert computed(project, by_day).results is not None


def test_filters_of_hogql_leave_out_test_accounts(project: Engine) -> None:
    sql = "SELECT count() FROM events WHERE {filters}"
    node = {
        "kind": "HogQLQuery",
        "query": sql,
        "filters": {"filterTestAccounts": True, "dateRange": {"date_from": "2026-07-02"}},
    }
    assert [list(row) for row in project.run(sql_of(project, node), {}).results] == [[2]]


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({"kind": "ActionsNode", "id": 9}, "Action ID 9 does not exist!"),
        (
            {"kind": "EventsNode", "properties": [{"type": "cohort", "key": "id", "value": 9}]},
            "Could not find cohort with ID 9",
        ),
        (
            {"kind": "EventsNode", "properties": [{"key": "v", "operator": "semver_tilde", "value": "x"}]},
            "Tilde operator requires a valid semver string (e.g., '1.2.3')",
        ),
    ],
)
def test_refused_by_the_server_too(project: Engine, series: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        computed(project, {"kind": "TrendsQuery", "series": [series]})
    assert not isinstance(caught.value, NotComputed)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "element", "key": "selector", "operator": "exact", "value": "a > b"},
        {"type": "element", "key": "tag_name", "operator": "icontains", "value": "a"},
        {"type": "cohort", "key": "id", "value": 1, "operator": "gt"},
        {"type": "event", "key": "version", "operator": "semver_wildcard", "value": "1.2.3.*"},
        {"type": "event", "key": "version", "operator": "semver_unheard", "value": "1.2.3"},
    ],
    ids=str,
)
def test_filters_that_are_not_computed(project: Engine, condition: dict[str, Any]) -> None:
    with pytest.raises(NotComputed):
        computed(project, {"kind": "TrendsQuery", "series": [{"kind": "EventsNode"}], "properties": [condition]})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("timezone: Mars/Olympus\n", 1, "'Mars/Olympus' is not a time zone such as Europe/Berlin"),
        ("week_start_day: 2\n", 1, "2 is not 0 (Sunday) or 1 (Monday)"),
        ("timezone: UTC\nzone: x\n", 2, "unknown key 'zone'"),
        ("actions:\n- {id: 1, name: a, steps: []}\n- {id: 1, name: b, steps: []}\n", 3, "two actions with the id 1"),
        ("cohorts:\n- {id: 1, name: a}\n", 2, "a cohort has either filters or persons"),
        (
            "cohorts:\n- id: 1\n  name: a\n  filters: {type: AND, values: [{type: behavioral, key: x}]}\n",
            4,
            "does not compute filters of the type behavioral for persons",
        ),
        (
            "cohorts:\n- {id: 1, name: a, filters: {type: AND, values: [{type: cohort, key: id, value: 2}]}}\n",
            2,
            "Could not find cohort with ID 2",
        ),
        ("actions:\n- {id: 1, name: a, steps: [{event: view, text: x}]}\n", 2, "are for the event $autocapture"),
        ("test_account_filters:\n- {key: a, operator: x, value: 1}\n", 2, "does not compute the operator x"),
        ("timezone: [\n", 2, ""),
        ("# nothing\n", 0, "this file is empty; it needs a setting such as `timezone: UTC`"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "project.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_project(path, NOW)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (str(path), line)
    assert message in problem.message


def test_a_cohort_that_clickhouse_cannot_select_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    filters = "{type: AND, values: [{type: person, key: plan, operator: regex, value: '(('}]}"
    path.write_text(
        f"timezone: UTC\ncohorts:\n- {{id: 1, name: a, persons: [x]}}\n- {{id: 2, name: b, filters: {filters}}}\n"
    )
    with pytest.raises(InvalidInput) as caught:
        Engine.open(sample=True, now=NOW, project=read_project(path, NOW))
    (problem,) = caught.value.problems
    assert str(problem) == (f"{path}:4:20: OptimizedRegularExpression: cannot compile re2: ((, error: missing ): ((")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("path_cleaning_filters:\n- {regex: '/(', alias: a}\n", 2, "not a valid re2 pattern: missing ): /("),
        (
            "path_cleaning_filters:\n- {regex: /a, alias: '\\3'}\n",
            2,
            "Substitution '\\3' in replacement argument is invalid",
        ),
        ("test_account_filters:\n- {key: a, operator: not_regex, value: '['}\n", 2, "cannot compile re2: ["),
        ("test_account_filters:\n- {key: a, operator: regex, value: [ok, '*']}\n", 2, "cannot compile re2: *"),
        ("test_account_filters:\n- {type: hogql, key: nonsense > 1}\n", 2, "Unable to resolve field: nonsense"),
        ("test_account_filters:\n- {type: hogql, key: \"event =~ '('\"}\n", 2, "cannot compile re2: ("),
        (
            "actions:\n- {id: 1, name: a, steps: [{event: x}, {url: '(', url_matching: regex}]}\n",
            2,
            "cannot compile re2: (",
        ),
        (
            "actions:\n- id: 1\n  name: a\n  steps:\n  - {event: $autocapture, href: '(', href_matching: regex}\n",
            5,
            "cannot compile re2: (",
        ),
        ("actions:\n- {id: 1, name: a, steps: [{event: $autocapture, tag_name: 'a('}]}\n", 2, "cannot compile re2: "),
        (
            "actions:\n- {id: 1, name: a, steps: [{properties: [{key: a, operator: regex, value: '('}]}]}\n",
            2,
            "cannot compile re2: (",
        ),
        (
            "cohorts:\n- {id: 1, name: a, filters: {type: person, key: a, operator: regex, value: '('}}\n",
            2,
            "cannot compile re2: (",
        ),
    ],
)
def test_what_only_clickhouse_refuses_is_a_mistake_in_the_file_too(
    tmp_path: Path, text: str, line: int, message: str
) -> None:
    """Without any rows, in which ClickHouse would meet it."""
    path = tmp_path / "project.yaml"
    path.write_text(f"{text}timezone: UTC\n", "utf-8")
    with pytest.raises(InvalidInput) as caught:
        Engine.open(now=NOW, project=read_project(path, NOW))
    (problem,) = caught.value.problems
    assert (problem.path, problem.line, problem.code) == (str(path), line, "project.invalid")
    assert message in problem.message


def test_all_mistakes_that_clickhouse_finds_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "project.yaml"
    regex = "{key: a, operator: regex, value: '('}"
    path.write_text(
        f"test_account_filters:\n- {regex}\n- {{key: a, operator: regex, value: a}}\n- {regex}\n"
        f"cohorts:\n- {{id: 1, name: a, filters: {regex.replace('key', 'type: person, key', 1)}}}\n"
    )
    with pytest.raises(InvalidInput) as caught:
        Engine.open(now=NOW, project=read_project(path, NOW))
    assert [problem.line for problem in caught.value.problems] == [2, 4, 6]


@pytest.mark.parametrize(
    ("persons", "said"),
    [
        ("[]", None),
        ("[ann, 00000000-0000-4000-8000-000000000001]", None),
        ("[bob, ann, bob]", "cohort 2 is without 'bob': the tables have no person of this id"),
        ("[b, c, d, e, f, g, h]", "cohort 2 is without 'b', 'c', 'd', 'e', 'f' and 2 more: "),
    ],
)
def test_persons_of_a_static_cohort_that_the_tables_do_not_have_are_named(
    tmp_path: Path, persons: str, said: str | None
) -> None:
    (tmp_path / "persons.jsonl").write_text(
        '{"id": "00000000-0000-4000-8000-000000000001", "distinct_ids": ["ann"], "properties": {}, '
        '"created_at": "2026-01-01T00:00:00Z"}\n'
    )
    path = tmp_path / "project.yaml"
    path.write_text(f"cohorts:\n- {{id: 2, name: Chosen, persons: {persons}}}\n", "utf-8")
    notices: list[str] = []
    with Engine.open(
        data=[tmp_path / "persons.jsonl"], now=NOW, project=read_project(path, NOW), notice=notices.append
    ) as engine:
        assert engine.run("SELECT count() FROM persons WHERE id IN COHORT 2", {}).results == [[int("ann" in persons)]]
    assert len(notices) == (0 if said is None else 1)
    assert all(notice.startswith(f"{path}:2:3: {said}") for notice in notices)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*absent\.yaml"):
        read_project(tmp_path / "absent.yaml", NOW)


def test_an_empty_file_has_the_settings_of_a_new_project(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text("{}\n", "utf-8")
    settings = read_project(tmp_path / "project.yaml", NOW)
    assert (settings.timezone, settings.week_start_day, settings.is_given) == ("UTC", 0, True)


ODD_NODES: list[dict[str, Any]] = [
    {
        "kind": "TrendsQuery",
        "series": [{"kind": "ActionsNode", "id": 1, "properties": [{"type": "cohort", "key": "id", "value": 1}]}],
        "properties": [
            {"type": "element", "key": "tag_name", "operator": "exact", "value": ["a"]},
            {"type": "event", "key": "version", "operator": "semver_caret", "value": "1.2.3"},
            {"type": "event", "key": "path", "operator": "is_cleaned_path_exact", "value": "/home"},
        ],
        "filterTestAccounts": True,
        "breakdownFilter": {"breakdown": [1, "all"], "breakdown_type": "cohort"},
        "trendsFilter": {"display": "ActionsPie"},
    },
    {
        "kind": "FunnelsQuery",
        "series": [{"kind": "ActionsNode", "id": 1}, {"kind": "ActionsNode", "id": 2}],
        "funnelsFilter": {"exclusions": [{"kind": "ActionsNode", "id": 3, "funnelFromStep": 0, "funnelToStep": 1}]},
    },
    {"kind": "RetentionQuery", "retentionFilter": {"targetEntity": {"id": 1, "type": "actions"}, "totalIntervals": 2}},
]


@pytest.mark.slow
@pytest.mark.parametrize("node", ODD_NODES, ids=[node["kind"] for node in ODD_NODES])
def test_odd_values(project: Engine, node: dict[str, Any]) -> None:
    """A value of another shape is refused in a sentence, and is never a traceback."""
    assert isinstance(computed(project, node).results, list)
    tried, refusals = with_odd_values(project, node)
    assert tried > len(refusals) > 5
    assert all(refusals)
