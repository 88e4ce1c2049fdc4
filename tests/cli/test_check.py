"""`check`: mistakes of reading and rules about one side as findings with their places; the lock; the server's word."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import pytest

GOOD = "name: {name}\nquery: SELECT count() AS n FROM events\n"
STAR = "name: star\nquery: |\n  SELECT *\n  FROM events\n"


def good(name: str, **keys: object) -> str:
    return GOOD.format(name=name) + "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())


def codes(ran) -> dict[str, list[str]]:
    """The codes found, by place."""
    found: dict[str, list[str]] = {}
    for item in ran.json["items"]:
        found.setdefault(item["where"], []).append(item["code"])
    return found


def test_check_reports_no_findings_for_valid_definitions(cli, checkout):
    checkout.write({"one.yaml": good("one")})
    ran = cli("check")
    assert (ran.code, ran.out, ran.err) == (0, "nothing found in 1 definition\n", "")


MISTAKES = {
    "G108 unknown key": ("name: one\nqery: SELECT 1\n", "2:1: G108 unknown key 'qery'; did you mean 'query'?"),
    "syntax": (
        "name: one\nquery: |\n  SELECT 1\n  FROM events GROUP\n  ORDER BY 1\n",
        "4:15: definition.hogql not valid HogQL",
    ),
    "no yaml": ("name: [\n", "2:1: definition.yaml"),
    "unused": (
        "name: one\nquery: SELECT 1\nvariables:\n  - name: plan\n    type: String\n",
        "4:11: definition.unused-variable the query does not use the variable 'plan'",
    ),
    "star": (STAR, "3:10: C113 the query selects *"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_a_finding_with_its_place(cli, checkout, kind):
    content, said = MISTAKES[kind]
    checkout.write({"one.yaml": content, "two.yaml": good("two")})
    ran = cli("check", "--fail-on", "warn")
    assert ran.code == 1
    assert f"endpoints/one.yaml:{said}" in ran.out
    assert "in 2 definitions\n" in ran.out
    (item, *_) = cli("check", "--format", "json").json["items"]
    assert item["where"].startswith("endpoints/one.yaml")
    assert {"code", "slug", "severity", "scope", "fingerprint", "fix"} <= item.keys()


def test_findings_are_printed_in_file_order_with_fixes_and_a_count(cli, checkout):
    checkout.write({"a/one.yaml": "name: one\nqery: SELECT 1\n", "b.yml": STAR, "c.yaml": good("c")})
    ran = cli("check")
    assert ran.code == 1
    places = [line.split(": ")[0] for line in ran.out.splitlines() if line.startswith("endpoints/")]
    assert places == sorted(places)
    assert (
        "endpoints/a/one.yaml:2:1: G108 unknown key 'qery'; did you mean 'query'? [error]\n  fix: write query\n"
        in ran.out
    )
    assert "endpoints/b.yml:3:10: C113 " in ran.out
    assert ran.out.splitlines()[-1].endswith(" in 3 definitions")


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warn", 1), ("info", 1)])
def test_fail_on_sets_the_severity_that_fails(cli, checkout, fail_on, code):
    checkout.write({"star.yaml": STAR})
    ran = cli("check", "--fail-on", fail_on)
    assert ran.code == code
    assert "C113" in ran.out


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"deep.yaml": f"name: deep\nquery: SELECT {'CAST(' * 37}\n"}, "endpoints/deep.yaml:2:1"),
        (
            {"deep.yaml": "name: deep\nquery_file: deep.sql\n", "deep.sql": f"SELECT {'CAST(' * 36}\n"},
            "endpoints/deep.yaml:2:1",
        ),
    ],
)
def test_a_query_that_times_out_is_an_error_with_its_location(cli, checkout, parse_within, files, place):
    parse_within(0.3)
    checkout.write(files | {"one.yaml": good("one")})
    ran = cli("check")
    assert ran.code == 1
    assert (
        f"{place}: definition.unparsed the query was not checked: the query could not be parsed within 0.3 seconds"
        in ran.out
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_worker_processes_end_with_the_check(checkout, processes, number):
    deep = "SELECT " + "CAST(" * 37
    checkout.write({f"e{n:03}.yaml": f"name: e{n:03}\nquery: {deep}{n}\n" for n in range(400)})
    program = "import sys; from endpoints_gitops.cli.main import run; sys.exit(run(['check']))"
    command = subprocess.Popen(
        [sys.executable, "-c", program], cwd=checkout.top, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        processes.until(lambda: processes.descendants(command.pid, "parser_child"))
        everything = processes.descendants(command.pid)
        command.send_signal(number)
        out, _ = command.communicate(timeout=60)
        assert command.returncode == (130 if number is signal.SIGINT else -number)
        if number is signal.SIGINT:
            *slow, last = out.splitlines()
            assert last == "error: interrupted"
            assert all(line.startswith("still parsing, for 10 s at most: SELECT CAST(") for line in slow), out
        processes.until(lambda: not any(map(processes.is_running, everything)))
    finally:
        command.kill()
        command.communicate()


SLOW_FOLDER = """
import sys
from endpoints_gitops.hogql import parser, parser_processes
from endpoints_gitops.cli.main import run

parser.SECONDS, parser_processes.SLOW_SECONDS = 0.5, 0.1
sys.exit(run(["check", "--format", "json"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems start processes anew, with the real limits")
def test_worker_processes_remember_and_report_slow_queries(checkout, tmp_path):
    files = {f"e{number}.yaml": good(f"e{number}") for number in range(230)}
    checkout.write({**files, "slow.yaml": f"name: slow\nquery: SELECT {'CAST(' * 37}\n"})
    said = []
    for _ in range(2):
        command = [sys.executable, "-c", SLOW_FOLDER]
        ran = subprocess.run(command, cwd=checkout.top, capture_output=True, text=True, check=False)
        (item,) = (item for item in json.loads(ran.stdout)["items"] if item["code"] == "definition.unparsed")
        said.append((ran.returncode, item["where"], "result of an earlier command" in item["message"], ran.stderr))
    begins = "still parsing, for 0.5 s at most: SELECT CAST(CAST("
    assert [one[:3] for one in said] == [
        (1, "endpoints/slow.yaml:2:1", False),
        (1, "endpoints/slow.yaml:2:1", True),
    ]
    assert (said[0][3].count(begins), said[1][3]) == (1, "")
    assert len(list((tmp_path / "state" / "unfinished").iterdir())) == 1


def test_a_draft_may_be_unfinished(cli, checkout):
    checkout.write({"star.yaml": STAR + "stability: draft\n"})
    assert {item["severity"] for item in cli("check", "--format", "json").json["items"]} == {"info"}


def test_settings_of_every_environment_are_checked(cli, checkout):
    sql = "query: SELECT event, {variables.plan} AS p FROM events ORDER BY event\n"
    declared = "variables: [{name: plan, type: String, default: a}]\n"
    overlay = "environments: {prod: {materialization: {enabled: true}}}\n"
    checkout.write({"one.yaml": f"name: one\n{sql}{declared}{overlay}"})
    with_overlay = cli("check", "--format", "json").json["items"]
    assert "S109" in {item["code"] for item in with_overlay}
    assert "S109" not in {item["code"] for item in cli("check", "--env", "test", "--format", "json").json["items"]}


@pytest.mark.parametrize("words", [["no-such"], ["endpoints/none.yaml"], ["tag:none"], ["*_x"], ["README.md"], [""]])
def test_a_word_that_matches_nothing_is_a_usage_error(cli, checkout, words):
    checkout.write({"one.yaml": good("one")})
    assert cli("check", "one").code == 0
    ran = cli("check", *words, "--format", "json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (2, ["usage.selector"])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["endpoints/one.yaml"], {"one.yaml"}),
        (["endpoints/sub"], {"sub/two.yaml", "sub/three.sql"}),
        (["endpoints/sub/three.sql"], {"sub/three.sql"}),
        (["one", "endpoints/one.yaml"], {"one.yaml"}),
        (["tag:late"], {"sub/two.yaml"}),
        (["t*"], {"sub/two.yaml", "sub/three.sql"}),
        ([], {"one.yaml", "sub/two.yaml", "sub/three.sql"}),
    ],
)
def test_paths_and_selectors(cli, checkout, words, found):
    checkout.write(
        {
            "one.yaml": STAR.replace("star", "one"),
            "sub/two.yaml": STAR.replace("star", "two") + "tags: [late]\n",
            "sub/three.yaml": "name: three\nquery_file: three.sql\n",
            "sub/three.sql": "SELECT * FROM events\n",
        }
    )
    ran = cli("check", *words, "--format", "json")
    assert {item["where"].split(":")[0].removeprefix("endpoints/") for item in ran.json["items"]} == found
    assert ran.json["summary"]["definitions"] == len(found)


def test_a_selector_does_not_hide_a_file_that_cannot_be_read(cli, checkout):
    checkout.write({"one.yaml": good("one"), "broken.yaml": "name: [\n"})
    ran = cli("check", "one")
    assert ran.code == 1
    assert "endpoints/broken.yaml" in ran.out


@pytest.mark.parametrize("selector", ["broken", "brok*", "tag:late"])
def test_a_selector_finds_a_definition_with_mistakes(cli, checkout, selector):
    checkout.write({"one.yaml": good("one"), "broken.yaml": good("broken") + "tags: [late]\nbogus: 1\n"})
    ran = cli("check", selector)
    assert ran.code == 1
    assert "endpoints/broken.yaml:4:1: G108 unknown key 'bogus'" in ran.out
    assert cli("check", "changed:nowhere").code == 2


@pytest.mark.parametrize("words", [[], ["endpoints/b.yaml"], ["endpoints/a.yaml"]])
def test_a_duplicate_name_is_found_from_either_file(cli, checkout, words):
    checkout.write({"a.yaml": good("one"), "b.yaml": good("one"), "c.yaml": good("three")})
    ran = cli("check", *words)
    assert ran.code == 1
    assert "endpoints/b.yaml:1:1: G107 one is already defined in endpoints/a.yaml [error]" in ran.out


def test_a_file_outside_of_the_folder_can_be_checked(cli, checkout):
    (checkout.top / "elsewhere.yaml").write_text(STAR)
    checkout.write({})
    assert "elsewhere.yaml:3:10: C113" in cli("check", "elsewhere.yaml").out


def test_a_new_folder_without_definitions_passes(cli, checkout):
    assert list(checkout.folder.iterdir()) == []
    ran = cli("check", "--format", "json")
    assert (ran.code, ran.json["summary"]["definitions"]) == (0, 0)
    named = cli("check", "endpoints")
    assert (named.code, "there is no definition in endpoints" in named.err) == (2, True), named.err


@pytest.mark.parametrize("words", [[], ["endpoints"], ["changed:HEAD"]], ids=str)
def test_tracked_definitions_missing_on_disk_fail(cli, checkout, words):
    """An unmounted folder has nothing in it; a deletion that git knows leaves nothing to check."""
    checkout.commit({"a/one.yaml": good("one"), "two.yaml": good("two")})
    assert cli("check", *words).code == 0
    shutil.rmtree(checkout.folder)
    checkout.folder.mkdir()
    ran = cli("check", *words)
    assert (ran.code, "endpoints has no definition on disk, but git tracks 2 in it" in ran.err) == (2, True), ran.err
    checkout.git("add", "--all")
    assert cli("check").code == 0


def test_a_sparse_checkout_without_the_definitions_fails(cli, checkout):
    checkout.commit({"one.yaml": good("one")})
    (checkout.top / "other").mkdir()
    checkout.git("sparse-checkout", "set", "other")
    checkout.folder.mkdir(exist_ok=True)
    ran = cli("check")
    assert (ran.code, "git tracks 1 in it" in ran.err) == (2, True), ran.err
    assert "git sparse-checkout add endpoints" in ran.err


def test_no_folder_is_a_usage_error(cli):
    ran = cli("check", "--dir", "nowhere", "--format", "json")
    assert (ran.code, [error["code"] for error in ran.json["errors"]]) == (2, ["definitions.folder"])


def test_the_lock_is_checked_too(cli, checkout, uses, create):
    create("one")
    uses(one='"*"')
    assert cli("lock").code == 0
    checkout.write({"two.yaml": good("two")})
    assert cli("check").code == 0
    uses(one='"*"', two='"*"')
    ran = cli("check")
    assert ran.code == 1
    assert ": P108 two is used in environment test and not pinned [error]" in ran.out
    assert cli("check", "endpoints/two.yaml").code == 0
    assert "P108" in cli("check", "endpoints.lock").out
    lock = checkout.top / "endpoints.lock"
    lock.write_text(lock.read_text().replace("version = 1", "version = 1\nstrange = 2", 1))
    assert cli("check").code == 2


def test_an_app_without_definitions_has_its_lock_checked(cli, checkout, uses, create):
    create("one")
    uses(one='"*"', two='"*"')
    manifest = checkout.top / "endpoints.toml"
    manifest.write_text(manifest.read_text().replace('dir = "endpoints"\n', ""))
    checkout.folder.rmdir()
    ran = cli("check")
    assert (ran.code, ran.out.count("P108")) == (1, 2), ran.err
    assert "no definitions here" in ran.err
    uses(one='"*"')
    assert cli("lock").code == 0
    assert (cli("check").code, cli("check", "--dir", "elsewhere").code) == (0, 2)


def test_live_locates_what_the_server_refuses(cli, checkout, server):
    checkout.write(
        {
            "field.yaml": "name: field\nquery: |\n  SELECT event,\n    nothing_here\n  FROM events\n",
            "folded.yaml": "name: folded\nquery: >-\n  SELECT event\n  FROM nowhere_there\n",
            "table.yaml": "name: table\nquery_file: table.sql\n",
            "table.sql": "SELECT a\nFROM absent_table\n",
            "fine.yaml": 'name: fine\nquery: "SELECT event FROM events WHERE event = {variables.e} ORDER BY event"\n'
            "variables: [{name: e, type: String}]\n",
            "trends.yaml": "name: trends\nquery_definition: {kind: TrendsQuery, series: []}\n",
        }
    )
    ran = cli("check", "--live")
    assert ran.code == 1
    for place in ("field.yaml:4:5", "folded.yaml:4:8", "table.sql:2:6"):
        assert f"endpoints/{place}: check.refused the server refuses the query of {place.split('.')[0]}: " in ran.out
    assert ran.out.count("check.refused") == 3
    assert "not checked on the server, because insights have no SQL: trends" in ran.err
    assert {one.path.rpartition("/projects/1/")[2] for one in server.requests.entries()} == {"query/"}
    summary = cli("check", "--live", "--format", "json").json["summary"]
    assert (summary["asked"], summary["unasked"]) == (4, 1)


def test_live_needs_a_server_that_answers(cli, checkout):
    checkout.write({"one.yaml": good("one"), "star.yaml": STAR})
    ran = cli("check", "--live", "--max-wait", "0.1", env={"ENDPOINTS_GITOPS_HOST": "http://127.0.0.1:9"})
    assert ran.code == 4
    assert "C113" in ran.out, "what was found offline is told all the same"


def test_several_processes_find_the_same_as_one(tmp_path):
    folder = tmp_path / "endpoints"
    folder.mkdir()
    for number in range(450):
        (folder / f"e{number}.yaml").write_text(good(f"e{number}"))
    (folder / "e3.yaml").write_text(STAR)
    (folder / "e400.yaml").write_text("name: e4\nquery: SELECT 1\n")
    (folder / "e449.yaml").write_text("name: e449\nqery: SELECT 1\n")
    program = "import sys; from endpoints_gitops.cli.entry import main\nif __name__ == '__main__': sys.exit(main())"
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "program.py", "check", "--format", "json", "--no-cache"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    told = json.loads(ran.stdout)
    places = {(item["where"], item["code"]) for item in told["items"] if item["severity"] == "error"}
    assert places == {("endpoints/e400.yaml:1", "G107"), ("endpoints/e449.yaml:2:1", "G108")}
    assert told["summary"]["definitions"] == 450


CLASH = {
    "one.yaml": "name: one\nquery: SELECT {variables.x} AS a\nvariables:\n  - {name: x, type: String}\n",
    "two.yaml": "name: two\nquery: SELECT {variables.x} AS a\nvariables:\n  - name: x\n    type: Number\n",
    "three.yaml": "name: three\nquery: SELECT {variables.y} AS a\nvariables:\n  - {name: y, type: Number}\n",
}


def test_definitions_that_disagree_on_a_shared_variable_are_found_offline(cli, checkout):
    checkout.write(CLASH)
    ran = cli("check", "--format", "json")
    assert ran.code == 1
    assert codes(ran) == {"endpoints/one.yaml:4:1": ["G117"], "endpoints/two.yaml:5:1": ["G117"]}


def test_a_file_by_itself_is_compared_with_the_rest_of_the_folder(cli, checkout):
    checkout.write(CLASH)
    ran = cli("check", "endpoints/two.yaml", "--format", "json")
    assert codes(ran) == {"endpoints/two.yaml:5:1": ["G117"]}
    assert "endpoints/one.yaml:4" in ran.json["items"][0]["message"]


def test_a_refusal_is_placed_inside_the_query(cli, checkout):
    checkout.write(
        {
            "block.yaml": "name: block\nquery: |-\n  SELECT event,\n    cuont() AS n\n  FROM events\n",
            "file.yaml": "name: file\nquery_file: file.sql\n",
            "file.sql": "SELECT event,\n  dateDiff('day', now()) AS n\nFROM events\n",
            "line.yaml": 'name: line\nquery: "SELECT event,\\n \\u0074oInt64(1) AS n FROM events"\n',
        }
    )
    ran = cli("check", "--format", "json")
    refusals = {place: sorted({"G113", "G114"} & {*found}) for place, found in codes(ran).items()}
    places = {place: found for place, found in refusals.items() if found}
    assert ran.code == 1
    assert places == {
        "endpoints/block.yaml:4:5": ["G113"],
        "endpoints/file.sql:2:3": ["G114"],
        "endpoints/line.yaml:2:25": ["G113"],
    }


def test_a_key_without_effect_is_refused(cli, checkout):
    checkout.write({"one.yaml": "name: one\nquery: SELECT 1 AS n\ntests: []\n"})
    ran = cli("check", "--format", "json")
    assert (ran.code, [item["where"] for item in ran.json["items"]]) == (1, ["endpoints/one.yaml:3:1"])
    assert cli("push", "--yes").code == 2


def test_infos_are_counted_and_printed_with_verbose(cli, checkout):
    where = "timestamp > now() - INTERVAL 1 DAY"
    moving = f"SELECT properties.plan AS plan, count() AS n FROM events WHERE {where} GROUP BY plan"
    checkout.commit({"one.yaml": f"name: one\nquery: {moving}\n"})
    ran = cli("check")
    assert (ran.code, ran.out) == (0, "2 infos (--verbose shows the infos) in 1 definition\n")
    shown = cli("check", "--verbose").out
    assert " C112 " in shown
    assert " G112 " in shown
    assert shown.endswith("2 infos in 1 definition\n")
    assert {item["code"] for item in cli("check", "--format", "json").json["items"]} == {"C112", "G112"}
    assert cli("check", "--fail-on", "info").code == 1
    checkout.write({"one.yaml": f"name: one\nquery: {moving}\n".replace("GROUP", " GROUP")})
    against = ("--against", "HEAD")
    assert cli("breaking", *against).out.startswith("1 info (--verbose shows the infos); 1 endpoint compared with HEAD")
    assert " M108 " in cli("breaking", *against, "--verbose").out
