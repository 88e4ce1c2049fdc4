"""Where output goes, who is asked, and that text from elsewhere cannot move the cursor."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, OutputFormat, Style, progress_on
from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.printable import printable, printable_json
from endpoints_gitops.operations.project import Silence

WAYS_OUT = Advice(
    Command("pull", "--theirs", "a"),
    " takes it; ",
    Command("adopt", "a"),
    ", or ",
    Command("list", "--env", "own"),
    ", helps; ",
    Command("auth", "status"),
)
NASTY = "a\x1b[2J\x07\u202eb\x9bc\u2028d\ud800"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(stream: type[io.StringIO] = io.StringIO, environment: dict[str, str] | None = None, **more) -> Console:
    return Console(stdout=stream(), stderr=stream(), environment=environment or {}, **more)


def said(of: Console) -> tuple[str, str]:
    return of.stdout.getvalue(), of.stderr.getvalue()


@pytest.mark.parametrize(
    ("settings", "out", "err"),
    [
        ({}, "result\ndocument", "prose\nwarning\n"),
        ({"verbose": True}, "result\ndocument", "prose\nwarning\nGET /\n"),
        ({"quiet": True}, "result\ndocument", "warning\n"),
        ({"format": OutputFormat.JSON}, "", "prose\nwarning\n"),
    ],
)
def test_results_go_to_stdout_and_messages_to_stderr(settings, out, err):
    made = console(**settings)
    made.show(["result"])
    made.show_document("document")
    made.say("prose")
    made.warn("warning")
    made.trace("GET /")
    assert said(made) == (out, err)


def test_finish_prints_errors_as_text_and_json():
    failure = ErrorEntry(code="usage", message="it broke", where="a.yaml:3", fix="mend it")
    outcome = Outcome(command="list", exit_code=ExitCode.USAGE, errors=(failure,))
    made = console(format=OutputFormat.JSON)
    assert made.finish(outcome) == 2
    out, err = said(made)
    assert json.loads(out) == outcome.as_json()
    assert err == "error: a.yaml:3: it broke\n  fix: mend it\n"


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour(environment, coloured):
    made = console(Screen, environment)
    made.show([Line("fine", Style.GOOD)])
    assert (said(made)[0] != "fine\n") is coloured
    assert "fine" in said(made)[0]


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
@pytest.mark.parametrize("stream", [io.StringIO, Screen])
def test_control_characters_are_escaped(stream, environment):
    made = console(stream, environment, verbose=True)
    made.show([NASTY, Line(NASTY, Style.BAD)])
    made.say(NASTY)
    made.trace(NASTY)
    made.finish(Outcome(command="x", errors=(ErrorEntry(code="c", message=NASTY, where=NASTY, fix=NASTY),)))
    for text in said(made):
        assert not {"\x07", "\x9b", "\u202e", "\u2028", "\ud800"} & set(text)
        assert "\x1b[2J" not in text


def test_documents_are_escaped_only_on_a_terminal():
    screen, pipe = console(Screen), console()
    screen.show_document(f"{NASTY}\r\n")
    pipe.show_document(f"{NASTY}\r\n")
    assert said(screen)[0] == printable(NASTY) + "\n"
    assert said(pipe)[0] == f"{NASTY}\r\n"


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_is_escaped_and_keeps_its_value(value):
    document = printable_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert printable(document) == document


@pytest.mark.parametrize(("answer", "meant"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False)])
def test_confirm_asks_at_a_terminal(monkeypatch, answer, meant):
    monkeypatch.setattr(sys, "stdin", Screen(answer))
    made = console(Screen)
    assert made.confirm("Really?", yes=False) is meant
    assert said(made) == ("", "Really? [y/N] ")


def test_confirm_fails_without_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    made = console(Screen)
    assert made.confirm("Really?", yes=True)
    with pytest.raises(UsageError, match="stdin is not a terminal"):
        made.confirm("Really?", yes=False)
    assert made.ask_for("Name?") == ""
    assert said(made) == ("", "")


def test_characters_outside_of_the_encoding_are_escaped(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    Console.of_process().show(["∅ café"])
    assert narrow.buffer.getvalue() == b"\\u2205 caf\\xe9\n"


def told(made: Console, total: int) -> str:
    progress = progress_on(made)
    progress.started("writing", total)
    progress.advanced("a", NASTY)
    progress.advanced("b", "done")
    progress.finished()
    return said(made)[1]


@pytest.mark.parametrize(
    ("total", "lines"),
    [
        (2, ["writing: 2", f"  [1/2] a: {printable(NASTY)}", "  [2/2] b: done"]),
        (0, ["writing", f"  [1] a: {printable(NASTY)}", "  [2] b: done"]),
    ],
)
@pytest.mark.parametrize(("stream", "environment"), [(io.StringIO, {}), (Screen, {"NO_COLOR": "1"})])
def test_progress_in_plain_lines(stream, environment, total, lines):
    assert told(console(stream, environment), total).splitlines() == lines


@pytest.mark.parametrize("total", [2, 0])
def test_progress_on_a_terminal_is_a_transient_bar(total):
    text = told(console(Screen, {"TERM": "xterm"}), total)
    assert text
    assert "\x07" not in text
    assert "\u202e" not in text


def test_quiet_hides_progress():
    assert isinstance(progress_on(console(quiet=True)), Silence)


@pytest.mark.parametrize(
    ("options", "commands"),
    [
        ({}, ["pull --theirs a", "adopt a", "list --env own", "auth status"]),
        (
            {"--env": "eu west"},
            [
                "pull --theirs a --env 'eu west'",
                "adopt a --env 'eu west'",
                "list --env own",
                "auth status --env 'eu west'",
            ],
        ),
        ({"--dir": "a\\1"}, ["pull --theirs a --dir 'a\\1'", "adopt a --dir 'a\\1'", "list --env own --dir 'a\\1'"]),
    ],
)
def test_commands_in_advice_repeat_the_options(options, commands):
    told = console(repeated=options)
    told.finish(Outcome(command="push", errors=(ErrorEntry(code="x", message="endpoints-gitops pull", fix=WAYS_OUT),)))
    assert all(f"endpoints-gitops {command}" in told.stderr.getvalue() for command in commands)
    assert "error: endpoints-gitops pull\n" in told.stderr.getvalue(), "a message is no command"
    machine = console(repeated=options, format=OutputFormat.JSON)
    machine.finish(Outcome(command="plan", items=({"left": [{"key": "query", "fix": WAYS_OUT}]},)))
    fix = json.loads(machine.stdout.getvalue())["items"][0]["left"][0]["fix"]
    assert all(f"endpoints-gitops {command}" in fix for command in commands)


@pytest.mark.parametrize("name", ["FORCE_COLOR", "CLICOLOR_FORCE"])
@pytest.mark.parametrize(
    ("more", "value", "coloured"),
    [
        ({}, "1", True),
        ({"TERM": "dumb"}, "1", True),
        ({}, "0", False),
        ({}, "", False),
        ({"NO_COLOR": "1"}, "1", False),
    ],
)
def test_colour_can_be_forced_without_a_terminal(name, value, more, coloured):
    made = console(io.StringIO, {name: value, **more})
    made.show([Line("fine", Style.GOOD)])
    assert (said(made)[0] != "fine\n") is coloured
    assert ("\x1b[" in said(made)[0]) is coloured
    progress = told(made, 2)
    assert "[1/2]" in progress, "no bar, which moves the cursor"
    assert not re.search("\x1b\\[[^m]*[A-Za-ln-z]", progress)


@pytest.mark.parametrize(("columns", "width"), [("40", 40), ("0", None), ("x", None), ("", None)])
def test_the_width_of_a_terminal(columns, width):
    assert console(Screen, {"COLUMNS": columns}).width() == width
    assert console(io.StringIO, {"COLUMNS": "40"}).width() is None, "a file is as wide as it has to be"
