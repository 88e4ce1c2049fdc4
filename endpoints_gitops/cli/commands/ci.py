"""`ci COMMAND`: run a command in GitHub Actions or GitLab CI, and put its result where people look."""

from __future__ import annotations

import argparse
import io
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from endpoints_gitops.advice import PROGRAM, Advice, Command
from endpoints_gitops.cli.console import Console, Line, OutputFormat, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.registry import REPORTING
from endpoints_gitops.errors import CredentialsError, EndpointsError, ExitCode, UsageError, worst
from endpoints_gitops.model.finding import Severity
from endpoints_gitops.model.json import Json
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.ci import BOT, CommentState, is_github, keep_comment, merged_into, pull_request
from endpoints_gitops.workspace.base import DEFAULT_BRANCH

if TYPE_CHECKING:
    from endpoints_gitops.operations.ci import CommentResult

_COMMANDS: Final = ("review", "gate", "push", "diff")
_OFFLINE: Final = frozenset(("review", "gate"))
"""The commands that can judge files and lock without a server."""
_MOST_SUMMARY: Final = 500_000
"""Characters of the job summary that one command takes; GitHub accepts 1 MiB."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command, the ref, the key's absence, the comment, and the plan's file."""
    parser.add_argument("ci_command", metavar="COMMAND", choices=_COMMANDS, help=", ".join(_COMMANDS))
    parser.add_argument("words", metavar="ARGUMENT", nargs="*", help="arguments of COMMAND, after `--`")
    parser.add_argument("--args", metavar="TEXT", default="", help="the same as one text, split as a shell splits it")
    parser.add_argument(
        "--against",
        metavar="REF",
        help="for review and gate (default: the branch that the pull request is merged into; for review also outside "
        "of one the default branch)",
    )
    parser.add_argument(
        "--offline", action="store_true", help="judge files and lock alone, which happens anyway where there is no key"
    )
    parser.add_argument("--no-comment", action="store_true", help="do not comment on the pull request")
    parser.add_argument(
        "--comment-author", metavar="LOGIN", default=BOT, help=f"the account of GITHUB_TOKEN (default: {BOT})"
    )
    parser.add_argument("--plan-out", metavar="FILE", help="where push saves the plan that it applies")
    parser.epilog = (
        "The report goes to the job summary, to annotations, and into one comment of the pull request, which later "
        "runs update (GITHUB_TOKEN, `permissions: pull-requests: write`). push saves a plan and applies exactly that."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Run the command. Its exit code is this one's, whether or not the comment could be written."""
    command = arguments.ci_command
    _refuse_without_effect(arguments)
    words = [*_common(arguments), *arguments.words, *_split(arguments.args)]
    with tempfile.TemporaryDirectory(prefix="endpoints-gitops-") as name:
        folder = Path(name)
        if command == "push":
            return _push(arguments, words, folder, console)
        if command in _OFFLINE:
            words = [*_judging(arguments, console), *words]
        reports = {name: folder / name for name in ("markdown", "github")} if command in REPORTING else {}
        code, text = _run([command, *words, *(f"--report={name}={path}" for name, path in reports.items())], console)
        markdown = _text_of(reports.get("markdown")) or _output_of(command, text)
        _annotate(_text_of(reports.get("github")), console)
    _summarize(markdown, console)
    comment = None if arguments.no_comment or command not in REPORTING else _comment(markdown, arguments, console)
    return _outcome(command, code, comment)


def _refuse_without_effect(arguments: argparse.Namespace) -> None:
    """Raise UsageError for an option that the command has no use for."""
    command = arguments.ci_command
    judging = {"--against": arguments.against is not None, "--offline": arguments.offline}
    useless = [option for option, is_given in judging.items() if is_given and command not in _OFFLINE]
    useless += ["--plan-out"] if arguments.plan_out is not None and command != "push" else []
    if useless:
        message = f"{' and '.join(useless)} has no effect on ci {command}"
        raise UsageError(message, fix=Advice(Command("ci", command)), code="usage.arguments")


def _push(arguments: argparse.Namespace, words: Sequence[str], folder: Path, console: Console) -> Outcome:
    """Save a plan, and apply it. Both are shown; where no plan could be made, nothing is written."""
    plan = Path(arguments.plan_out) if arguments.plan_out else folder / "plan.json"
    plan.unlink(missing_ok=True)
    planned, text = _run(["plan", *words, f"--out={plan}"], console)
    _summarize(_output_of("plan", text), console)
    if not plan.is_file():
        return _outcome("push", planned, None)
    agreed = ["--yes"] if arguments.yes or console.environment.get("CI") else []
    pushed, text = _run(["push", *_common(arguments), f"--plan={plan}", *agreed], console)
    _summarize(_output_of("push", text), console)
    return _outcome("push", worst(ExitCode(planned), ExitCode(pushed)), None)


def _outcome(command: str, code: int, comment: CommentResult | None) -> Outcome:
    item: dict[str, Json] = {"command": command, "exit_code": code}
    if comment is not None:
        item |= {"comment": comment.state.value, "comment_url": comment.url, "reason": comment.reason}
    return Outcome(command="ci", exit_code=ExitCode(code), items=(item,))


def _split(text: str) -> list[str]:
    """The words of a text. Raises UsageError for a quote that does not end."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--args cannot be split: {error}", code="usage.arguments") from error


def _common(arguments: argparse.Namespace) -> Iterator[str]:
    """The options of every command, to be passed on."""
    for option in ("dir", "config", "env", "max_wait", "read_timeout"):
        value = getattr(arguments, option)
        if value is not None:
            yield f"--{option.replace('_', '-')}={value}"
    yield from (f"--{option}" for option in ("quiet", "verbose") if getattr(arguments, option))


def _judging(arguments: argparse.Namespace, console: Console) -> Iterator[str]:
    """The base, and --offline where there is no key: in a pull request of a fork there is none."""
    against = arguments.against or merged_into(console.environment)
    if against is None and arguments.ci_command == "review":
        against = DEFAULT_BRANCH
    if against is not None:
        yield f"--against={against}"
    if arguments.offline:
        yield "--offline"
    elif _has_no_key(arguments, console):
        _notice("there is no key, so the server was not asked: judged offline", console)
        yield "--offline"


def _has_no_key(arguments: argparse.Namespace, console: Console) -> bool:
    """Whether there is no key at all. What is wrong with one, or with the configuration, the command itself reports."""
    try:
        with CommandContext.of(arguments, console) as context:
            _ = context.access
    except CredentialsError as error:
        return error.code == "credentials.missing"
    except EndpointsError:
        return False
    return False


def _run(words: Sequence[str], console: Console) -> tuple[int, str]:
    """The exit code of a command and what it printed on stdout, which is also shown unless the format is JSON. Where it
    printed nothing there, what it printed on stderr: why it failed.
    """
    from endpoints_gitops.cli.main import run

    output = _Copied(console.stdout if console.format is OutputFormat.TEXT else io.StringIO())
    messages = _Copied(console.stderr)
    with redirect_stdout(output), redirect_stderr(messages):
        code = run(words, clock=console.clock)
    return code, output.copy.getvalue() or messages.copy.getvalue()


class _Copied(io.TextIOBase):
    """Writes on a stream, and keeps a copy."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.copy = io.StringIO()

    def write(self, text: str) -> int:
        self.stream.write(text)
        return self.copy.write(text)

    def flush(self) -> None:
        self.stream.flush()


def _write(console: Console, text: str) -> None:
    console.stdout.write(text)
    console.stdout.flush()


def _text_of(path: Path | None) -> str:
    """The text of a report; empty where the command did not get as far as writing it."""
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""


def _output_of(command: str, text: str) -> str:
    """The output of a command as a block of code."""
    from endpoints_gitops.reports.markdown import fenced

    shown = text.rstrip() or "(no output)"
    left_out = len(shown) - _MOST_SUMMARY
    if left_out > 0:
        shown = f"{shown[:_MOST_SUMMARY]}\n… {left_out:,} more characters are in the log"
    return f"### {command}\n\n{fenced(shown, 'text')}\n"


def _annotate(annotations: str, console: Console) -> None:
    """Print the workflow commands of a report, which only GitHub reads."""
    if annotations and is_github(console.environment) and console.format is OutputFormat.TEXT:
        _write(console, annotations if annotations.endswith("\n") else f"{annotations}\n")


def _summarize(markdown: str, console: Console) -> None:
    """Append to the job summary, where there is one."""
    path = console.environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{markdown}\n")
    except OSError as error:
        _notice(f"the job summary cannot be written: {error.strerror or error}", console)


def _comment(markdown: str, arguments: argparse.Namespace, console: Console) -> CommentResult | None:
    """Comment on the pull request; None where the run is about none. A refusal is a warning: the summary has it all."""
    request = pull_request(console.environment)
    if request is None:
        return None
    if request.token is not None:
        console.secrets.add(request.token)
    result = keep_comment(request, markdown, author=arguments.comment_author)
    if result.state is CommentState.REFUSED:
        fix = f"; {result.fix}" if result.fix else ""
        message = f"no comment: {result.reason}{fix}. The report is in the job summary."
        _notice(message, console)
    else:
        console.say(f"comment {result.state}: {result.url}")
    return result


def _notice(message: str, console: Console) -> None:
    """Print a warning, which GitHub shows on the page of the run too."""
    if not is_github(console.environment) or console.format is not OutputFormat.TEXT:
        console.warn(Line(message, Style.WARN))
        return
    from endpoints_gitops.reports.github import workflow_command

    _write(console, f"{workflow_command(Severity.WARN, {'title': PROGRAM}, console.redacted(message))}\n")
