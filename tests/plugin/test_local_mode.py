"""Pinned queries run on this machine, without an account."""

from __future__ import annotations

import gzip
import json

import pytest

BY_PLAN = """\
name: by_plan
query: |
  SELECT properties.plan AS plan, count() AS paid, sum(toFloat(properties.amount)) AS mrr
  FROM events WHERE event = 'invoice paid' AND properties.plan != {variables.without}
  GROUP BY plan ORDER BY plan
variables:
  - {name: without, type: String, default: none}
"""
PAID = (("a", "pro", 8), ("b", "team", 24), ("b", "team", 24))
EVENTS = "".join(
    json.dumps(
        {
            "event": "invoice paid",
            "distinct_id": who,
            "timestamp": f"2026-07-0{day}T00:00:00Z",
            "properties": {"plan": plan, "amount": amount},
        }
    )
    + "\n"
    for day, (who, plan, amount) in enumerate(PAID, 1)
)
SUITE = """
def test_rows(endpoints):
    rows = endpoints("by_plan")
    assert [(row.plan, row.paid, row.mrr) for row in rows] == [("pro", 1, 8), ("team", 2, 48)]
    assert endpoints("by_plan", without="pro").column("plan") == ["team"]
"""


@pytest.fixture
def local(app):
    return with_tables(app)


@pytest.fixture
def local_once(app_once):
    return with_tables(app_once)


def with_tables(app):
    """The app with a pin and with a table for its query."""
    app.configure("by_plan")
    app.push(BY_PLAN, "by_plan")
    app.lock()
    app.write("tables/events.jsonl", EVENTS)
    app.suite(SUITE)
    return app


def test_the_pinned_query_runs_on_the_tables_of_the_suite(local):
    """The query is in the lock; the definition is not needed."""
    (local.folder / "endpoints" / "by_plan.yaml").unlink()
    before = local.runs()
    result = local.pytest("--endpoints=local", "--endpoints-data=tables")
    result.assert_outcomes(passed=1)
    assert local.runs() == before
    assert local.recordings() == []


def test_a_batch_export_is_a_table(local_once):
    (local_once.folder / "tables" / "events.jsonl").unlink()
    rows = [json.loads(line) | {"team_id": 7, "_inserted_at": "2026-07-09T00:00:00Z"} for line in EVENTS.splitlines()]
    for number, row in enumerate(rows):
        part = local_once.folder / "tables" / "events" / f"2026-07-09T0{number}.jsonl.gz"
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(gzip.compress(json.dumps(row).encode()))
    local_once.pytest("--endpoints=local", "--endpoints-data=tables").assert_outcomes(passed=1)


def test_a_folder_without_tables_is_named(local_once):
    (local_once.folder / "tables" / "events.jsonl").unlink()
    result = local_once.pytest("--endpoints=local", "--endpoints-data=tables")
    result.assert_outcomes(failed=1)
    assert "tables: the folder has no tables: the name of the file must end in .csv" in result.stdout.str()


def test_an_older_pinned_version_runs_unchanged(local_once):
    local_once.push(BY_PLAN.replace("AS mrr", "AS arr"), "by_plan")
    local_once.pytest("--endpoints=local", "--endpoints-data=tables").assert_outcomes(passed=1)


def test_the_default_tables_are_the_sample_product(local_once):
    local_once.suite('def test_it(endpoints):\n    assert endpoints("by_plan").column("plan") == ["pro", "team"]\n')
    local_once.pytest("--endpoints=local", "--endpoints-now=2026-07-01T12:00:00Z").assert_outcomes(passed=1)


def test_the_code_of_the_app_gets_the_same_rows(local_once):
    local_once.suite("""
import json, os, urllib.request

def test_it(endpoints_env):
    url = f"{os.environ['POSTHOG_HOST']}/api/projects/1/endpoints/by_plan/run?version=1"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['APP_KEY']}"})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["results"] == [["pro", 1, 8.0], ["team", 2, 48.0]]
""")
    local_once.pytest("--endpoints=local", "--endpoints-data=tables").assert_outcomes(passed=1)


def test_mistakes_in_tables_are_reported_with_their_lines(local_once):
    local_once.write("tables/events.jsonl", EVENTS + '{"event": "invoice paid"}\n')
    result = local_once.pytest("--endpoints=local", "--endpoints-data=tables")
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert "mode local: the tables have mistakes" in output
    assert "tables/events.jsonl:4:1: distinct_id is missing" in output


def test_answers_of_mode_local_are_redacted(local_once):
    local_once.write(
        "conftest.py",
        "import pytest\nfrom pytest_endpoints_gitops import EndpointsConfig\n@pytest.fixture(scope='session')\n"
        "def endpoints_config():\n    return EndpointsConfig(redact={'plan': 'x'})\n",
    )
    local_once.suite('def test_it(endpoints):\n    assert endpoints("by_plan").column("plan") == ["x", "x"]\n')
    local_once.pytest("--endpoints=local", "--endpoints-data=tables").assert_outcomes(passed=1)


INSIGHT = """\
name: by_plan
query_definition: {kind: TrendsQuery, series: [{kind: EventsNode, event: "invoice paid"}], samplingFactor: 0.1}
"""
ROWS = '[{"data": [3], "labels": ["1-Jul-2026"], "days": ["2026-07-01"], "count": 3, "label": "invoice paid"}]'


@pytest.mark.parametrize("said", ["examples: [{rows: ROWS}]\n", ""])
def test_an_insight_is_answered_from_its_examples(local_once, said):
    local_once.push(INSIGHT + said.replace("ROWS", ROWS), "by_plan")
    local_once.command("upgrade", "--yes", "--quiet", "--allow-breaking", "a test")
    local_once.suite('def test_it(endpoints):\n    assert endpoints("by_plan").as_dicts()[0]["count"] == 3\n')
    result = local_once.pytest("--endpoints=local")
    if said:
        result.assert_outcomes(passed=1)
    else:
        result.assert_outcomes(failed=1)
        assert "by_plan@2: this query does not run on this machine" in result.outlines


def test_an_insight_is_computed_from_the_tables(local_once):
    local_once.push(INSIGHT.replace(", samplingFactor: 0.1", "") + f"examples: [{{rows: {ROWS}}}]\n", "by_plan")
    local_once.command("upgrade", "--yes", "--quiet", "--allow-breaking", "a test")
    local_once.suite(
        'def test_it(endpoints):\n    (series,) = endpoints("by_plan", date_from="2026-07-01")\n'
        "    assert series.count == sum(series.data)\n    assert len(series.data) == 31\n"
    )
    local_once.pytest("--endpoints=local", "--endpoints-now=2026-07-31T12:00:00Z").assert_outcomes(passed=1)


@pytest.mark.parametrize("is_marked", [True, False], ids=["by the mark", "by the option"])
def test_the_tables_are_open_before_a_test_that_uses_the_server_begins(local_once, is_marked):
    """Opening them takes seconds, and the settings of an app limit how long it waits for an answer."""
    mark = '@pytest.mark.endpoints(mode="local")\n' if is_marked else ""
    local_once.suite(
        "import pytest\nfrom pytest_endpoints_gitops.suite import suite_of\n"
        f"{mark}def test_it(endpoints_env, pytestconfig):\n"
        "    (tables,) = suite_of(pytestconfig)._tables.values()\n"
        "    assert tables._engine is not None\n"
    )
    local_once.pytest(*([] if is_marked else ["--endpoints=local"])).assert_outcomes(passed=1)


@pytest.fixture
def first_day(app):
    app.configure("first_day")
    app.push("name: first_day\nquery: SELECT toString(toDate(min(timestamp))) AS day FROM events\n", "first_day")
    app.lock()
    app.write("tables/events.jsonl", EVENTS)
    app.suite('def test_it(endpoints):\n    assert endpoints("first_day").column("day") == ["2026-06-30"]\n')
    return app


OPTIONS = ("--endpoints=local", "--endpoints-data=tables", "--endpoints-project=project.yaml")


def test_queries_use_the_settings_of_the_project(first_day):
    first_day.write("project.yaml", "timezone: America/Los_Angeles\n")
    first_day.pytest(*OPTIONS).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (None, "cannot read"),
        ("timezone: Mars/Olympus\n", "'Mars/Olympus' is not a time zone such as Europe/Berlin"),
        ("timezone: Mars/Olympus\n", "mode local: the settings of the project have mistakes"),
    ],
)
def test_mistakes_in_the_settings_of_the_project_fail_the_test(first_day, settings, message):
    if settings is not None:
        first_day.write("project.yaml", settings)
    result = first_day.pytest(*OPTIONS)
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()


@pytest.mark.parametrize(
    ("time", "message"),
    [("soon", "'soon' is not an ISO time"), ("2200-01-01", "outside the range of ClickHouse's times")],
)
def test_a_clock_that_cannot_be_set_fails_the_test(first_day, time, message):
    result = first_day.pytest("--endpoints=local", "--endpoints-data=tables", f"--endpoints-now={time}")
    result.assert_outcomes(failed=1)
    assert message in result.stdout.str()
