"""What `diff` and `plan` show: every kind of difference, as lines for people and as facts for machines."""

from __future__ import annotations

import difflib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.cli.differences import DiffLine, Place, as_json, shortened, sql_lines, unified_diff
from endpoints_gitops.plan.settings import Key

SQL = "SELECT event\nFROM events\nGROUP BY event"
TRENDS = {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "$pageview", "math": "total"}]}
OVERLAID = "name: one\n{more}query: |\n  SELECT event\n  FROM events\n  GROUP BY event\n"


def yaml(name: str, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, **keys}.items())


def differences(ran) -> dict[str, tuple[object, object]]:
    """Server and file of each key, of the only item."""
    (item,) = [item for item in ran.json["items"] if item["kind"] == "endpoint"]
    return {one["key"]: (one["server"], one["file"]) for one in item["differences"]}


SETTINGS = {
    "description": ("Old", "New"),
    "tags": (["a"], ["a", "b"]),
    "active": (True, False),
    "data_freshness": (3600, 900),
}


@pytest.mark.parametrize("key", SETTINGS)
def test_a_setting_is_shown_as_before_and_after(cli, checkout, key):
    before, after = SETTINGS[key]
    checkout.commit({"one.yaml": yaml("one", query=SQL, **{key: before})})
    cli("push", "--yes")
    checkout.commit({"one.yaml": yaml("one", query=SQL, **{key: after})})
    ran = cli("diff", "--format", "json")
    assert (ran.code, differences(ran)) == (1, {key: (before, after)})
    shown = f"{key}: {json.dumps(before)} -> {json.dumps(after)}"
    assert f"\n  {shown}\n    ahead: " in cli("diff").out
    assert shown in cli("plan").out


def test_optional_breakdowns(cli, checkout):
    node = TRENDS | {"breakdownFilter": {"breakdowns": [{"property": "$browser"}, {"property": "$os"}]}}
    checkout.commit({"one.yaml": yaml("one", query_definition=node, optional_breakdown_properties=["$os"])})
    cli("push", "--yes")
    checkout.commit({"one.yaml": yaml("one", query_definition=node, optional_breakdown_properties=["$os", "$browser"])})
    ran = cli("diff", "--format", "json")
    assert differences(ran) == {"optional_breakdown_properties": (["$os"], ["$os", "$browser"])}


@pytest.mark.parametrize(
    ("more", "first"), [("", 3), ("description: |\n  Several\n  lines\n", 6), ("# a comment\n\ntags: [a]\n", 6)]
)
def test_sql_is_a_unified_diff_with_the_lines_of_the_file(cli, checkout, more, first):
    content = OVERLAID.format(more=more)
    checkout.commit({"sub/one.yaml": content})
    cli("push", "--yes")
    checkout.commit({"sub/one.yaml": content.replace("  FROM events\n", "  FROM events\n  WHERE 1\n")})
    out = cli("diff").out
    hunk = f"""\
    --- server, version 1
    +++ endpoints/sub/one.yaml
    @@ -1,3 +{first},4 @@
     SELECT event
     FROM events
    +WHERE 1
     GROUP BY event
"""
    assert hunk in out
    assert hunk.replace("\n    ", "\n      ").removeprefix("    ") in cli("plan").out
    (found,) = cli("diff", "--format", "json").json["items"][0]["differences"]
    assert found["diff"] == [line[4:] for line in hunk.splitlines()]


def test_sql_in_a_file_of_its_own_is_shown_there(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", query_file="sql/one.sql"), "sql/one.sql": SQL})
    cli("push", "--yes")
    checkout.commit({"sql/one.sql": SQL + "\nLIMIT 3"})
    assert "+++ endpoints/sql/one.sql\n    @@ -1,3 +1,4 @@" in cli("diff").out
    assert "+++ endpoints/sql/one.sql\n      @@ -1,3 +1,4 @@" in cli("plan").out


def test_a_query_node_is_shown_by_path_and_nulls_and_defaults_are_not(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", query_definition=TRENDS)})
    cli("push", "--yes")
    same = TRENDS | {"breakdownFilter": None, "interval": "day"}
    checkout.commit({"one.yaml": yaml("one", query_definition=same)})
    assert cli("diff").code == 0
    series = [{**TRENDS["series"][0], "math": "dau"}, {"kind": "EventsNode", "event": "$pageleave"}]
    checkout.commit({"one.yaml": yaml("one", query_definition=TRENDS | {"series": series, "interval": "week"})})
    ran = cli("diff")
    assert 'series[0].math: (nothing) -> "dau"' in ran.out or 'series[0].math: "total" -> "dau"' in ran.out
    assert 'interval: (nothing) -> "week"' in ran.out
    (found,) = cli("diff", "--format", "json").json["items"][0]["differences"]
    assert {change["path"] for change in found["changes"]} == {"interval", "series[0].math", "series[1]"}


def test_variables_are_compared_in_all_that_they_have(cli, checkout):
    def content(default: str, **more: object) -> str:
        variable = {"name": "plan", "type": "List", "default": default, **more}
        return yaml("one", query="SELECT {variables.plan} AS p", variables=[variable])

    checkout.commit({"one.yaml": content("a", label="Plan", values=["a", "b"])})
    cli("push", "--yes")
    assert cli("diff").code == 0
    checkout.commit({"one.yaml": content("b", label="The plan", values=["a", "b", "c"], multi=False)})
    ran = cli("diff")
    assert ran.code == 1
    assert 'variables.plan.value: "a" -> "b"' in ran.out
    assert "shared variable plan: changed, used by one\n" in ran.out
    assert '  label: "Plan" -> "The plan"\n' in ran.out
    items = cli("diff", "--format", "json").json["items"]
    (variable,) = [item for item in items if item["kind"] == "variable"]
    assert variable["before"] == {"label": "Plan", "values": ["a", "b"]}


def test_endpoints_on_one_side_are_listed(cli, checkout, create):
    create("theirs")
    checkout.commit({"ours.yaml": yaml("ours", query=SQL)})
    ran = cli("diff")
    assert ran.code == 1
    assert "ours: only here, endpoints/ours.yaml:1; " in ran.out
    assert "theirs" not in ran.out
    assert "\n1 only on the server: pull brings them, --verbose lists them\n" in ran.out
    assert "theirs: only there, version 1; pull brings it\n" in cli("diff", "--verbose").out
    states = {item["name"]: item["state"] for item in cli("diff", "--format", "json").json["items"]}
    assert states == {"ours": "only_here", "theirs": "only_there"}


def test_the_old_name_of_a_renamed_endpoint_is_not_a_difference(cli, checkout, create):
    create("old")
    checkout.commit({"new.yaml": yaml("new", query=SQL, renamed_from="old")})
    cli("push", "--yes")
    ran = cli("diff")
    assert ran.code == 0
    assert "kept on the server for callers of an older name: old" in ran.err


def test_text_from_the_server_is_escaped(cli, checkout, create):
    create("one", description="\x1b[2Jgone")
    checkout.commit({"one.yaml": yaml("one", query=SQL, description="ours")})
    ran = cli("diff")
    assert "\x1b" not in ran.out + ran.err
    assert "gone" in ran.out


def test_detailed_exitcode_tells_whether_there_are_changes(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    assert [cli("plan", *words).code for words in ([], ["--detailed-exitcode"])] == [0, 1]
    cli("push", "--yes")
    assert [cli("plan", *words).code for words in ([], ["--detailed-exitcode"])] == [0, 0]


def test_a_plan_of_a_conflict_shows_it(cli, checkout, create):
    create("one")
    checkout.commit({"one.yaml": yaml("one", query=SQL)})
    ran = cli("plan")
    assert ran.code == 6
    assert "= one: query is not pushed, conflict: " in ran.out
    assert "1 conflict, not pushed" in ran.out


def test_a_plan_shows_the_settings_of_a_new_endpoint(cli, checkout):
    sql = "SELECT count() AS c\nFROM events\nWHERE event = {variables.kind}"
    kind = {"name": "kind", "type": "List", "default": "a", "values": ["a", "b"], "label": "Kind"}
    more = {"tags": ["billing"], "description": "D", "materialization": {"enabled": True, "schedule": "15min"}}
    checkout.commit({"one.yaml": yaml("one", query=sql, variables=[kind], **more)})
    out = cli("plan").out
    assert (
        "    query:\n      +SELECT count() AS c\n      +FROM events\n      +WHERE event = {variables.kind}\n"
        '      variables.kind: "a"\n'
        '    description: "D"\n    tags: ["billing"]\n    materialization: true\n    data_freshness: 900 (15min)\n'
    ) in out
    assert (
        '+ create shared variable kind (List), for one\n    default: "a"\n    label: "Kind"\n    values: ["a", "b"]\n'
        in out
    )
    keys = {one["key"]: one["after"] for one in cli("plan", "--format", "json").json["items"][1]["keys"]}
    assert keys["query"]["query"] == sql
    assert (keys["tags"], keys["data_freshness"]) == (["billing"], 900)


def test_a_plan_shows_the_query_of_a_new_insight(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", query_definition=TRENDS, active=False)})
    out = cli("plan").out
    assert '      +  "kind": "TrendsQuery",\n' in out
    assert '          "event": "$pageview"' in out.replace("+", " ")
    assert "    active: false\n" in out


def test_changes_come_first_and_what_only_the_server_has_is_counted(cli, checkout, create):
    checkout.commit({"z.yaml": yaml("z", query=SQL)})
    cli("push", "--yes")
    for name in ("a", "b"):
        create(name)
    checkout.commit({"m.yaml": yaml("m", query=SQL), "z.yaml": yaml("z", query=SQL, description="D")})
    out = cli("diff").out
    assert [line.partition(":")[0] for line in out.splitlines() if not line.startswith(" ")][:3] == [
        "z",
        "m",
        "2 only on the server",
    ]
    assert [item["name"] for item in cli("diff", "--format", "json").json["items"]] == ["z", "m", "a", "b"]
    assert "a: only there, version 1; pull brings it" in cli("diff", "--verbose").out


@pytest.mark.parametrize("command", ["diff", "plan", "push"])
def test_a_file_with_other_line_endings_is_counted_and_named_on_request(cli, checkout, client, command):
    checkout.commit({"one.yaml": yaml("one", query="SELECT 1 AS a\nFROM events")})
    cli("push", "--yes")
    query = {"kind": "HogQLQuery", "query": "SELECT 1 AS a\r\nFROM events"}
    client.update_endpoint("one", {"query": query})
    ran = cli(command)
    assert (ran.code, "1 query differs in formatting only" in ran.err) == (0, True), ran.err
    assert "one" not in ran.out + ran.err.replace("(--verbose names them)", "").replace("environment", "")
    assert "without --allow-cosmetic: one\n" in cli(command, "--verbose").err


def long_query(column: str, name: str) -> str:
    items = [f"count(properties.a{number}) AS a{number}" for number in range(3_000)]
    items[5], items[2_900] = f"{column} AS a5", f"count() AS {name}"
    return f"SELECT {', '.join(items)} FROM events"


def test_a_long_line_is_cut_to_what_changed_in_it():
    before, after = (long_query(*each) for each in (("count()", "last"), ("sum(1)", "newest")))
    sides = [{"kind": "HogQLQuery", "query": sql} for sql in (before, after)]
    shown = [line.text for line in sql_lines(*sides, version=1, place=Place(path="a.yaml"))]
    assert len(before) > 90_000
    assert all(len(line) < 500 for line in shown)
    assert "[-last-]" in shown[3]
    assert "{+newest+}" in shown[4]
    assert as_json(Key.QUERY, *sides, version=1, place=Place(path="a.yaml"))["diff"][3] == f"-{before}"


def test_short_lines_and_lines_without_a_counterpart_are_printed_whole():
    line = "SELECT " + "a, " * 70
    diff = [DiffLine(*parts) for parts in (("@@ ", "-1 +1,2 @@"), ("-", "b"), ("+", "c"), ("+", line), (" ", line))]
    assert list(shortened(diff)) == [*diff[:4], DiffLine(" ", f"{line[:160]}… ({len(line)} characters)")]


LINES = st.lists(st.sampled_from("abc"), max_size=12)


@given(old=LINES, new=LINES)
def test_unified_diff_prints_what_difflib_prints(old, new):
    expected = [*difflib.unified_diff(old, new, "before", "after", lineterm="")]
    assert [f"{line.mark}{line.text}" for line in unified_diff(old, new, "before", "after")] == expected
