"""Parse the command line, run one command, and turn its outcome into output and an exit code."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn, Protocol, TypedDict, cast

from endpoints_gitops import __version__
from endpoints_gitops.advice import PROGRAM, Options
from endpoints_gitops.cli.arguments import seconds
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.registry import (
    COMMANDS,
    EDITING,
    FOLDER_OF_CONFIGURATION,
    FOLDER_OPTION,
    GROUPS,
    REPORTING,
    Entry,
)
from endpoints_gitops.cli.reports import Reports, formats
from endpoints_gitops.cli.reports import configure as configure_reports
from endpoints_gitops.errors import EndpointsError, ExitCode, Interrupted, MissingExtra, UsageError, worst
from endpoints_gitops.extras import require
from endpoints_gitops.model.outcome import ErrorEntry, Outcome, failed
from endpoints_gitops.model.printable import printable
from endpoints_gitops.model.suggestions import closest
from endpoints_gitops.workspace.plugins import installed

if TYPE_CHECKING:
    from endpoints_gitops.operations.project import Clock

# Options whose value can be left away take it behind `=` alone, so that the word behind them stays a word.
_BARE = {"--overwrite": "--overwrite=", "--wait": "--wait=", "--refresh": "--refresh=force"}
# What people type who know other tools, and what says or does it here. Nothing here writes more than they asked for.
_OTHER_WORDS = {
    "apply": "plan, then push",
    "codegen": "generate",
    "deploy": "plan, then push",
    "describe": "get",
    "fetch": "pull",
    "info": "auth status",
    "lint": "check",
    "login": "auth status",
    "ls": "list",
    "preview": "plan",
    "prune": "plan --prune",
    "revert": "versions",
    "server": "serve",
    "show": "get",
    "status": "diff",
    "sync": "diff",
    "validate": "check",
    "verify": "lock --verify",
    "whoami": "auth status",
}
_OTHER_OPTIONS = {
    ("push", "--dry-run"): "plan",
    ("push", "--check"): "plan --detailed-exitcode",
    ("promote", "--dry-run"): "diff",
    ("lock", "--dry-run"): "lock --check",
    ("generate", "--dry-run"): "generate --check",
    ("upgrade", "--dry-run"): "outdated",
}
# Of these, the first are suggested only where a key slipped, and the others never.
_WRITING = frozenset({"activate", "promote", "push", "rename", "resume"})
_DESTRUCTIVE = frozenset({"deactivate", "delete", "retire", "rollback"})


class _Spelling(TypedDict):
    formatter_class: type[argparse.HelpFormatter]
    allow_abbrev: bool


_SPELLING: _Spelling = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}


class CommandModule(Protocol):
    """The interface of every module in `cli/commands`."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def execute(self, arguments: argparse.Namespace, console: Console) -> Outcome:
        """Run the command, print results through the console, and return the outcome."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, fix=f"{self.prog} --help", code="usage.arguments")


class _Commands(_Parser):
    """The parser of the program, whose help groups the commands by purpose."""

    def format_help(self) -> str:
        width = max(map(len, COMMANDS)) + 2
        lines = [f"usage: {PROGRAM} COMMAND [OPTION…]", "", str(self.description)]
        for title, group in GROUPS.items():
            lines += ["", f"{title}:", *(f"  {name:{width}}{entry.summary}" for name, entry in group.items())]
        lines += ["", f"`{PROGRAM} COMMAND --help` shows the options of a command, `{PROGRAM} --version` the release."]
        return "\n".join(lines) + "\n"


def run(words: Sequence[str], *, clock: Clock | None = None) -> int:
    """Run one command from its words. Returns an exit code and never raises. `clock` is by default that of the
    machine."""
    words = _as_help(words)
    name = words[0] if words and not words[0].startswith("-") else ""
    console = Console.of_process(format=_format(name, words))
    reports = Reports(name, words)
    try:
        require("cli", "the command line")
        _refuse_what_no_name_holds(words)
        _refuse_options_alone(words)
        arguments = _parsed(name, words)
        console = Console.of_process(format=arguments.format, quiet=arguments.quiet, verbose=arguments.verbose)
        console = replace(console, repeated=_options_to_repeat(arguments), redaction=installed().redaction, clock=clock)
        if reports.mistake:
            raise reports.mistake
        with _editing(arguments, console):
            outcome = load(arguments.command).execute(arguments, console)
    except SystemExit as done:  # argparse, which has printed the help
        return int(done.code or 0)
    except MissingExtra as error:
        if error.extra == "cli":  # the colours of this error are one of its packages
            console = replace(console, environment={**console.environment, "NO_COLOR": "1"})
        outcome = failed(name, error)
    except EndpointsError as error:
        outcome = failed(name, error)
    except KeyboardInterrupt as error:
        outcome = _interrupted(name, error)
    except RecursionError:
        outcome = failed(name, UsageError("the input is nested too deeply"))
    except OSError as error:
        outcome = failed(name, _refused_by_system(error))
    except Exception as error:  # the interpreter would exit with 1, which is the code of findings
        outcome = failed(name, console.defect(error))
    return _finished(console, outcome, reports)


@contextmanager
def _editing(arguments: argparse.Namespace, console: Console) -> Iterator[None]:
    """Run commands that rewrite files of a checkout one after the other, so that each reads what the last one wrote."""
    only_reads = any(getattr(arguments, option, False) for option in ("check", "verify", "dry_run"))
    topic = getattr(arguments, "topic", None)
    only_reads |= topic == "who" or (topic == "combine" and arguments.out is None)
    if arguments.command not in EDITING or only_reads:
        yield
        return
    from endpoints_gitops.cli.context import CommandContext
    from endpoints_gitops.workspace.files import remove_leftovers
    from endpoints_gitops.workspace.state import editing

    context = CommandContext.of(arguments, console)
    is_about_manifest = arguments.command in ("approve", "init", "lock", "upgrade", "consumers", "generate", "openapi")
    folder = context.configuration.folder if is_about_manifest else context.folder

    def waiting() -> None:
        console.say("waiting for another command that is rewriting files of this checkout")

    with editing(console.environment, folder, wait_seconds=arguments.max_wait, waiting=waiting):
        with suppress(OSError):  # a folder that is not there yet has none
            remove_leftovers(folder)
        yield


def load(name: str) -> CommandModule:
    """The module of one command."""
    return cast("CommandModule", importlib.import_module(COMMANDS[name].module))


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole program, for completion: every command is imported for it."""
    parser = _program()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, entry in COMMANDS.items():
        _furnish(commands.add_parser(name, help=entry.summary, **_SPELLING), name)
    return parser


def _parsed(name: str, words: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command, importing only its module. Names and options may be mixed."""
    if not name:
        return _program().parse_args(words)
    if name not in COMMANDS:
        _refuse_unknown(name)
    _refuse_other_options(name, words)
    parser = _Parser(prog=f"{PROGRAM} {name}", **_SPELLING)
    _furnish(parser, name)
    _refuse_dashes(words)
    spelled = [_BARE.get(word, word) for word in words[1:]]
    try:
        return parser.parse_intermixed_args(spelled)
    except TypeError:  # argparse cannot, where a name stands in place of an option or a command has commands of its own
        return parser.parse_args(spelled)


def _refuse_dashes(words: Sequence[str]) -> None:
    """Raise UsageError for `--option=--`, which argparse would take for the end of the options."""
    for word in words[: words.index("--") if "--" in words else None]:
        option, _, value = word.partition("=")
        if option.startswith("-") and value == "--":
            raise UsageError(f"{option}: `--` is not a value", code="usage.arguments")


def _program() -> argparse.ArgumentParser:
    parser = _Commands(prog=PROGRAM, description="PostHog Endpoints as code.", **_SPELLING)
    parser.add_argument("-V", "--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def _furnish(parser: argparse.ArgumentParser, name: str) -> None:
    entry = COMMANDS[name]
    parser.description = f"{entry.summary[0].upper()}{entry.summary[1:]}."
    parser.set_defaults(command=name)
    load(name).configure(parser)
    parser.epilog = "\n\n".join(filter(None, (_examples(name, entry), parser.epilog)))
    if name in REPORTING:
        configure_reports(parser)
    _add_common(parser, formats(name), folder=FOLDER_OPTION.get(name, FOLDER_OF_CONFIGURATION))


def _examples(name: str, entry: Entry) -> str:
    lines = (f"  {PROGRAM} {name} {example}".rstrip() for example in entry.examples)
    return "\n".join(["for example:", *lines])


def _add_common(parser: argparse.ArgumentParser, formats: Sequence[str], *, folder: str) -> None:
    common = parser.add_argument_group("options of every command")
    common.add_argument("--dir", metavar="PATH", help=folder)
    common.add_argument(
        "--config",
        metavar="PATH",
        help="configuration file (default: the nearest one to the folder in --dir, else to this folder)",
    )
    common.add_argument("--env", metavar="NAME", help="the environment to work on")
    common.add_argument("--format", choices=formats, default="text", help="format of stdout (default: text)")
    common.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    common.add_argument("-q", "--quiet", action="store_true", help="no progress and no messages on stderr")
    common.add_argument("-v", "--verbose", action="store_true", help="show each request on stderr, with the key masked")
    common.add_argument("-y", "--yes", action="store_true", help="answer yes to every question")
    common.add_argument(
        "--max-wait",
        metavar="SECONDS",
        type=seconds,
        default=60.0,
        help="give up retrying after this long (default: 60)",
    )
    common.add_argument(
        "--read-timeout",
        metavar="SECONDS",
        type=seconds,
        default=60.0,
        help="wait this long for one response before retrying (default: 60)",
    )


def _as_help(words: Sequence[str]) -> Sequence[str]:
    """The words with `--help` in place of nothing and of `help`."""
    if not words or list(words) == ["help"]:
        return ["--help"]
    return [*words[1:], "--help"] if words[0] == "help" else words


def _options_to_repeat(arguments: argparse.Namespace) -> Options:
    """The options that other commands need to work on the same environment and checkout."""
    given = {"--config": arguments.config, "--env": arguments.env, "--dir": arguments.dir}
    return {option: value for option, value in given.items() if value is not None}


def _refuse_unknown(name: str) -> NoReturn:
    if name == "version":
        raise UsageError("there is no command 'version'", fix=f"{PROGRAM} --version", code="usage.command")
    meant = _OTHER_WORDS.get(name) or _near(name)
    suggestion = f"; did you mean {meant}?" if meant else ""
    raise UsageError(f"there is no command {name!r}{suggestion}", fix=f"{PROGRAM} --help", code="usage.command")


def _near(name: str) -> str | None:
    """The command that was probably meant; of two, the one that writes less."""
    begun_alike = [command for command in _WRITING if command[0] == name[:1]]
    return closest(name, COMMANDS.keys() - _DESTRUCTIVE - _WRITING, likeness=0.7, completes=False) or closest(
        name, begun_alike, likeness=0.85, completes=False
    )


def _refuse_other_options(name: str, words: Sequence[str]) -> None:
    for word in words:
        if other := _OTHER_OPTIONS.get((name, word)):
            raise UsageError(f"{name} has no {word}", fix=f"{PROGRAM} {other}", code="usage.arguments")


def _refuse_what_no_name_holds(words: Sequence[str]) -> None:
    """Raise UsageError for a NUL or half of a surrogate pair: no file, endpoint or value can have them."""
    for word in words:
        if "\0" in word or any("\ud800" <= character < "\udc80" for character in word):
            message = f"the argument '{printable(word)}' contains a character that names and values cannot contain"
            raise UsageError(message, fix="remove it", code="usage.arguments")


def _refuse_options_alone(words: Sequence[str]) -> None:
    """Raise UsageError for options without a command, for which argparse would name the wrong word."""
    first = words[0]
    if first.startswith("-") and first not in {"-h", "--help", "-V", "--version"}:
        fix = f"write {PROGRAM} COMMAND [OPTION…]; {PROGRAM} --help lists the commands"
        raise UsageError("a command is missing before the options", fix=fix, code="usage.command")


def _format(command: str, words: Sequence[str]) -> str:
    """The format of stdout; known before parsing, so that mistakes on the command line are reported in it too."""
    stated = [word.removeprefix("--format=") for word in words if word.startswith("--format=")]
    stated += [value for option, value in pairwise(words) if option == "--format"]
    if "--json" in words or "json" in stated:
        return "json"
    return next((value for value in stated if value in formats(command)), "text")


def _refused_by_system(error: OSError) -> UsageError:
    where = error.filename if isinstance(error.filename, str) else None
    return UsageError(f"system error: {error.strerror or error}", where=where, code="system")


def _finished(console: Console, outcome: Outcome, reports: Reports) -> int:
    """Write the reports, and print the outcome. Output that cannot be written, as on a full disk, is an error."""
    try:
        return reports.finish(outcome, console)
    except OSError as error:
        console.warn(Line(f"error: cannot write the output: {error.strerror or error}", Style.BAD))
        return int(worst(outcome.exit_code, ExitCode.USAGE))


def _interrupted(name: str, error: KeyboardInterrupt) -> Outcome:
    message, fix = (error.message, error.fix) if isinstance(error, Interrupted) else ("interrupted", None)
    failure = ErrorEntry(code="interrupted", message=message, fix=fix)
    return Outcome(command=name, exit_code=ExitCode.INTERRUPTED, errors=(failure,))
