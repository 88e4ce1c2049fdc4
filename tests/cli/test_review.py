"""`review --against REF`: what the branch introduces and nothing else, what is unknown, and what it asks."""

from __future__ import annotations

import json
import os
import re

import pytest

BEFORE = "SELECT event, count() AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 10"
RENAMED = BEFORE.replace("event, count()", "event AS evt, count()", 1)
APPENDED = BEFORE.replace("count() AS n", "count() AS n, uniq(person_id) AS people", 1)
REFORMATTED = BEFORE.replace(" FROM", "\nFROM").replace("SELECT", "select")
DEPRECATION = {"since": "2026-01-01", "sunset": "2027-06-01"}
OFFLINE = {"ENDPOINTS_GITOPS_HOST": "http://127.0.0.1:9"}


def yaml(name: str, sql: str = BEFORE, **keys: object) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in {"name": name, "query": sql, **keys}.items())


@pytest.fixture
def main(cli, checkout, server):
    """Three endpoints that are committed on main and pushed; then a branch begins."""
    checkout.commit({f"{name}.yaml": yaml(name) for name in ("one", "two", "three")})
    assert cli("push", "--yes").code == 0
    checkout.git("checkout", "--quiet", "-b", "mine")
    server.requests.clear()


@pytest.fixture
def review(cli, server):
    """Runs the review; `asked` has the requests of the last one, and none of them may write."""

    def run(*words: str, against: str = "main", **options):
        server.requests.clear()
        ran = cli("review", "--against", against, *words, "--format", "json", **options)
        entries = server.requests.entries()
        assert not any(entry.is_write for entry in entries)
        run.asked = [
            f"{entry.method} {entry.path.partition('?')[0].rstrip('/').rpartition('/')[2]}" for entry in entries
        ]
        return ran

    return run


def subjects(ran) -> dict[str, tuple[str, str]]:
    return {item["name"]: (item["verdict"], item["change"]) for item in ran.json["items"]}


def subject(ran, name: str) -> dict:
    return next(item for item in ran.json["items"] if item["name"] == name)


def codes(item: dict) -> list[str]:
    return [finding["code"] for finding in item["findings"]]


@pytest.mark.usefixtures("main")
class TestChanges:
    def test_a_branch_without_changes_asks_nothing(self, review, checkout, cli):
        checkout.commit()
        (checkout.top / "app.py").write_text("print()\n")
        ran = review(env={"ENDPOINTS_TEST_KEY": ""})
        assert (ran.code, ran.json["items"], review.asked) == (0, [], [])
        assert "Safe: this branch changes no endpoint\n" in cli("review", "--against", "main").out

    def test_it_runs_few_git_processes(self, review, checkout, monkeypatch, tmp_path):
        checkout.commit({"one.yaml": yaml("one", APPENDED)})
        monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
        assert review().code == 0
        commands = re.findall(r"trace: built-in: git (\S+)", (tmp_path / "trace").read_text())
        assert len(commands) <= 13, commands

    def test_a_breaking_and_a_harmless_change(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one", RENAMED), "two.yaml": yaml("two", APPENDED)})
        ran = review()
        assert ran.code == 1
        assert subjects(ran) == {"one": ("blocked", "new version 2"), "two": ("safe", "new version 2")}
        one, two = subject(ran, "one"), subject(ran, "two")
        (renamed,) = [finding for finding in one["findings"] if finding["severity"] == "error"]
        assert (renamed["code"], renamed["where"]) == ("C102", "endpoints/one.yaml:2:25")
        assert renamed["fix"]
        assert "C110" in codes(two)
        assert ran.json["summary"] | {"changed": 2, "new_version": 2, "blocked": 1, "safe": 1} == ran.json["summary"]
        (query, contract) = one["diffs"]
        assert "-  event," in query["lines"]
        assert "+  event AS evt," in query["lines"]
        assert "+column evt: string" in contract["lines"]
        assert review.asked == ["GET endpoints"]

    def test_changed_words_of_the_query_are_marked(self, cli, checkout):
        checkout.commit({"one.yaml": yaml("one", APPENDED)})
        assert "    +  uniq(person_id) AS people\n" in cli("review", "--against", "main", "--offline").out
        checkout.commit({"one.yaml": yaml("one", BEFORE.replace("LIMIT 10", "LIMIT 20"))})
        out = cli("review", "--against", "main", "--offline").out
        assert "    -LIMIT [-10-]\n    +LIMIT {+20+}\n" in out

    def test_fail_on_decides_what_blocks(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one", RENAMED)})
        assert review("--fail-on", "error").code == 1
        checkout.commit({"one.yaml": yaml("one", BEFORE.replace("LIMIT 10", "LIMIT 20"))})
        assert review().code == 0
        assert review("--fail-on", "info").code == 1

    def test_a_change_in_place(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one", description="of events", data_freshness="1hour")})
        ran = review()
        assert (ran.code, subjects(ran)) == (0, {"one": ("safe", "changed in place (version 1)")})
        diffs = {diff["title"]: diff["lines"] for diff in subject(ran, "one")["diffs"]}
        assert diffs["settings"] == ['+description: "of events"', "+data_freshness: 1hour"]
        assert diffs["contract"][-2:] == ["-served from a cache", "+served from a cache, at most 1 hour old"]

    def test_formatting_and_keys_of_the_file_alone_change_nothing(self, review, checkout):
        files = {"one.yaml": yaml("one", REFORMATTED), "two.yaml": yaml("two", owner="@data"), "three.yaml": "# why\n"}
        files["three.yaml"] += yaml("three")
        checkout.commit(files)
        ran = review()
        assert subjects(ran) == {
            "one": ("safe", "nothing on the server: formatting only"),
            "two": ("safe", "nothing on the server: only owner changed"),
            "three": ("safe", "nothing on the server: formatting only"),
        }
        assert ran.code == 0
        assert review.asked == []

    @pytest.mark.parametrize(
        ("before", "after", "change", "lines"),
        [
            (
                {"deprecation": DEPRECATION},
                {},
                "deprecation",
                ['-deprecation.since: "2026-01-01"', '-deprecation.sunset: "2027-06-01"'],
            ),
            (
                {"deprecation": DEPRECATION},
                {"deprecation": {**DEPRECATION, "sunset": "2027-07-01"}},
                "deprecation",
                [
                    ' deprecation.since: "2026-01-01"',
                    '-deprecation.sunset: "2027-06-01"',
                    '+deprecation.sunset: "2027-07-01"',
                ],
            ),
            (
                {"owner": "@data", "stability": "beta"},
                {"owner": "@growth"},
                "owner, stability",
                ['-owner: "@data"', '-stability: "beta"', '+owner: "@growth"'],
            ),
            (
                {"columns": [{"name": "event", "type": "string"}, {"name": "n", "type": "integer"}]},
                {"columns": [{"name": "event", "type": "string"}]},
                "columns",
                [
                    ' columns.event: {"name": "event", "type": "string"}',
                    '-columns.n: {"name": "n", "type": "integer"}',
                ],
            ),
            (
                {"examples": [{"description": "all"}]},
                {"examples": [{"description": "every"}]},
                "examples",
                [
                    '-examples.0: {"description": "all", "variables": {}}',
                    '+examples.0: {"description": "every", "variables": {}}',
                ],
            ),
            (
                {"environments": {"other": {"active": True}}},
                {"environments": {"other": {"active": False}}},
                "environments",
                ['-environments.other: {"active": true}', '+environments.other: {"active": false}'],
            ),
        ],
    )
    def test_keys_that_are_not_on_the_server_are_shown(self, cli, review, checkout, before, after, change, lines):
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": yaml("one", **before)})
        checkout.git("checkout", "--quiet", "-b", "again")
        checkout.commit({"one.yaml": yaml("one", **after)})
        ran = review("--offline")
        assert subjects(ran)["one"][1] == f"nothing on the server: only {change} changed"
        shown = {diff["title"]: diff["lines"] for diff in subject(ran, "one")["diffs"]}
        assert shown["only in the file"] == lines
        assert "  only in the file:\n" in cli("review", "--against", "main", "--offline").out

    def test_a_new_file(self, review, checkout):
        checkout.commit({"four.yaml": yaml("four")})
        ran = review()
        assert (ran.code, subjects(ran)) == (0, {"four": ("safe", "created at version 1")})
        assert "A112" in codes(subject(ran, "four"))
        assert all(line.startswith("+") for diff in subject(ran, "four")["diffs"] for line in diff["lines"])

    def test_a_removed_file(self, review, checkout):
        checkout.commit({"two.yaml": None})
        ran = review()
        assert (ran.code, list(subjects(ran))) == (1, ["two"])
        assert subject(ran, "two")["change"].startswith("file removed: the endpoint stays")
        assert codes(subject(ran, "two")) == ["A101", "A109"]
        assert ran.json["summary"]["removed"] == 1

    @pytest.mark.parametrize("is_said", [True, False])
    def test_a_rename_is_one_subject(self, review, checkout, is_said):
        keys = {"renamed_from": "two"} if is_said else {}
        checkout.commit({"two.yaml": None, "second.yaml": yaml("second", **keys)})
        ran = review()
        assert list(subjects(ran)) == ["second"]
        assert subject(ran, "second")["change"] == "renamed from two: created at version 1"
        assert codes(subject(ran, "second")) == ["A102"]
        assert ran.code == (0 if is_said else 1)

    def test_what_became_required_and_whether_it_can_be_materialized(self, review, checkout, cli):
        sql = BEFORE.replace("GROUP BY", "WHERE event = {variables.what} GROUP BY")
        declared = [{"name": "what", "type": "String", "default": "x"}]
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": yaml("one", sql, variables=declared)})
        assert cli("push", "--yes").code == 0
        checkout.git("checkout", "--quiet", "-b", "table")
        checkout.commit({"one.yaml": yaml("one", sql, variables=declared, materialization={"enabled": True})})
        one = subject(review(), "one")
        assert one["verdict"] == "blocked"
        assert "S101" in codes(one)
        assert one["details"] | {"becomes required": "what", "can be materialized": "yes"} == one["details"]
        assert sorted(review.asked) == ["GET endpoints", "GET insight_variables"]

    def test_uncommitted_and_untracked_files_count(self, review, checkout):
        checkout.write({"one.yaml": yaml("one", RENAMED), "four.yaml": yaml("four")})
        ran = review()
        assert subjects(ran) == {"one": ("blocked", "new version 2"), "four": ("safe", "created at version 1")}

    def test_what_main_did_meanwhile_is_not_reported(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one", APPENDED)})
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"two.yaml": yaml("two", RENAMED), "three.yaml": None})
        checkout.git("checkout", "--quiet", "mine")
        assert list(subjects(review())) == ["one"]

    def test_selectors_choose_among_the_changes(self, review, checkout):
        four = yaml("four", "SELECT 4 AS n", tags=["new"])
        checkout.commit({"one.yaml": yaml("one", APPENDED), "two.yaml": None, "four.yaml": four})
        assert list(subjects(review("one"))) == ["one"]
        assert list(subjects(review("t*"))) == ["two"]
        assert list(subjects(review("tag:new"))) == ["four"]
        assert list(subjects(review("three"))) == []
        ran = review("nothing")
        assert (ran.code, ran.json["errors"][0]["code"]) == (2, "usage.selector")

    @pytest.mark.parametrize("selector", ["one", "uno", "endpoints/one.yaml", "u*"])
    def test_a_selector_of_one_name_reviews_the_whole_rename(self, review, checkout, selector):
        checkout.commit({"one.yaml": yaml("uno"), "two.yaml": yaml("two", APPENDED)})
        ran = review(selector)
        assert ran.code == 1
        assert subjects(ran) == {"uno": ("blocked", "renamed from one: created at version 1")}

    def test_a_changed_query_file_is_a_change_of_its_definition(self, review, checkout):
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": "name: one\nquery_file: sql/one.sql\n", "sql/one.sql": BEFORE + "\n"})
        checkout.git("checkout", "--quiet", "-b", "sql")
        checkout.commit({"sql/one.sql": RENAMED + "\n"})
        ran = review()
        assert subjects(ran) == {"one": ("blocked", "new version 2")}
        (finding,) = [finding for finding in subject(ran, "one")["findings"] if finding["code"] == "C102"]
        assert finding["where"].startswith("endpoints/sql/one.sql:1:")

    def test_a_moved_file_is_no_change(self, review, checkout):
        (checkout.folder / "sub").mkdir()
        checkout.git("mv", "endpoints/one.yaml", "endpoints/sub/one.yaml")
        ran = review()
        assert (ran.code, subjects(ran)) == (0, {"one": ("safe", "nothing on the server: formatting only")})

    def test_a_moved_folder_is_compared_with_the_former_one(self, review, checkout):
        path = checkout.top / "endpoints.toml"
        checkout.commit()
        checkout.git("branch", "-f", "main")
        checkout.git("mv", "endpoints", "defs")
        path.write_text(path.read_text().replace('dir = "endpoints"', 'dir = "defs"', 1))
        checkout.folder = checkout.top / "defs"
        checkout.commit({"one.yaml": yaml("one", RENAMED)})
        assert list(subjects(review())) == ["one"]

    def test_the_report_counts_requests_and_names_the_plan(self, review, cli, checkout, server):
        from endpoints_gitops.codecs.plan import read_plan, to_json

        checkout.commit({"one.yaml": yaml("one", APPENDED), "four.yaml": yaml("four", description="x")})
        report = review().json["report"]["details"]
        assert cli("plan", "-o", "plan.json", "one", "four").code == 0
        digest = to_json(read_plan((checkout.top / "plan.json").read_bytes(), "plan.json"))["digest"]
        assert report["plan digest"] == digest
        server.requests.clear()
        assert cli("push", "--yes").code == 0
        sent = len(server.requests.entries())
        lists = "1 more from a fresh clone, to list versions"
        assert report["requests of a push"] == f"{sent} (1 to read, {sent - 1} to write); {lists}"
        assert report["environment"] == f"test: {server.url}, project 1"


@pytest.mark.usefixtures("main")
class TestServer:
    def edit_and_push(self, checkout, cli, sql: str) -> None:
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": yaml("one", sql)})
        assert cli("push", "--yes").code == 0
        checkout.git("checkout", "--quiet", "mine")

    def test_the_commonest_conflict_names_the_merge(self, review, checkout, cli):
        checkout.commit(
            {"one.yaml": yaml("one", BEFORE.replace("count() AS n", "count() AS n, min(timestamp) AS first"))}
        )
        self.edit_and_push(checkout, cli, APPENDED)
        ran = review()
        one = subject(ran, "one")
        assert (ran.code, one["verdict"]) == (1, "blocked")
        (reason,) = one["reasons"]
        assert reason["message"] == "main already has the server's query: merge main"
        assert (reason["code"], reason["fix"]) == ("conflict", "git merge main")
        assert ran.json["summary"]["conflicts"] == 1
        assert "1 blocked, 1 conflict" in cli("review", "--against", "main").out.splitlines()[1]
        checkout.merge("main", {"one.yaml": yaml("one", APPENDED.replace("people", "people, min(timestamp) AS first"))})
        assert subjects(review()) == {"one": ("safe", "new version 3")}, "the fix works"

    def test_an_edit_on_the_server_is_a_conflict_with_its_fix(self, review, checkout, edit):
        checkout.commit({"one.yaml": yaml("one", APPENDED)})
        edit("one", "SELECT 1 AS n")
        ran = review()
        (reason,) = subject(ran, "one")["reasons"]
        assert (ran.code, reason["code"]) == (1, "conflict")
        assert "edited on the server" in reason["message"]
        assert "pull --theirs one" in reason["fix"]
        assert review.asked == ["GET endpoints", "GET versions"]

    def test_a_merge_is_named_only_if_it_brings_what_the_server_has(self, review, checkout, edit):
        checkout.commit({"one.yaml": yaml("one", BEFORE.replace("LIMIT 10", "LIMIT 30"))})
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": yaml("one", APPENDED)})
        checkout.git("checkout", "--quiet", "mine")
        edit("one", "SELECT 1 AS n")
        (reason,) = subject(review(), "one")["reasons"]
        assert ("edited on the server" in reason["message"], "merge" in reason["fix"]) == (True, False)

    def test_a_pin_that_cannot_be_called_protects_from_nothing(self, review, checkout, cli, client, uses):
        uses(one='"*"')
        assert cli("lock").code == 0
        checkout.commit({"one.yaml": yaml("one", RENAMED)})
        ran = review()
        assert (ran.code, subjects(ran)["one"]) == (0, ("safe", "new version 2")), "the pin protects"
        client.update_endpoint("one", {"is_active": False})
        assert (review().code, review("--offline").code) == (1, 0)

    def test_a_label_of_a_variable_is_asked_for(self, review, checkout, cli):
        sql = "SELECT count() AS n FROM events WHERE event = {variables.what}"
        declared = {"name": "what", "type": "String", "default": "x"}
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": yaml("one", sql, variables=[declared])})
        assert cli("push", "--yes").code == 0
        checkout.git("checkout", "--quiet", "-b", "labelled")
        checkout.commit({"one.yaml": yaml("one", sql, variables=[declared | {"label": "Kind"}])})
        assert review("--max-wait", "0.1", env=OFFLINE).code == 4

    def test_drift_in_another_key_does_not_block(self, review, checkout, client, cli):
        checkout.git("checkout", "--quiet", "main")
        checkout.commit({"one.yaml": yaml("one", description="ours")})
        assert cli("push", "--yes").code == 0
        checkout.git("checkout", "--quiet", "-b", "other")
        client.update_endpoint("one", {"description": "theirs"})
        checkout.commit({"one.yaml": yaml("one", APPENDED, description="ours")})
        ran = review()
        assert (ran.code, subjects(ran)) == (0, {"one": ("safe", "new version 2")})
        assert subject(ran, "one")["details"]["drifted"].startswith("description: ")

    def test_a_change_that_the_server_has_already(self, review, checkout, cli):
        checkout.commit({"one.yaml": yaml("one", APPENDED)})
        assert cli("push", "--yes").code == 0
        assert subjects(review()) == {"one": ("safe", "nothing to write: the server has this already")}

    def test_a_name_that_the_server_has_from_elsewhere_is_a_conflict(self, review, checkout, create):
        create("four", "SELECT 1 AS other")
        checkout.commit({"four.yaml": yaml("four")})
        ran = review()
        assert (ran.code, subject(ran, "four")["verdict"]) == (1, "blocked")

    def test_offline_judges_files_and_lock_alone(self, review, checkout, cli, uses):
        uses(one='"*"')
        assert cli("lock").code == 0
        checkout.commit({"one.yaml": yaml("one", RENAMED), "four.yaml": yaml("four")})
        ran = review("--offline", env=OFFLINE | {"ENDPOINTS_TEST_KEY": ""})
        assert (ran.code, review.asked) == (0, []), "the pin protects"
        assert subjects(ran) == {"one": ("safe", "new version"), "four": ("safe", "created")}
        assert subject(ran, "one")["details"]["pinned by"] == "endpoints.toml: version 1"
        (checkout.top / "endpoints.lock").unlink()
        ran = cli("review", "--against", "main", "--offline")
        assert (ran.code, "(offline: files and lock only)" in ran.out) == (1, True)

    @pytest.mark.parametrize(
        ("env", "code", "error"),
        [
            ({"ENDPOINTS_TEST_KEY": ""}, 3, "credentials.missing"),
            ({"ENDPOINTS_TEST_KEY": "phx_wrong"}, 3, "unauthenticated"),
            (OFFLINE, 4, "unreachable"),
        ],
        ids=["no key", "wrong key", "network down"],
    )
    def test_what_cannot_be_asked_is_unknown(self, review, checkout, env, code, error):
        checkout.commit({"one.yaml": yaml("one", RENAMED), "two.yaml": yaml("two", APPENDED)})
        ran = review("--max-wait", "3" if code == 3 else "0.1", env=env)
        assert ran.code == code
        assert {name: verdict for name, (verdict, _) in subjects(ran).items()} == {"one": "blocked", "two": "unknown"}
        assert "C102" in codes(subject(ran, "one")), "file findings stay"
        (failure,) = ran.json["errors"]
        assert ran.json["report"]["verdict"] == "unknown"
        assert ran.json["report"]["headline"] == "Unknown: the server could not be asked; 1 of 2 endpoints blocked"
        assert error in failure["code"]
        assert ("--offline" in failure["fix"]) == (code == 3)
        (reason,) = subject(ran, "two")["reasons"]
        assert reason == failure

    def test_a_server_error_is_unknown(self, review, checkout, server):
        from endpoints_gitops.local.faults import Effect, Fault

        checkout.commit({"two.yaml": yaml("two", APPENDED)})
        server.faults.add(Fault(effect=Effect.ERROR, status=500))
        ran = review("--max-wait", "0.1")
        assert (ran.code, subjects(ran)["two"][0]) == (4, "unknown")


class TestBase:
    def test_a_bad_ref_is_4(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one")})
        ran = review(against="nowhere")
        (error,) = ran.json["errors"]
        assert (ran.code, error["code"]) == (4, "G109")
        assert "there is no commit 'nowhere' here" in error["message"]

    def test_an_empty_ref_is_2(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one")})
        assert review(against=" ").code == 2

    def test_a_shallow_clone_is_4_with_the_cure(self, checkout, make_cli, tmp_path):
        for count in range(3):
            checkout.commit({"one.yaml": yaml("one", f"SELECT {count} AS n")})
        checkout.git("checkout", "--quiet", "-b", "mine", "HEAD~1")
        checkout.commit({"one.yaml": yaml("one", "SELECT 7 AS n")})
        clone = tmp_path / "shallow"
        url = f"file://{checkout.top}"
        checkout.git("clone", "--quiet", "--depth", "1", "--no-single-branch", "--branch", "mine", url, str(clone))
        ran = make_cli(clone)("review", "--against", "origin/main", "--format", "json")
        (error,) = ran.json["errors"]
        assert (ran.code, error["code"]) == (4, "G109")
        assert "fetch-depth: 0" in error["fix"]

    def test_no_common_ancestor_is_4(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one")})
        checkout.git("checkout", "--quiet", "--orphan", "other")
        checkout.commit({"one.yaml": yaml("one", RENAMED)})
        assert review().code == 4

    @pytest.mark.usefixtures("nobodys_settings")
    def test_without_git_it_is_4(self, make_cli, tmp_path):
        cli = make_cli(tmp_path / "plain")
        (tmp_path / "plain/endpoints/one.yaml").write_text(yaml("one"))
        assert cli("review", "--against", "main").code == 4

    def test_an_unreadable_definition_of_the_base_is_4(self, review, checkout):
        checkout.commit({"one.yaml": "name: [\n", "two.yaml": yaml("two")})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": yaml("one"), "two.yaml": yaml("two", RENAMED)})
        ran = review("--offline")
        assert ran.code == 4
        assert {name: verdict for name, (verdict, _) in subjects(ran).items()} == {"one": "unknown", "two": "blocked"}
        (error,) = ran.json["errors"]
        assert error["code"] == "G109"
        assert error["where"].endswith(":endpoints/one.yaml:2:1")
        assert error["where"].split(":")[0] == "main"

    def test_a_repaired_definition_is_judged_and_says_what_helps(self, review, checkout):
        checkout.commit({"one.yaml": "name: one\nquery: [\n"})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": yaml("one", "SELECT * FROM events ORDER BY uuid LIMIT 5")})
        places = {}
        for name in ("json", "github", "sarif", "gitlab"):
            ran = review("--offline", "--fail-on", "warn", "--report", f"{name}=review.{name}")
            assert ran.code == 4
            places[name] = (checkout.top / f"review.{name}").read_text()
        (subject,) = ran.json["items"]
        assert (subject["verdict"], subject["where"]) == ("blocked", "endpoints/one.yaml:1")
        assert "C113" in [finding["code"] for finding in subject["findings"]]
        (reason,) = subject["reasons"]
        assert reason["where"] == "main:endpoints/one.yaml:3:1"
        assert reason["fix"].startswith("name a commit in which that file can be read: --against REF")
        assert json.loads(places["json"])["items"] == ran.json["items"]
        assert (
            "::error file=endpoints/one.yaml,line=1,title=one%3A G109::main:endpoints/one.yaml:3:1: not compared"
            in (places["github"])
        )
        sarif = json.loads(places["sarif"])["runs"][0]
        located = [*sarif["results"], *sarif["invocations"][0]["toolExecutionNotifications"]]
        uris = {entry["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for entry in located}
        paths = {entry["location"]["path"] for entry in json.loads(places["gitlab"])}
        assert uris == paths == {"endpoints/one.yaml"}

    def test_an_invalid_definition_is_a_finding_of_the_branch(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one"), "two.yaml": yaml("two")})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": "name: one\nquery: [\n", "two.yaml": yaml("two", "SELECT (")})
        ran = review("--offline")
        assert (ran.code, subjects(ran)) == (
            1,
            dict.fromkeys(("one", "two"), ("blocked", "its definition is not valid")),
        )
        wheres = [finding["where"] for item in ran.json["items"] for finding in item["findings"]]
        assert wheres == ["endpoints/one.yaml:3:1", "endpoints/two.yaml:2:17"]

    def test_a_file_that_cannot_be_read_is_never_skipped(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one")})
        os.mkfifo(checkout.folder / "pipe.yaml")
        (checkout.folder / "out.yaml").symlink_to("/etc/hostname")
        ran = review("--offline", against="HEAD")
        assert (ran.code, {name: verdict for name, (verdict, _) in subjects(ran).items()}) == (
            1,
            {"endpoints/pipe.yaml": "blocked", "endpoints/out.yaml": "blocked"},
        )

    def test_lint_of_the_base_is_not_repeated(self, review, checkout):
        star = "SELECT * FROM events LIMIT 5"
        checkout.commit({"one.yaml": yaml("one", star)})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": yaml("one", star, description="x"), "two.yaml": yaml("two", star)})
        ran = review("--offline")
        lint = {"C113", "G110"}
        assert lint.isdisjoint(codes(subject(ran, "one")))
        assert lint <= {*codes(subject(ran, "two"))}

    def test_lint_of_the_base_that_becomes_severer_is_reported(self, review, checkout):
        unknown = "SELECT cuont() AS n FROM events"
        checkout.commit({"one.yaml": yaml("one", unknown, stability="draft"), "two.yaml": yaml("two", unknown)})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": yaml("one", unknown), "two.yaml": yaml("two", unknown, stability="draft")})
        ran = review("--offline")
        assert (ran.code, {item["name"]: codes(item) for item in ran.json["items"]}) == (
            1,
            {"one": ["C112", "G113"], "two": []},
        )
        assert subject(ran, "one")["verdict"] == "blocked"

    def test_the_policy_and_ignore_comments_decide_what_counts(self, review, checkout):
        ignore = '# endpoints-gitops: ignore G110 reason="a sample" owner=Ann until=2099-01-01\n'
        query = 'query: "SELECT event FROM events LIMIT 5"\n'
        checkout.commit({"one.yaml": f"name: one\n{ignore}{query}", "two.yaml": f"name: two\n{ignore}{query}"})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": f"name: one\n{query}", "two.yaml": f"name: two\nowner: Ann\n{ignore}{query}"})
        ran = review("--offline")
        assert {item["name"]: codes(item) for item in ran.json["items"]} == {"one": ["G110"], "two": []}, (
            "an ignore that the branch removes introduces its finding"
        )
        checkout.commit({"three.yaml": f"name: three\n{ignore}{query}"})
        (finding,) = [item for item in subject(review("--offline"), "three")["findings"] if item["code"] == "G110"]
        assert finding["ignored"]["kind"] == "ignored"
        path = checkout.top / "endpoints.toml"
        path.write_text(path.read_text().replace('dir = "endpoints"', 'dir = "endpoints"\nfail_on = "warn"'))
        assert {name: verdict for name, (verdict, _) in subjects(review("--offline")).items()} == {
            "one": "blocked",
            "two": "safe",
            "three": "safe",
        }

    def test_a_notice_of_the_base_is_not_repeated(self, review, checkout):
        notice = {"since": "2026-01-01", "sunset": "2026-02-01", "replaced_by": "nothing"}
        checkout.commit({"one.yaml": yaml("one", deprecation=notice)})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit(
            {"one.yaml": yaml("one", deprecation=notice, owner="Ann"), "two.yaml": yaml("two", deprecation=notice)}
        )
        ran = review("--offline")
        assert codes(subject(ran, "one")) == []
        assert {"A111", "A115"} <= {*codes(subject(ran, "two"))}

    def test_duplicates_of_the_base_are_not_repeated(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one"), "same.yaml": yaml("one"), "two.yaml": yaml("two")})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": yaml("one", description="x")})
        assert "G107" not in codes(subject(review("--offline"), "one"))
        checkout.commit({"again.yaml": yaml("two")})
        ran = review("--offline")
        assert "G107" in codes(subject(ran, "two"))
        assert ran.code == 1

    def test_a_disagreement_about_a_shared_variable_is_the_branchs(self, review, checkout):
        keys = {"sql": "SELECT {variables.v} AS v"}
        string, number = ([{"name": "v", "type": kind}] for kind in ("String", "Number"))
        checkout.commit({"one.yaml": yaml("one", **keys, variables=string)})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"two.yaml": yaml("two", **keys, variables=number)})
        ran = review("--offline")
        assert (ran.code, "G117" in codes(subject(ran, "two"))) == (1, True)

    def test_a_branch_that_deletes_everything(self, review, checkout):
        checkout.commit({"one.yaml": yaml("one")})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.commit({"one.yaml": None})
        ran = review("--offline")
        assert (ran.code, list(subjects(ran))) == (1, ["one"])

    def test_files_outside_of_a_sparse_checkout_are_not_removed(self, review, checkout):
        checkout.commit({"a/one.yaml": yaml("one"), "b/two.yaml": yaml("two")})
        checkout.git("checkout", "--quiet", "-b", "mine")
        checkout.git("sparse-checkout", "set", "--no-cone", "/*", "!/endpoints/b/")
        assert not (checkout.folder / "b/two.yaml").exists()
        ran = review("--offline")
        assert (ran.code, ran.json["items"]) == (0, [])

    def test_a_folder_of_a_monorepo(self, checkout, make_cli):
        product = checkout.top / "apps/product"
        cli = make_cli(product)
        for name in ("one", "two"):
            (product / f"endpoints/{name}.yaml").write_text(yaml(name))
        checkout.commit()
        checkout.git("checkout", "--quiet", "-b", "mine")
        (product / "endpoints/one.yaml").write_text(yaml("one", RENAMED))
        (checkout.top / "other.yaml").write_text("name: [\n")
        ran = cli("review", "--against", "main", "--offline", "--format", "json")
        assert (ran.code, list(subjects(ran))) == (1, ["one"])
        assert subject(ran, "one")["where"] == "endpoints/one.yaml:1"

    def test_owners_deprecation_and_consumers_stand_beside_an_endpoint(self, review, checkout, uses):
        (checkout.top / ".github").mkdir()
        (checkout.top / ".github/CODEOWNERS").write_text("* @all\n/endpoints/one.yaml @data @ops\n")
        uses(one='"*"')
        checkout.commit({"one.yaml": yaml("one")})
        checkout.git("checkout", "--quiet", "-b", "mine")
        notice = {"since": "2026-08-01", "sunset": "2027-08-01", "replaced_by": "two"}
        checkout.commit({"one.yaml": yaml("one", APPENDED, owner="Ann", deprecation=notice), "two.yaml": yaml("two")})
        details = subject(review("--offline"), "one")["details"]
        expected = {
            "owner": "Ann",
            "code owners": "@data, @ops",
            "deprecated": details["deprecated"],
            "used without a pin by": "endpoints.toml",
        }
        assert details | expected == details
        assert details["deprecated"].startswith("since 2026-08-01, sunset 2027-08-01, in ")
        assert details["deprecated"].endswith("; use two")

    def test_a_damaged_lock_is_2(self, review, checkout, uses):
        uses(one='"*"')
        (checkout.top / "endpoints.lock").write_text("<<<<<<< ours\n")
        checkout.commit({"one.yaml": yaml("one")})
        ran = review("--offline", against="HEAD")
        assert (ran.code, ran.json["errors"][0]["code"]) == (2, "lock.conflict")
