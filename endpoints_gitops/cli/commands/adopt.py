"""`adopt NAME…`: record in the definition which version of the server it replaces, for review and the next push."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from endpoints_gitops.cli import differences
from endpoints_gitops.cli.arguments import version_number
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError, worst
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.operations.adopt import Adopted, adopt
from endpoints_gitops.operations.compare import compare, require_files
from endpoints_gitops.plan.diff import EndpointDiff


def configure(parser: argparse.ArgumentParser) -> None:
    """Which definitions, and perhaps which version was reviewed."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="the endpoints")
    parser.add_argument(
        "--version", type=version_number, metavar="N", help="only while this version is current; for one endpoint"
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show the differences, and write `supersedes` into the files. Only reads from the server."""
    if arguments.version is not None and len(set(arguments.names)) > 1:
        raise UsageError("--version works with one endpoint", fix="name a single endpoint", code="usage.arguments")
    with CommandContext.of(arguments, console) as context:
        comparison = compare(context.project, context.definitions, arguments.names)
        require_files(arguments.names, comparison)
        if not comparison.diffs:
            message = f"{', '.join(arguments.names)} is outside of what this configuration manages"
            raise UsageError(message, fix="change `manage` in the configuration", code="usage.selector")
        done = adopt(comparison.diffs, context.folder, version=arguments.version)
    for adopted in done:
        console.show(_lines(adopted))
    if any(adopted.version for adopted in done):
        console.say("commit the files; the next push replaces exactly these versions")
    errors = tuple(adopted.error for adopted in done if adopted.error)
    return Outcome(
        command="adopt",
        exit_code=worst(*(ExitCode(error.exit_code) for error in errors)),
        summary={"adopted": sum(adopted.version is not None for adopted in done), "failed": len(errors)},
        items=tuple(map(_item, done)),
        errors=tuple(failure for error in errors for failure in failures_of(error)),
    )


def _lines(adopted: Adopted) -> Iterator[Line | str]:
    yield from _differences(adopted.diff)
    if adopted.version is not None and adopted.diff.loaded is not None:
        yield Line(f"{adopted.name}: supersedes version {adopted.version}, in {adopted.diff.loaded.path}", Style.GOOD)
    elif adopted.error is None:
        yield f"{adopted.name}: file and server agree; nothing to adopt"


def _differences(diff: EndpointDiff) -> Iterator[Line | str]:
    """What the next push replaces: the value of the server first, then that of the file."""
    place = differences.Place(path=diff.loaded.path if diff.loaded else diff.name)
    for difference in diff.differences:
        yield f"{diff.name}: {difference.key}"
        for line in differences.lines(
            difference.key, difference.remote, difference.local, version=diff.version, place=place
        ):
            text, style = (line.text, line.style) if isinstance(line, Line) else (line, Style.PLAIN)
            yield Line(f"    {text}", style)


def _item(adopted: Adopted) -> JsonObject:
    loaded = adopted.diff.loaded
    return {
        "name": adopted.name,
        "state": "failed" if adopted.error else "adopted" if adopted.version else "unchanged",
        "supersedes": adopted.version,
        "path": loaded.path if loaded else None,
        "differences": [str(difference.key) for difference in adopted.diff.differences],
        "error": str(adopted.error) if adopted.error else None,
    }
