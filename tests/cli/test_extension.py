"""Plugins as they are installed: a distribution on the path, found by its entry point, run by the real command."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

DOCUMENTED = Path(__file__).parents[2] / "docs" / "plugins.md"
MAIL = "jane.doe@example.com"
DEFINITION = f"name: one\ndescription: ask {MAIL}\nquery: SELECT count() AS n FROM events\n"


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "endpoints").mkdir(parents=True)
    (folder / "endpoints" / "one.yaml").write_text(DEFINITION)
    return folder


@pytest.fixture
def run(project, tmp_path, nobodys_settings):  # noqa: ARG001 - nobody's settings
    """The command in a process of its own, with what is installed in the site of the test."""

    def command(*words: str) -> Ran:
        env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
        program = "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main())"
        start = [sys.executable, "-W", "error", "-c", program, *words]
        ended = subprocess.run(start, cwd=project, env=env, capture_output=True, text=True, check=False)
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    return command


@pytest.fixture
def install(tmp_path):
    """Installs a module as a distribution that names it in its entry points."""

    def write(source: str, *, distribution: str = "acme-rules", entry: str = "acme_rules") -> None:
        module = distribution.replace("-", "_")
        site = tmp_path / "site"
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(dedent(source))
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[endpoints_gitops]\nacme = {entry}\n")

    return write


@pytest.fixture
def documented(install):
    """The plugin that docs/plugins.md shows, installed as it stands there."""
    found = re.search(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    install(found[1])


@pytest.mark.usefixtures("documented")
def test_the_documented_plugin_judges_a_definition(run):
    ran = run("check")
    assert ran.code == 1
    assert "endpoints/one.yaml:1:1: ACME1 one has no owner [error]\n  fix: add owner: TEAM\n" in ran.out
    (item,) = json.loads(run("check", "--format", "json").out)["items"]
    assert (item["code"], item["slug"], item["severity"]) == ("ACME1", "no-owner", "error")


@pytest.mark.usefixtures("documented")
def test_the_documented_plugin_judges_a_change(run, project):
    (project / "old").mkdir()
    (project / "old" / "one.yaml").write_text(DEFINITION)
    more = DEFINITION + "variables: [{name: e, type: String, default: x}]\n"
    (project / "endpoints/one.yaml").write_text(more.replace("FROM events", "FROM events WHERE event = {variables.e}"))
    ran = run("breaking", "--against", "old")
    assert "ACME2 one has more variables than before [warn]\n  fix: publish a new endpoint\n" in ran.out
    assert "ACME2" in run("diff", "--against", "old").out


@pytest.mark.usefixtures("documented")
def test_the_documented_plugin_writes_a_report(run, project):
    assert run("check", "--report", "acme-csv=out/found.csv", "--report", "json=found.json").code == 1
    rows = list(csv.DictReader((project / "out/found.csv").read_text().splitlines()))
    assert rows == [
        {
            "command": "check",
            "severity": "error",
            "code": "ACME1",
            "place": "endpoints/one.yaml:1",
            "message": "one has no owner",
        }
    ]
    assert json.loads((project / "found.json").read_text())["exit_code"] == 1


@pytest.mark.usefixtures("documented")
def test_the_documented_plugin_redacts_all_output(run, project):
    (project / "old").mkdir()
    (project / "old" / "one.yaml").write_text(DEFINITION.replace("ask ", "ask also "))
    for words in (["diff", "--against", "old"], ["diff", "--against", "old", "--format", "json"]):
        ran = run(*words)
        assert "ask (mail)" in ran.out
        assert MAIL not in ran.out + ran.err


def test_without_a_plugin_there_is_no_such_report_and_nothing_is_loaded(run, project):
    ran = run("check", "--report", "acme-csv=found.csv")
    assert ran.code == 2
    assert "there is no report 'acme-csv'" in ran.err
    assert "the available reports are github, gitlab, json, junit, markdown, sarif, text" in ran.err
    assert not (project / "found.csv").exists()
    program = (
        "import sys; from endpoints_gitops.cli.entry import main; main(['check']); sys.exit('pluggy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, check=False).returncode == 0
    )


HEAD = "from endpoints_gitops.extension import Finding, Scope, Severity, hookimpl\n"
BROKEN = {
    "cannot be imported": ("import nowhere_at_all\n", "cannot be loaded: ModuleNotFoundError"),
    "is no python": ("def\n", "cannot be loaded: SyntaxError"),
    "has a hook that is none": (HEAD + "@hookimpl\ndef chek_definition(definition): ...\n", "cannot be loaded: "),
    "takes what no hook has": (HEAD + "@hookimpl\ndef check_definition(file): ...\n", "cannot be loaded: "),
    "raises": (
        HEAD + "@hookimpl\ndef check_definition(definition): raise ValueError('oh')\n",
        "failed in check_definition: ValueError: oh",
    ),
    "raises on the way": (
        HEAD + "@hookimpl\ndef check_definition(definition):\n    yield from ()\n    1 / 0\n",
        "failed in check_definition: ZeroDivisionError",
    ),
    "finds no findings": (
        HEAD + "@hookimpl\ndef check_definition(definition): return ['wrong']\n",
        "returned something other than a Finding from check_definition: 'wrong'",
    ),
    "takes a code of ours": (
        HEAD + "@hookimpl\ndef check_definition(definition):\n    yield Finding(code='C101', slug='s', severity="
        "Severity.INFO, scope=Scope.NEITHER, endpoint='one', message='m')\n",
        "uses the code C101, which a built-in rule has",
    ),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_plugin_is_one_error_that_names_its_distribution(run, install, way):
    source, said = BROKEN[way]
    install(source)
    ran = run("check", "--format", "json")
    assert ran.code == 2
    (error,) = json.loads(ran.out)["errors"]
    assert error["code"] == "plugin"
    assert error["message"].startswith("the plugin acme of the distribution acme-rules ")
    assert said in error["message"]
    assert error["fix"] == "repair or remove the plugin: pip uninstall acme-rules"
    assert "Traceback" not in ran.err


def test_a_redaction_that_fails_withholds_the_text(run, install):
    install(HEAD + "@hookimpl\ndef redact(text): raise ValueError('oh')\n")
    ran = run("check")
    assert ran.code == 0
    assert "nothing found" not in ran.out
    assert "(withheld: the plugin acme of the distribution acme-rules failed in redact: ValueError: oh)" in ran.out


@pytest.mark.parametrize("report", ["json", "=x", "json="])
def test_a_report_without_name_or_file_is_a_usage_error(run, report, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    ran = run("check", "--report", report)
    assert ran.code == 2
    assert "json" in ran.err.partition("fix:")[2], "the reports there are"
    assert sorted(tmp_path.rglob("*")) == before
