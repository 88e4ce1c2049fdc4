"""The command line itself: its words, its help, its mistakes, and what starting it costs."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import endpoints_gitops.api.errors
import endpoints_gitops.consumer.errors  # whichever tests run beside these: all classes are tried
from endpoints_gitops import __version__
from endpoints_gitops.cli import entry, main
from endpoints_gitops.cli.registry import COMMANDS, GROUPS
from endpoints_gitops.errors import EndpointsError, InvalidInput, MissingExtra, Problem
from endpoints_gitops.extras import install_advice
from endpoints_gitops.model.outcome import Outcome

HEAVY = {"httpx", "ruamel.yaml", "deepdiff", "rich", "chdb", "starlette", "uvicorn"}
PACKAGE = Path(endpoints_gitops.__file__).parent
IMPORTS = """
import contextlib, io, json, sys
from endpoints_gitops.cli.entry import main
with contextlib.redirect_stdout(io.StringIO()):
    codes = [main(words.split()) for words in sys.argv[1:]]
print(json.dumps([codes, sorted(sys.modules)]))
"""


def imported_by(*lines: str) -> set[str]:
    """What a process of its own has imported after these command lines."""
    done = subprocess.run([sys.executable, "-c", IMPORTS, *lines], capture_output=True, text=True, check=True)
    codes, modules = json.loads(done.stdout)
    assert set(codes) == {0}
    return set(modules)


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path, nobodys_settings):  # noqa: ARG001 - a fixture that works by being there
    """The command where there is no project and no server: quicker, and enough here."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        code = main.run(words) if words != ("--version",) else entry.main(words)
        return Answered(code, *capsys.readouterr())

    return run


class Answered(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def error_classes() -> list[type[EndpointsError]]:
    found = [EndpointsError]
    for one in found:
        found += one.__subclasses__()
    return found


def raised(error: type[EndpointsError]) -> EndpointsError:
    """Whatever else is told to an error when it is made: here it has a message and nothing more."""
    if issubclass(error, InvalidInput):
        return error((Problem(path="a.yaml", message="wrong"),))
    if issubclass(error, MissingExtra):
        return error("it", extra="redis", packages=("redis",), fix="install it")
    if issubclass(error, endpoints_gitops.api.errors.ApiError):
        return error("it broke")
    made = error.__new__(error)
    EndpointsError.__init__(made, "it broke")
    return made


def test_help_imports_little():
    assert imported_by("--help") & {*HEAVY, "pydantic", "importlib.metadata"} == set()


def test_help_of_a_command_imports_little():
    assert imported_by(*(f"{name} --help" for name in COMMANDS)) & HEAVY == set()


def test_check_of_a_file_without_mistakes_imports_neither_pins_nor_reports(tmp_path):
    path = tmp_path / "signups.yaml"
    path.write_text("name: signups\nquery: SELECT count() AS n FROM events\n")
    needless = {"model.pin", "model.consumers", "model.report", "reports.content", "codecs.mistakes", "hogql.narrowing"}
    imported = imported_by(f"check {path} --dir {tmp_path} --no-cache")
    assert imported & {f"endpoints_gitops.{name}" for name in needless} == set()
    assert {"endpoints_gitops.contract.lint", "pydantic"} <= imported, "it was checked"


def test_version_imports_less_than_help(cli):
    assert imported_by("--version") & {"argparse", "json.decoder", "endpoints_gitops.cli.main"} <= {"json.decoder"}
    assert cli("--version").out == f"endpoints-gitops {__version__}\n"


def test_help_names_every_command(cli):
    ran = cli("--help")
    assert ran.code == 0
    for title, group in GROUPS.items():
        assert f"\n{title}:\n" in ran.out
        for name, about in group.items():
            assert re.search(rf"^  {name} +{re.escape(about.summary)}$", ran.out, flags=re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(cli, name):
    ran = cli(name, "--help")
    assert ran.code == 0
    assert COMMANDS[name].summary[1:] in ran.out
    assert f"  endpoints-gitops {name} {COMMANDS[name].examples[0]}".rstrip() in ran.out
    for option in ("--dir", "--env", "--format", "--quiet", "--verbose", "--yes", "--max-wait"):
        assert option in ran.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "prod", "list"], "a command is missing before the options"),
        (["lst"], "there is no command 'lst'; did you mean list?"),
        (["help", "lst"], "there is no command 'lst'; did you mean list?"),
        (["push", "--dry-run"], "push has no --dry-run\n  fix: endpoints-gitops plan\n"),
        (["version"], "there is no command 'version'\n  fix: endpoints-gitops --version\n"),
        (["list", "--formt", "json"], "unrecognized arguments: --formt"),
        (["list", "--format", "xml"], "invalid choice: 'xml'"),
        (["list", "--max-wait", "soon"], "'soon' is not a number of seconds"),
        (["list", "--max-wait", "0"], "'0' is not a number of seconds above 0"),
        (["list", "--max-wait", "-1"], "'-1' is not a number of seconds"),
        (["list", "--max-wait", "inf"], "'inf' is not a number of seconds"),
        (["get", "a", "--version", "0"], "'0' is not a version"),
        (["get", "a", "--version", "١"], "is not a version"),
        (["list", "--env", "prdo"], "there is no environment 'prdo'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_exit_with_2(cli, words, message):
    ran = cli(*words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("words", "selectors"),
    [
        (["a", "b"], ["a", "b"]),
        (["--quiet", "a", "b"], ["a", "b"]),
        (["a", "--env", "x", "b", "--yes"], ["a", "b"]),
        (["--yes"], []),
    ],
)
def test_names_and_options_may_be_mixed(cli, monkeypatch, words, selectors):
    seen = []
    monkeypatch.setattr(main.load("list"), "execute", lambda given, _: seen.append(given) or Outcome(command="list"))
    assert cli("list", *words).code == 0
    assert seen[0].selectors == selectors


@pytest.mark.parametrize(("option", "meant"), [("--overwrite", [""]), ("--overwrite=a@3", ["a@3"]), ("--wait=9", 9.0)])
def test_options_with_an_optional_value(cli, monkeypatch, option, meant):
    seen = []
    monkeypatch.setattr(main.load("push"), "execute", lambda given, _: seen.append(given) or Outcome(command="push"))
    assert cli("push", option, "name").code == 0
    assert seen[0].selectors == ["name"]
    assert meant in (seen[0].overwrite, seen[0].wait)


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_error_has_its_exit_code(cli, monkeypatch, error):
    def execute(*_):
        raise raised(error)

    monkeypatch.setattr(main.load("list"), "execute", execute)
    ran = cli("list", "--format", "json")
    assert ran.code == ran.json["exit_code"] == int(error.exit_code)
    assert ran.json["ok"] is False
    assert [set(entry) for entry in ran.json["errors"]] == [{"code", "message", "where", "fix"}]
    assert ran.json["errors"][0]["message"] in ran.err


def test_an_interrupt_outside_of_the_command_is_no_traceback(monkeypatch, capsys):
    """While it is imported, or once more while the first interrupt is reported."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "run", interrupted)
    assert entry.main(["list"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (RecursionError(), 2),
        (PermissionError(13, "Permission denied"), 2),
        (KeyError("unforeseen"), 4),
    ],
)
def test_only_unforeseen_exceptions_are_reported_as_defects(cli, monkeypatch, error, code):
    def execute(*_):
        raise error

    monkeypatch.setattr(main.load("list"), "execute", execute)
    ran = cli("list", "--format", "json")
    assert ran.code == ran.json["exit_code"] == code
    is_defect = isinstance(error, KeyError)
    assert ("Traceback" in ran.err, "please report it" in ran.err) == (is_defect, is_defect)


class Full(io.StringIO):
    def write(self, _):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("words", [["explain", "6"], ["explain", "6", "--format", "json"], ["lst", "--format", "json"]])
def test_output_that_cannot_be_written_is_an_error(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "stdout", Full())
    assert main.run(words) == 2
    assert "No space left on device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [(["lst", "--format", "json"], "usage.command"), (["list", "--format=json", "--nonsense"], "usage.arguments")],
)
def test_mistakes_on_the_command_line_are_reported_in_json(cli, words, code):
    ran = cli(*words)
    answer = json.loads(ran.out)
    assert (ran.code, answer["exit_code"], answer["ok"]) == (2, 2, False)
    assert [error["code"] for error in answer["errors"]] == [code]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(cli, shell):
    script = cli("completion", shell).out
    assert all(name in script for name in COMMANDS)
    assert "--max-wait" in script or "max-wait" in script


def test_completion_is_bash(cli, tmp_path):
    script = tmp_path / "completion.sh"
    script.write_text(cli("completion", "bash").out)
    subprocess.run(["bash", "-n", script], check=True)


def test_a_closed_pipe_changes_nothing():
    program = "import sys; from endpoints_gitops.cli.entry import main; sys.exit(main(['completion', 'bash']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), error) == (0, b"")


def test_a_process_of_one_command_imports_neither_the_command_of_httpx_nor_trio():
    program = """
import sys; from endpoints_gitops.cli.entry import main; sys.argv = ["endpoints-gitops", "completion", "bash"]; main()
import httpx, httpcore; assert not httpx.Client().is_closed; print({"rich", "trio._core"} & sys.modules.keys())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("code", sorted({error.code for error in error_classes()}))
def test_every_error_code_is_explained(cli, code):
    ran = cli("explain", code, "--format", "json")
    assert ran.code == 0
    assert ran.json["items"][0]["text"].strip()


def test_every_code_in_the_source_is_explained():
    """Also the codes that are given to an error where it is raised."""
    from endpoints_gitops.cli.commands.explain import explanation

    rooms = ("api", "codecs", "workspace", "operations", "cli", "plan")
    sources = (path.read_text(encoding="utf-8") for room in rooms for path in (PACKAGE / room).rglob("*.py"))
    codes = {code for text in sources for code in re.findall(r'\bcode="([a-z]+\.[a-z_.-]+)"', text)}
    assert len(codes) > 30, "the pattern finds no codes any more"
    assert [code for code in sorted(codes) if not explanation(code)] == []


@pytest.mark.parametrize("word", ["0", "6", "130", "drifted", "Shared Variable", "credentials"])
def test_terms_are_explained(cli, word):
    ran = cli("explain", *word.split())
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(word.lower())


def test_a_term_that_is_also_a_code_is_explained_as_both(cli):
    said = cli("explain", "conflict").out
    assert "pull --theirs NAME" in said
    assert "Ends in exit code 6" in said


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        ("pull.conflict", "pull --theirs NAME"),
        ("adopt.moved", "N must be current"),
        ("rename.unfinished", "--finish"),
        ("rollback.unpushed", "--yes overwrites it"),
        ("promote.same", "two environments with different projects"),
    ],
)
def test_explanations_of_commands_name_the_fix(cli, code, way_out):
    assert way_out in " ".join(cli("explain", code).out.split())


def test_an_unknown_code_is_a_usage_error(cli):
    ran = cli("explain", "driftd")
    assert ran.code == 2
    assert "did you mean drifted?" in ran.err


@pytest.mark.parametrize(
    ("module", "message", "extra"),
    [
        ("chdb", "the demo needs chdb, which is not installed", "local"),
        ("hogql_parser_rs", "the command line needs hogql-parser-rs, which is not installed", "cli"),
    ],
)
def test_the_demo_needs_its_packages(cli, monkeypatch, module, message, extra):
    monkeypatch.setitem(sys.modules, module, None)
    ran = cli("demo")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert install_advice(extra) in ran.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("psh", "push"),
        ("prmote", "promote"),
        ("actvate", "activate"),
        ("pusl", "pull"),
        ("ls", "list"),
        ("status", "diff"),
        ("prune", "plan --prune"),
        ("apply", "plan, then push"),
        ("versionss", "versions"),
        *((word, None) for word in ("delte", "deletee", "undelete", "remove", "rm", "destroy", "rolback", "deactivat")),
        *((word, None) for word in ("inactivate", "reactivate", "unpush", "crash", "restore", "presume")),
    ],
)
def test_suggested_commands_write_no_more_than_the_typed_one(cli, typed, meant):
    ran = cli(typed)
    assert ran.code == 2
    said = f"; did you mean {meant}?" if meant else ""
    assert ran.err.splitlines()[0] == f"error: there is no command {typed!r}{said}"


@pytest.mark.parametrize("words", [(), ("help",)])
def test_the_bare_program_prints_its_help(cli, words):
    ran = cli(*words)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == cli("--help").out


def test_help_followed_by_a_command_prints_its_help(cli):
    assert cli("help", "push") == cli("push", "--help")


def test_short_options(cli, monkeypatch):
    assert cli("-V").out == cli("--version").out == f"endpoints-gitops {__version__}\n"
    seen = []
    monkeypatch.setattr(main.load("push"), "execute", lambda given, _: seen.append(given) or Outcome(command="push"))
    assert cli("push", "-y", "-q", "-v", "--json").code == 0
    (given,) = seen
    assert (given.yes, given.quiet, given.verbose, given.format) == (True, True, True, "json")
    assert cli("list", "--json", "--nonsense").json["exit_code"] == 2, "told in JSON too"
