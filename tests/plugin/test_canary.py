"""The canary makes every call to a candidate too. Tests see their own answer, and errors of the canary fail the run."""

from __future__ import annotations

import json

import pytest

REVENUE = """\
name: revenue
query: |
  SELECT 'pro' AS plan, 120 AS mrr, 7 AS seats, {variables.month} AS month ORDER BY plan LIMIT 10
variables:
  - {name: month, type: String, default: 2026-07}
"""
UNREAD = "no test here reads it, so warn and not error"
READS_MRR = """
def test_total(endpoints):
    assert endpoints("revenue").column("mrr") == [120]
"""
READS_SEATS = """
def test_seats(endpoints):
    assert endpoints("revenue").column("seats") == [7]
"""


def canary(result) -> list[str]:
    """The lines of the canary in the summary."""
    output = iter(line.rstrip() for line in result.outlines)
    first = next((line for line in output if line.startswith("canary: ")), None)
    if first is None:
        return []
    lines = [first]
    for line in output:
        if not line.startswith("  ") or line.startswith("  next"):
            break
        lines.append(line)
    return lines


@pytest.fixture
def watched(app):
    app.pinned(REVENUE)
    app.suite(READS_MRR)
    app.record()
    return app


@pytest.fixture
def watched_once(app_once):
    app_once.pinned(REVENUE)
    app_once.suite(READS_MRR)
    app_once.record()
    return app_once


def latest(app, *words):
    return app.pytest("--endpoints-canary=latest", *words, key=app.server.key)


def test_a_removed_column_fails_the_run_but_no_test(watched):
    watched.push(REVENUE.replace("120 AS mrr, ", ""))
    result = latest(watched)
    result.assert_outcomes(passed=1)
    assert (result.ret, canary(result)) == (
        1,
        [
            "canary: 1 call, 1 candidate, 1 differ, 1 error",
            "  error  C101     revenue@1 → revenue@2: column 'mrr' was removed",
        ],
    )


def test_a_break_in_an_unread_column_is_lowered_to_a_warning(watched):
    watched.push(REVENUE.replace("7 AS seats, ", ""))
    result = latest(watched)
    assert (result.ret, canary(result)) == (
        0,
        [
            "canary: 1 call, 1 candidate, 1 differ, 1 warning",
            f"  warn   C101     revenue@1 → revenue@2: column 'seats' was removed; {UNREAD}",
        ],
    )


def test_one_test_that_reads_the_column_makes_it_an_error(watched):
    """All workers share the answers."""
    watched.suite(READS_SEATS, "test_seats.py")
    watched.record()
    watched.push(REVENUE.replace("7 AS seats, ", ""))
    result = latest(watched)
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    assert canary(result)[0] == "canary: 2 calls, 1 candidate, 1 differ, 1 error"


def test_the_newest_version_is_resolved_once_and_each_call_made_once(watched):
    watched.suite("\n".join(READS_MRR.replace("test_total", f"test_{number}") for number in range(6)))
    watched.push(REVENUE.replace("120", "120 + 0"))
    watched.server.requests.clear()
    result = latest(watched)
    assert result.ret == 0, result.outlines
    asked = sorted(entry.path.partition("/endpoints/")[2] for entry in watched.server.requests.entries())
    assert asked == ["revenue/", "revenue/?version=2", "revenue/run/?version=2"]


@pytest.mark.parametrize(
    ("marker", "code", "line"),
    [
        ("", 0, "warn   ROWS"),
        ("@pytest.mark.endpoints(tolerance=5)", 0, ""),
        ("@pytest.mark.endpoints(tolerance=0.5)", 1, "error  ROWS"),
        ("@pytest.mark.endpoints(canary='off')", 0, ""),
    ],
)
def test_different_rows_are_reported_by_column(watched_once, marker, code, line):
    watched_once.suite(f"import pytest\n{marker}{READS_MRR}")
    watched_once.push(REVENUE.replace("120", "122"))
    result = latest(watched_once)
    lines = [one for one in canary(result) if "ROWS" in one]
    assert result.ret == code, result.outlines
    assert [one.strip()[:11] for one in lines] == ([line] if line else [])
    if lines:
        assert "revenue@2 answers other rows for no variables: mrr differs in 1 row: 120 → 122" in lines[0]


def test_a_pin_of_the_newest_version_requests_no_rows(watched_once):
    runs = watched_once.runs()
    result = latest(watched_once)
    assert (result.ret, canary(result)) == (0, ["canary: 1 call, 1 candidate, 0 differ"])
    assert watched_once.runs() == runs


def test_a_version_that_does_not_exist_yet_is_pending(watched_once):
    result = watched_once.pytest("--endpoints-canary=4", key=watched_once.server.key)
    assert (result.ret, canary(result)) == (
        1,
        [
            "canary: 1 call, 1 candidate, 0 differ, 1 pending, nothing was compared, which proves nothing",
            "  pending  revenue@1 → revenue@4: version 4 does not exist",
        ],
    )


def test_a_comparison_that_failed_is_not_reported_as_no_changes(watched):
    """The run has no key."""
    result = watched.pytest("--endpoints-canary=latest")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    assert canary(result)[1].startswith(
        "  error  unknown  revenue@1 → latest could not be compared: environment test: "
    )


def test_a_new_required_variable_is_reported_by_rule_and_by_the_server(watched_once):
    """The new version is materialised."""
    query = "SELECT event AS plan, count() AS mrr FROM events WHERE event = {variables.month} GROUP BY plan"
    watched_once.push(
        f"name: revenue\nquery: {query!r}\nmaterialization: {{enabled: true}}\n"
        "variables:\n  - {name: month, type: String, default: 2026-07}\n"
    )
    result = latest(watched_once)
    assert result.ret == 1
    lines = canary(result)
    assert any("refuses this suite's call: Required variable(s) 'month' not provided" in line for line in lines)
    assert len(lines) <= 10


def test_the_working_tree_is_a_candidate_without_an_account(watched):
    """Both queries run on the same tables, so a difference comes from the query."""
    watched.write("endpoints/revenue.yaml", REVENUE.replace("120 AS mrr", "'120' AS mrr"))
    runs = watched.runs()
    result = watched.pytest("--endpoints-canary=worktree")
    result.assert_outcomes(passed=1)
    assert watched.runs() == runs
    lines = canary(result)
    assert result.ret == 1
    assert lines[1] == (
        "  error  C103     revenue@1 → endpoints/revenue.yaml: column 'mrr' changed its type to string; it was integer"
    )
    assert 'mrr differs in 1 row: 120 (integer) → "120" (string)' in lines[2]


TREND = """\
name: revenue
query_definition: {kind: TrendsQuery, series: [{kind: EventsNode, event: $pageview}], dateRange: {date_from: -7d}}
"""


def test_both_sides_of_an_insight_are_computed(watched_once):
    watched_once.push(TREND)
    watched_once.command("upgrade", "--yes", "--quiet", "--allow-breaking", "a test")
    watched_once.suite('def test_it(endpoints):\n    assert len(list(endpoints("revenue"))) == 1\n')
    options = ("--endpoints=local", "--endpoints-canary=worktree", "--endpoints-now=2026-07-01T12:00:00Z")
    assert canary(watched_once.pytest(*options)) == ["canary: 1 call, 1 candidate, 0 differ"]
    watched_once.write("endpoints/revenue.yaml", TREND.replace("$pageview}", "$pageview, math: dau}"))
    lines = canary(watched_once.pytest(*options))
    assert "M101" in lines[1]
    assert any("rows" in line for line in lines[2:])


def test_a_marker_alone_starts_a_canary(watched_once):
    watched_once.suite(f"import pytest\n@pytest.mark.endpoints(canary='worktree'){READS_MRR}")
    assert canary(watched_once.pytest()) == ["canary: 1 call, 1 candidate, 0 differ"]


def test_the_summary_has_at_most_ten_lines_and_the_report_has_all(app_once):
    columns = ", ".join(f"{number} AS c{number}" for number in range(14))
    definition = "name: revenue\nquery: SELECT {}\n"
    app_once.pinned(definition.format(columns))
    app_once.suite('def test_it(endpoints):\n    assert len(endpoints("revenue").as_dicts()) == 1\n')
    app_once.record()
    app_once.push(definition.format("1 AS other"))
    result = latest(app_once, "--endpoints-report=report.json")
    lines = canary(result)
    assert len(lines) == 10
    assert lines[-1].endswith("more: --endpoints-report=FILE has them all")
    report = json.loads((app_once.folder / "report.json").read_text(encoding="utf-8"))
    assert (report["exit_code"], report["ok"], report["summary"]["canary"]["calls"]) == (1, False, 1)
    errors = [item for item in report["items"] if item["severity"] == "error"]
    assert len(errors) >= 14
    assert errors[0]["callers"] == ["test_app.py::test_it"]


def test_a_canary_that_compared_nothing_fails_the_run(app_once):
    app = app_once
    app.locks(app.PIN)
    app.suite("def test_it():\n    pass\n")
    result = app.pytest("--endpoints-canary=latest")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    assert canary(result) == ["canary: 0 calls, 0 candidates, 0 differ, nothing was compared, which proves nothing"]


def test_a_deleted_or_renamed_definition_is_reported_by_its_rule(app_once):
    app = app_once
    app.locks(app.PIN)
    app.has_recorded(app.PIN)
    app.suite("def test_it(endpoints):\n    endpoints('revenue')\n")
    app.write("endpoints/other.yaml", "name: other\nquery: SELECT 1 AS n\n")
    result = app.pytest("--endpoints-canary=worktree")
    assert result.ret == 1
    assert canary(result)[1].startswith("  error  A101     revenue@1 → worktree: revenue is removed")
    app.write("endpoints/other.yaml", app.REVENUE.replace("name: revenue", "name: income\nrenamed_from: revenue"))
    assert "A102" in canary(app.pytest("--endpoints-canary=worktree"))[1]
