"""`--format` and `--report` of the commands that judge: which files are written, when, and what they may replace."""

from __future__ import annotations

import json

import pytest

from endpoints_gitops.reports import FORMATS, is_report

GOOD = {"good.yaml": "name: good\nquery: SELECT event FROM events\n"}
BAD = {"bad.yaml": "name: bad\nqury: SELECT 1\n"}


def _reports(top):
    return [word for name in FORMATS for word in ("--report", f"{name}={top / 'out' / name}")]


def _exit_code(top):
    return json.loads((top / "out/json").read_text())["exit_code"]


@pytest.mark.parametrize(("files", "code"), [(GOOD, 0), (BAD, 1)], ids=["clean", "blocked"])
def test_every_report_is_written_whatever_the_exit_code(cli, checkout, files, code):
    checkout.write(files)
    assert cli("check", *_reports(checkout.top)).code == code
    contents = {name: (checkout.top / "out" / name).read_bytes() for name in FORMATS}
    assert all(content.strip() and is_report(content) for content in contents.values())
    assert _exit_code(checkout.top) == code


FAILURES = {
    "a word that is no option": (["--no-such-option"], 2),
    "a report that does not exist": (["--report", "pdf=x"], 2),
    "a report without a file": (["--report", "json"], 2),
    "a report on stdout": (["--report", "json=-"], 2),
    "two reports in one file": (["--report", "json=x", "--report", "sarif=x"], 2),
    "a selector that matches nothing": (["no-such-endpoint"], 2),
    "a folder that does not exist": (["--dir", "nowhere"], 2),
    "a server that does not answer": (["--live"], 4),
}


@pytest.mark.parametrize(("words", "code"), FAILURES.values(), ids=FAILURES)
def test_a_command_that_fails_replaces_the_reports_of_the_last_run(cli, checkout, words, code):
    checkout.write(GOOD)
    assert cli("check", *_reports(checkout.top)).code == 0
    before = {name: (checkout.top / "out" / name).read_text() for name in FORMATS}
    configuration = checkout.top / "endpoints.toml"
    if code == 4:
        lines = configuration.read_text().splitlines()
        configuration.write_text("\n".join('host = "http://127.0.0.1:9"' if "host" in line else line for line in lines))
    ran = cli("check", *words, *_reports(checkout.top), "--max-wait", "1")
    assert ran.code == code
    after = {name: (checkout.top / "out" / name).read_text() for name in FORMATS}
    assert not [name for name in FORMATS if before[name] == after[name]]
    assert _exit_code(checkout.top) == code
    message = ran.err.partition("error: ")[2].partition("\n")[0]
    assert message.split()[-1] in after["text"]
    assert "Traceback" not in ran.err
    assert not (checkout.top / "-").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_stdout_has_the_same_report_as_the_file(cli, checkout, name):
    checkout.write(BAD)
    ran = cli("check", "--format", name, *_reports(checkout.top))
    assert ran.code == 1
    if name != "text":
        assert ran.out == (checkout.top / "out" / name).read_text()


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "text"])
def test_a_mistake_on_the_command_line_is_reported_in_the_format_asked_for(cli, name):
    ran = cli("check", f"--format={name}", "--no-such-option")
    assert ran.code == 2
    assert is_report(ran.out.encode())
    assert "no-such-option" in ran.out


@pytest.mark.parametrize("name", ["sarif", "markdown"])
def test_other_commands_have_only_text_and_json(cli, name):
    ran = cli("list", "--format", name)
    assert (ran.code, ran.out) == (2, "")


FOREIGN = {
    "endpoints/good.yaml": GOOD["good.yaml"],
    "endpoints.lock": "version = 1\n",
    "pyproject.toml": "[tool.endpoints-gitops]\n",
    "notes.md": "# Notes on endpoints-gitops check: exit code 0\n",
    "package.json": '{"name": "app"}',
    "other.sarif": '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "other"}}}]}',
    "pytest.xml": '<?xml version="1.0"?><testsuites name="pytest tests"></testsuites>',
    "list.json": '[{"check_name": "x"}]',
    "program.py": "print('endpoints-gitops')\n",
}


@pytest.mark.parametrize(("path", "content"), FOREIGN.items(), ids=FOREIGN)
@pytest.mark.parametrize("name", FORMATS)
def test_a_report_never_replaces_another_file(cli, checkout, path, content, name):
    checkout.write(GOOD)
    (checkout.top / path).write_text(content)
    ran = cli("check", "--report", f"{name}={path}", "--report", "json=current.json")
    assert ran.code == 2
    assert f"{path} exists, and it is not a report: not overwritten" in ran.err
    assert (checkout.top / path).read_text() == content
    assert json.loads((checkout.top / "current.json").read_text())["exit_code"] == 2


@pytest.mark.parametrize("name", FORMATS)
def test_a_report_replaces_an_empty_file_and_a_report_in_another_format(cli, checkout, name):
    checkout.write(GOOD)
    path = checkout.top / "report"
    path.touch()
    for other in (name, *FORMATS, name):
        assert cli("check", "--report", f"{other}=report").code == 0
    assert is_report(path.read_bytes())


def test_a_report_that_cannot_be_written_is_an_error_in_all_others(cli, checkout):
    checkout.write(GOOD)
    (checkout.top / "folder").mkdir()
    ran = cli("check", "--report", "sarif=folder", *_reports(checkout.top), "--format", "json")
    assert (ran.code, ran.json["errors"][0]["code"]) == (2, "files.unwritable")
    assert _exit_code(checkout.top) == 2
    assert "folder" in (checkout.top / "out/junit").read_text()


def test_paths_start_at_the_top_of_the_repository(cli, checkout):
    checkout.write(BAD)
    words = ("check", "bad.yaml", "--dir", ".", "--format", "github")
    assert "file=endpoints/bad.yaml,line=2" in cli(*words, cwd=checkout.folder).out
    assert "bad.yaml:2:1: G108" in cli(*words[:-2], cwd=checkout.folder).out


@pytest.mark.parametrize("command", ["breaking", "review", "gate"])
def test_an_unknown_base_replaces_the_reports_of_the_last_run(cli, checkout, command):
    checkout.commit(GOOD)
    words = (command, "--offline") if command != "breaking" else (command,)
    assert cli(*words, "--against", "HEAD", *_reports(checkout.top)).code == 0
    ran = cli(*words, "--against", "no-such-ref", *_reports(checkout.top), "--format", "json")
    assert ran.code == ran.json["exit_code"] != 0
    texts = {name: (checkout.top / "out" / name).read_text() for name in FORMATS}
    assert [name for name in FORMATS if "no-such-ref" not in texts[name]] == []
    assert _exit_code(checkout.top) == ran.code


def test_a_review_is_the_same_in_every_format(cli, checkout):
    checkout.commit(
        {"signups.yaml": "name: signups\nquery: SELECT event AS name, count() AS n FROM events GROUP BY name\n"}
    )
    checkout.commit({"signups.yaml": "name: signups\nquery: SELECT event AS name FROM events GROUP BY name\n"})
    ran = cli("review", "--against", "HEAD~1", "--offline", *_reports(checkout.top), "--format", "json")
    assert (ran.code, ran.json["report"]["verdict"]) == (1, "blocked")
    texts = {name: (checkout.top / "out" / name).read_text() for name in FORMATS}
    assert [name for name in FORMATS if "C101" not in texts[name] or "signups" not in texts[name]] == []
    assert "### ❌ Blocked" in texts["markdown"]
    assert "-  count() AS n\n" in texts["markdown"]
    assert "::error file=endpoints/signups.yaml,line=2,col=" in texts["github"]


def test_a_marker_names_the_environment(cli, checkout):
    checkout.write(BAD)
    first = cli("check", "--env", "test", "--format", "markdown").out.partition("\n")[0]
    assert first == "<!-- endpoints-gitops check env=test -->"


def test_projects_of_one_repository_have_reports_of_their_own(cli, checkout):
    """Two projects are reviewed on one pull request: neither comment nor upload replaces that of the other."""
    (checkout.top / "shop").mkdir()
    (checkout.top / "shop" / "endpoints").mkdir()
    (checkout.top / "shop" / "endpoints.toml").write_text("[environments.prod]\nproject_id = 1\n")
    shown = {}
    for folder in (".", "shop"):
        where = checkout.top / folder
        comment = cli("check", "--format", "markdown", cwd=where).out.partition("\n")[0]
        log = cli("check", "--format", "sarif", cwd=where).json
        shown[folder] = comment, log["runs"][0]["automationDetails"]["id"]
    assert shown == {
        ".": ("<!-- endpoints-gitops check -->", "endpoints-gitops/check/"),
        "shop": ("<!-- endpoints-gitops check in=shop -->", "endpoints-gitops/check/in/shop/"),
    }


def test_what_is_left_out_is_shown_by_the_same_command_without_reports(cli, checkout):
    checkout.write({f"e{number}.yaml": "name: x\n" + "qury: 1\n" * 9 for number in range(900)})
    ran = cli("check", "--env", "test", "--report", "json=found.json", "--format", "markdown")
    assert "left out: `endpoints-gitops check --env test --verbose` shows all" in ran.out
