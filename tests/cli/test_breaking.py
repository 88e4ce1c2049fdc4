"""`breaking` and `diff --against`: every WHAT, those that are not there, who is hit; what push and plan say first."""

from __future__ import annotations

import json

import pytest

BEFORE = "SELECT event, count() AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 10"
AFTER = BEFORE.replace("event, count()", "event AS evt, count()", 1)
RENAMED = "endpoints/one.yaml:2:25: C102 column 'event' was renamed to 'evt' "
OFFLINE = {"ENDPOINTS_GITOPS_HOST": "http://127.0.0.1:9"}


def yaml(name: str, sql: str, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, "query": sql, **keys}.items())


def found(ran) -> dict[str, str]:
    """The severity of each code."""
    return {item["code"]: item["severity"] for item in ran.json["items"]}


@pytest.fixture
def pushed(cli, checkout, uses):
    """An endpoint that is committed, pushed and pinned; then its author renames a column."""
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    assert cli("push", "--yes").code == 0
    uses(one='"*"')
    assert cli("lock").code == 0
    checkout.git("tag", "v1")
    (checkout.top / "old").mkdir()
    (checkout.top / "old" / "one.yaml").write_text(yaml("one", BEFORE))
    checkout.write({"one.yaml": yaml("one", AFTER)})
    assert cli("plan", "-o", "plan.json").code == 0


EVERY_WHAT = ["live", "lock", "HEAD", "v1", "old", "plan.json", "one@1"]
MOVES = {"lock", "one@1"}


@pytest.mark.parametrize("what", EVERY_WHAT)
@pytest.mark.usefixtures("pushed")
def test_a_renamed_column_is_found_against_everything(cli, what, checkout, server):
    server.requests.clear()
    ran = cli("breaking", "--against", what)
    assert RENAMED in ran.out
    assert ran.out.endswith(
        " 1 endpoint compared with " + {"lock": "endpoints.lock", "live": "the server"}.get(what, what) + "\n"
    )
    assert bool(server.requests.entries()) == (what in {"live", "one@1"}), "only these two ask a server"
    assert ran.code == (1 if what in MOVES else 0), "a pin protects from new versions, and not those that move it"
    (checkout.top / "endpoints.lock").unlink()
    assert what == "lock" or cli("breaking", "--against", what).code == 1, "nobody is known to be protected"


@pytest.mark.parametrize("what", EVERY_WHAT)
@pytest.mark.usefixtures("pushed")
def test_diff_shows_the_same_difference(cli, what):
    ran = cli("diff", "--against", what)
    assert ran.code == 1
    assert "\n    -SELECT event, count() AS n " in ran.out
    assert "\n    +SELECT event AS evt, count() AS n " in ran.out
    if what != "live":
        (item,) = cli("diff", "--against", what, "--format", "json").json["items"]
        assert [one["key"] for one in item["differences"]] == ["query"]
        assert "C102" in {one["code"] for one in item["findings"]}


@pytest.mark.parametrize("what", ["HEAD~1", "old", "lock", "one@1", "plan.json"])
@pytest.mark.usefixtures("pushed")
def test_no_change_is_reported_with_exit_code_0(cli, checkout, what):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    cli("plan", "-o", "plan.json")
    assert cli("breaking", "--against", what).code == 0
    ran = cli("diff", "--against", what)
    assert (ran.code, "no differences" in ran.out) == (0, True)


def test_formatting_does_not_count_as_a_change(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    checkout.write({"one.yaml": yaml("one", BEFORE.replace(" FROM", "\n  from"))})
    assert cli("diff", "--against", "HEAD").code == 0
    assert found(cli("breaking", "--against", "HEAD", "--format", "json")) == {"M108": "info"}


@pytest.mark.parametrize("command", ["breaking", "diff"])
@pytest.mark.parametrize("kind", ["folder", "file"])
@pytest.mark.parametrize("name", ["HEAD", "main", "v1"])
@pytest.mark.usefixtures("pushed")
def test_a_folder_with_the_name_of_a_missing_ref_is_not_compared(cli, checkout, command, kind, name):
    """A pull request could add `main/` with the new definitions, and nothing would be breaking against it."""
    if kind == "folder":
        (checkout.top / name).mkdir()
        (checkout.top / name / "one.yaml").write_text(yaml("one", AFTER))
    else:
        (checkout.top / name).write_text("")
    ran = cli(command, "--against", name)
    assert "'evt'" in ran.out or "AS evt" in ran.out
    assert ran.code == (0 if command == "breaking" else 1)
    assert f"{name} is a commit and a path here" in ran.err + ran.out
    if kind == "folder":
        assert "C102" not in cli("breaking", "--against", f"./{name}").out


@pytest.mark.parametrize("what", ["^HEAD", "HEAD....HEAD", "--all", "a\0b", "\udcff", "a\nb", ":", "@{u}"])
def test_a_ref_without_a_commit_is_an_error(cli, checkout, what):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    ran = cli("breaking", f"--against={what}")
    no_value = "\0" in what
    assert ran.code == (2 if no_value else 4)
    assert ("values cannot contain" if no_value else "there is no commit") in ran.err
    assert no_value or cli("check", f"changed:{what}").code == 2


@pytest.mark.parametrize("words", [("breaking", "--against=--"), ("check", "--env=--"), ("run", "x", "--limit=--")])
def test_two_dashes_are_refused_as_a_value(cli, words):
    ran = cli(*words)
    assert ran.code == 2
    assert f"{words[-1].removesuffix('=--')}: `--` is not a value" in ran.err
    assert cli("check", "--", "--x=--").code == 2


MISSING = {
    "origin/main": "git fetch origin main",
    "origin/$(date)": "git fetch origin '$(date)'",
    "origin/--upload-pack=x": "git log --oneline",
    "nobodys-branch": "git log --oneline",
    "HEAD~99": "git log --oneline",
    "nowhere/": "git log --oneline",
    "x" * 5000: "git log --oneline",
    "absent.json": "endpoints-gitops plan -o absent.json",
    "lock": "endpoints-gitops lock",
    "one@7": "endpoints-gitops versions one",
}


@pytest.mark.parametrize("command", ["breaking", "diff"])
@pytest.mark.parametrize("what", MISSING)
def test_a_missing_base_is_never_reported_as_no_change(cli, checkout, create, command, what):
    create("one")
    checkout.commit({"one.yaml": yaml("one", "SELECT 1 AS one")})
    ran = cli(command, "--against", what, "--format", "json")
    assert ran.code == 4
    (error,) = ran.json["errors"]
    assert error["code"] == "G109"
    assert MISSING[what] in error["fix"]
    assert cli(command, "--against", what).out == ""


@pytest.mark.parametrize("what", ["live", "one@1"])
def test_an_unreachable_server_is_never_reported_as_no_change(cli, checkout, what):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    ran = cli("breaking", "--against", what, "--max-wait", "0.1", env=OFFLINE)
    assert (ran.code, ran.out) == (4, "")


def test_a_shallow_clone_gets_the_command_for_more_history(checkout, make_cli, tmp_path):
    for count in range(2):
        checkout.commit({"one.yaml": yaml("one", f"SELECT {count} AS n")})
    clone = tmp_path / "shallow"
    checkout.git("clone", "--quiet", "--depth", "1", f"file://{checkout.top}", str(clone))
    ran = make_cli(clone)("breaking", "--against", "HEAD~1", "--format", "json")
    assert (ran.code, ran.json["errors"][0]["fix"]) == (4, "git fetch --unshallow (in CI: fetch-depth: 0)")
    fix = make_cli(clone)("breaking", "--against", "release", "--format", "json").json["errors"][0]["fix"]
    assert fix.startswith("git fetch origin release")


@pytest.mark.usefixtures("nobodys_settings")
def test_a_git_ref_without_git_is_an_error(make_cli, tmp_path):
    cli = make_cli(tmp_path / "plain")
    (tmp_path / "plain/endpoints/one.yaml").write_text(yaml("one", BEFORE))
    ran = cli("breaking", "--against", "main")
    assert ran.code == 4
    assert "not in a git repository" in ran.err


@pytest.mark.parametrize(
    ("what", "code", "error"), [("", 2, "usage.against"), ("  ", 2, "usage.against"), ("two@1", 4, "G109")]
)
def test_a_meaningless_base_is_never_reported_as_no_change(cli, checkout, what, code, error):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    assert cli("breaking", "--against", "HEAD").code == 0
    ran = cli("breaking", "--against", what, "--format", "json")
    assert (ran.code, [each["code"] for each in ran.json["errors"]]) == (code, [error])


@pytest.mark.parametrize("what", ["HEAD", "old"])
def test_an_unreadable_file_in_the_base_is_not_compared(cli, checkout, what):
    files = {"broken.yaml": "name: [\n", "one.yaml": yaml("one", BEFORE)}
    checkout.commit(files)
    (checkout.top / "old").mkdir()
    for name, content in files.items():
        (checkout.top / "old" / name).write_text(content)
    checkout.write({"broken.yaml": yaml("mended", "SELECT 1 AS n")})
    ran = cli("breaking", "--against", what, "--format", "json")
    assert ran.code == 4
    assert [error["code"] for error in ran.json["errors"]] == ["G109"]
    (error,) = ran.json["errors"]
    assert "broken.yaml" in error["where"]
    assert (error["fix"] or "").startswith("name a commit in which that file can be read") == (what == "HEAD")


def test_an_unreadable_local_definition_is_an_error(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    checkout.write({"one.yaml": "name: [\n"})
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    (error,) = ran.json["errors"]
    assert (ran.code, error["code"], error["where"]) == (2, "definition.yaml", "endpoints/one.yaml:2:1")


def test_a_damaged_lock_or_plan_exits_with_2(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    (checkout.top / "plan.json").write_text("{}")
    (checkout.top / "endpoints.lock").write_text("<<<<<<< ours\n")
    for against, code, where in (
        ("plan.json", "plan.invalid", "plan.json"),
        ("lock", "lock.conflict", "endpoints.lock:1:1"),
    ):
        ran = cli("breaking", "--against", against, "--format", "json")
        (error,) = ran.json["errors"]
        assert (ran.code, error["code"], error["where"]) == (2, code, where)


UNDECIDED = ("SELECT * FROM events LIMIT 1", "SELECT *, 1 AS one FROM events LIMIT 1")


@pytest.mark.parametrize(
    ("words", "code"), [([], 1), (["--allow-unknown"], 0), (["--allow-unknown", "--fail-on", "warn"], 1)]
)
def test_undecidable_changes_are_errors_unless_allowed(cli, checkout, words, code):
    checkout.commit({"one.yaml": yaml("one", UNDECIDED[0])})
    checkout.write({"one.yaml": yaml("one", UNDECIDED[1])})
    ran = cli("breaking", "--against", "HEAD", *words, "--format", "json")
    assert ran.code == code
    assert found(ran)["C112"] == ("warn" if words else "error")


def test_added_removed_and_renamed_endpoints_are_found(cli, checkout):
    checkout.commit(
        {f"{name}.yaml": yaml(name, f"SELECT {at} AS n") for at, name in enumerate(["stays", "goes", "old"])}
    )
    checkout.write(
        {
            "goes.yaml": None,
            "old.yaml": None,
            "new.yaml": yaml("new", "SELECT 2 AS n"),
            "more.yaml": yaml("more", "SELECT 9 AS n"),
        }
    )
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    assert {(item["endpoint"], item["code"]) for item in ran.json["items"]} == {
        ("goes", "A101"),
        ("goes", "A109"),
        ("old", "A102"),
        ("more", "A112"),
    }
    states = {
        item["name"]: item["state"] for item in cli("diff", "--against", "HEAD", "--format", "json").json["items"]
    }
    assert states == {"goes": "only_there", "old": "only_there", "new": "only_here", "more": "only_here"}
    assert cli("breaking", "goes", "--against", "HEAD").code == 1
    assert cli("breaking", "stays", "--against", "HEAD").code == 0
    assert cli("breaking", "nobody", "--against", "HEAD").code == 2


def test_an_endpoint_without_a_file_is_not_a_removal(cli, checkout, create):
    create("theirs")
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    assert found(cli("breaking", "--against", "live", "--format", "json")) == {"A112": "info"}


def test_a_query_file_is_read_from_the_commit(cli, checkout):
    checkout.commit({"one.yaml": "name: one\nquery_file: sql/one.sql\n", "sql/one.sql": BEFORE})
    checkout.write({"sql/one.sql": AFTER})
    ran = cli("breaking", "--against", "HEAD")
    assert "C102" in ran.out
    assert ran.code == 1


@pytest.mark.parametrize(("use", "severity"), [('"*"', "error"), ('{ version = "*", columns = ["n"] }', "info")])
@pytest.mark.usefixtures("pushed")
def test_a_caller_that_does_not_read_the_column_is_not_affected(cli, uses, use, severity):
    uses(one=use)
    ran = cli("breaking", "--against", "lock", "--format", "json")
    assert found(ran)["C102"] == severity
    assert ran.code == (severity == "error")


@pytest.mark.usefixtures("pushed")
def test_a_pinned_endpoint_without_a_definition_is_reported(cli, uses, create):
    create("theirs")
    uses(one='"*"', theirs='"*"')
    cli("lock")
    assert "pinned and not defined here, so not compared: theirs" in cli("breaking", "--against", "lock").err
    uses(theirs='"*"')
    cli("lock")
    assert cli("breaking", "--against", "lock").code == 4


GONE = {
    "no file defines it": ({"other.yaml": "name: other\nquery: SELECT 'another' AS query\n"}, "A101 error one"),
    "another name has its query": ({"other.yaml": "BEFORE"}, "A102 error one"),
    "a file says that it was renamed": (
        {"other.yaml": "name: other\nquery: SELECT 'another' AS query\nrenamed_from: one\n"},
        "A102 warn one",
    ),
}


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize(("files", "expected"), GONE.values(), ids=GONE)
@pytest.mark.usefixtures("pushed")
def test_a_pinned_endpoint_that_no_file_defines_any_more(cli, checkout, uses, files, expected, is_committed):
    uses(one='"*"')
    assert cli("lock").code == 0
    after = {name: yaml("other", BEFORE) if text == "BEFORE" else text for name, text in files.items()}
    (checkout.commit if is_committed else checkout.write)({"one.yaml": None, **after})
    ran = cli("breaking", "--against", "lock", "--format", "json")
    told = [f"{one['code']} {one['severity']} {one['endpoint']}" for one in ran.json["items"] if one["code"] != "A112"]
    assert (told, ran.code) == ([expected], 1 if "error" in expected else 0), ran.out


@pytest.mark.usefixtures("pushed")
def test_push_and_plan_show_findings_for_callers(cli):
    said = "for callers: 1 warning\n  " + RENAMED + "[warn]\n"
    assert said in cli("plan").out
    asked = cli("push", input="n\n").err
    assert said in asked
    assert asked.index(said) < asked.index("[y/N]")
    (item,) = cli("plan", "--format", "json").json["items"]
    assert [one["code"] for one in item["findings"]] == ["C102"]
    ran = cli("push", "--yes", "--format", "json")
    assert said in ran.err
    assert [one["code"] for one in ran.json["items"][0]["findings"]] == ["C102"]


def test_a_change_in_place_affects_pinned_callers(cli, checkout, create, uses):
    sql = "SELECT count() AS n FROM events WHERE event = {variables.e}"
    create("one", sql, variables={"e": ("String", "x")})
    uses(one='"*"')
    cli("lock")
    checkout.commit({"one.yaml": yaml("one", sql)})
    cli("pull", "--yes")
    checkout.write({"one.yaml": yaml("one", sql, materialization={"enabled": True})})
    ran = cli("plan", "-o", "plan.json")
    assert "for callers: 1 error" in ran.out
    assert "S101 " in ran.out
    assert "hits endpoints.toml" in ran.out
    cli("push", "--plan", "plan.json", "--yes")
    assert found(cli("breaking", "--against", "plan.json", "--format", "json"))["S101"] == "error"


def test_a_retyped_shared_variable_affects_every_endpoint_that_uses_it(cli, checkout, create):
    create("theirs", "SELECT {variables.n} AS n", variables={"n": ("Number", 3)})
    variable = {"name": "n", "type": "String", "default": "3"}
    checkout.commit({"one.yaml": yaml("one", "SELECT {variables.n} AS n", variables=[variable])})
    items = cli("plan", "--shared-variables", "--format", "json").json["items"]
    (item,) = [item for item in items if item["kind"] == "variable"]
    assert {(one["endpoint"], one["code"]) for one in item["findings"]} >= {("theirs", "V109")}


@pytest.mark.parametrize("words", [["plan"], ["push", "--yes"]])
@pytest.mark.usefixtures("pushed")
def test_nothing_is_written_with_an_unreadable_lock(cli, checkout, server, words):
    (checkout.top / "endpoints.lock").write_text("<<<<<<< ours\n")
    server.requests.clear()
    ran = cli(*words)
    assert ran.code == 2
    assert "endpoints.lock:1" in ran.err
    assert {entry.method for entry in server.requests.entries()} == {"GET"}


def test_pruning_affects_every_caller(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", BEFORE), "two.yaml": yaml("two", BEFORE)})
    cli("push", "--yes")
    checkout.commit({"one.yaml": None})
    ran = cli("plan", "--prune", "-o", "plan.json")
    assert "for callers: 1 error\n  one: active: A103 " in ran.out
    assert found(cli("breaking", "--against", "plan.json", "--format", "json")) == {"A103": "error"}


def test_the_pins_of_every_environment_are_compared(cli, checkout, pushed, server):  # noqa: ARG001 - a start
    path = checkout.top / "endpoints.toml"
    head, uses = path.read_text().split("[uses]")
    where = f'host = "{server.url}"\nproject_id = {server.project_id}\nkey = "env:ENDPOINTS_TEST_KEY"\n'
    second = f"[environments.other]\n{where}"
    path.write_text(f'default_environment = "test"\n{head}{second}[uses]{uses}')
    assert cli("lock").code == 0
    assert cli("breaking", "--against", "lock", "--format", "json").json["summary"]["compared"] == 2
    assert cli("breaking", "--against", "lock", "--env", "other", "--format", "json").json["summary"]["compared"] == 1


def test_unmanaged_endpoints_are_not_compared(cli, checkout):
    path = checkout.top / "endpoints.toml"
    path.write_text(f'manage = ["ours_*"]\n{path.read_text()}')
    checkout.commit({"a.yaml": yaml("ours_a", BEFORE), "b.yaml": yaml("b", BEFORE)})
    checkout.write({"a.yaml": yaml("ours_a", AFTER), "b.yaml": yaml("b", AFTER)})
    ran = cli("breaking", "--against", "HEAD")
    assert "1 outside of `manage`" in ran.err
    assert "1 endpoint compared with HEAD" in ran.out


def test_changes_of_a_draft_break_no_caller(cli, checkout):
    drafted = {"one.yaml": yaml("one", BEFORE, stability="draft"), "two.yaml": yaml("two", BEFORE)}
    checkout.commit(drafted)
    checkout.write({"one.yaml": yaml("one", AFTER, stability="draft")})
    assert cli("breaking", "--against", "HEAD").code == 0
    checkout.write({"two.yaml": yaml("two", AFTER)})
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    assert (ran.code, {item["endpoint"] for item in ran.json["items"] if item["severity"] == "error"}) == (1, {"two"})


def test_a_folder_missing_in_the_commit_is_reported(cli, checkout):
    (checkout.top / "readme").write_text("nothing yet")
    checkout.commit()
    checkout.write({"one.yaml": yaml("one", BEFORE)})
    ran = cli("breaking", "--against", "HEAD")
    assert (ran.code, "there are no definitions in HEAD: everything is new" in ran.err) == (0, True)


def test_a_folder_without_definitions_is_no_base(cli, checkout):
    """Everything would look new, and nothing would break."""
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    (checkout.top / "plan.json").mkdir()
    ran = cli("breaking", "--against", "plan.json")
    assert (ran.code, "error: plan.json has no definitions to compare with" in ran.err) == (4, True)
