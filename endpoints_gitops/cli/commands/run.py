"""`run NAME` or `run --file PATH`: prints only rows on stdout; their number and notes go to stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from endpoints_gitops.cli.arguments import row_count, row_offset, version_number
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import EndpointsError, ExitCode, UsageError
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.json import Json
    from endpoints_gitops.model.pin import Pin
    from endpoints_gitops.operations.run import Assignment, RunResult, VariableShape

_ONLY_BY_NAME = ("version", "offset", "all", "key", "refresh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what to run, its variables, and the output format."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", metavar="NAME", help="an endpoint of the server, or PATH as for --file")
    what.add_argument(
        "--file",
        metavar="PATH",
        help="a definition or a .sql file to run as it is, pushed or not; - reads SQL from stdin",
    )
    parser.add_argument(
        "--var", action="append", default=[], metavar="K=V",
        help="a variable: K=TEXT, typed by the variable, or K:=JSON; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--version", type=version_number, metavar="N", help="this version (default: the pinned one, else the newest)"
    )
    parser.add_argument("--limit", type=row_count, metavar="N", help="at most N rows; with --all, N rows at a time")
    parser.add_argument("--offset", type=row_offset, metavar="N", help="skip the first N rows; needs --limit or --all")
    parser.add_argument("--all", action="store_true", help="every row, page by page")
    parser.add_argument(
        "--key", metavar="COLUMN",
        help="with --all: request each page by the last value of this column, so that new rows shift no page; "
        "needs WHERE COLUMN > {variables.NAME} and ORDER BY COLUMN in the query",
    )  # fmt: skip
    parser.add_argument(
        "--refresh", choices=["cache", "force", "direct"], metavar="force|direct",
        help="bypass the cache (same as --refresh=force); --refresh=direct also skips a materialised table",
    )  # fmt: skip
    parser.add_argument("--output", choices=["table", "json", "csv"], default="table", help="how rows are printed")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Run it and print the rows."""
    from endpoints_gitops.cli.rows import document, items
    from endpoints_gitops.operations.run import parse_assignments

    if arguments.name is not None and _is_path(arguments.name):
        arguments.file = arguments.name
    _refuse_combinations(arguments)
    assignments = parse_assignments(arguments.var)
    with CommandContext.of(arguments, console) as context:
        by_file = arguments.file is not None
        started = perf_counter()
        rows = _run_file(context, assignments) if by_file else _run_endpoint(context, assignments)
    console.show_document(document(rows, arguments.output, console.width()))
    count = len(rows.rows)
    milliseconds = (perf_counter() - started) * 1000
    noun = "result" if rows.columns is None else "row"  # of an insight, a result can be many rows of the table
    console.say(Line(f"{count} {noun}{'s' if count != 1 else ''} in {milliseconds:.0f} ms", Style.FAINT))
    console.say(*(f"note: {note}" for note in rows.notes))
    return Outcome(command="run", summary={"rows": len(rows.rows)}, items=items(rows))


def _refuse_combinations(arguments: argparse.Namespace) -> None:
    options = {option: getattr(arguments, option) for option in _ONLY_BY_NAME}
    wrong = [f"--{option}" for option, value in options.items() if value is not None and value is not False]
    if arguments.file is not None and wrong:
        fix = "remove the option; a file is run as it is, with the LIMIT of its query"
        raise UsageError(f"{' and '.join(wrong)}: only for an endpoint of the server", fix=fix, code="usage.arguments")
    if arguments.offset is not None and arguments.limit is None and not arguments.all:
        raise UsageError("--offset needs a --limit", fix="add --limit N, or --all", code="usage.arguments")
    if arguments.key is not None and not arguments.all:
        raise UsageError("--key works only with --all", fix="add --all", code="usage.arguments")
    if arguments.key is not None and arguments.offset is not None:
        raise UsageError("--key and --offset cannot be combined", fix="remove one of them", code="usage.arguments")
    if arguments.key is not None and arguments.limit == 1:
        raise UsageError("--key needs at least 2 rows at a time", fix="--limit 2 or more", code="usage.arguments")


def _run_endpoint(context: CommandContext, assignments: tuple[Assignment, ...]) -> RunResult:
    from endpoints_gitops.operations.run import RunOptions, run, run_all

    arguments, name = context.arguments, context.arguments.name
    pin = _pin(context) if arguments.version is None else None
    with context.naming(name):
        options = RunOptions(
            values=_values(context, assignments, _inputs_of_endpoint(context, assignments, pin)),
            version=pin.version if pin else arguments.version,
            limit=arguments.limit,
            offset=arguments.offset,
            refresh=arguments.refresh,
        )
        return (
            run_all(context.client, name, options, context.progress, arguments.key)
            if arguments.all
            else run(context.client, name, options)
        )


def _run_file(context: CommandContext, assignments: tuple[Assignment, ...]) -> RunResult:
    from endpoints_gitops.operations.run import inputs_of_definition, run_definition

    loaded = _loaded(context, context.arguments.file)
    values = _values(context, assignments, inputs_of_definition(loaded))
    return run_definition(context.client, loaded, values, context.arguments.limit)


def _loaded(context: CommandContext, word: str) -> LoadedDefinition:
    """The definition of a file; of a .sql file or stdin, one that has only the SQL."""
    from endpoints_gitops.operations.run import sql_file, sql_text
    from endpoints_gitops.workspace.definitions import bounding_folder, read_file

    if word == "-":
        return sql_text("stdin", _stdin())
    path = Path(word)
    folder = bounding_folder(path, context.folder) or path.parent
    return sql_file(path) if path.suffix.lower() == ".sql" else read_file(path, folder)


def _stdin() -> bytes:
    """The SQL on stdin; reads at most one byte more than a query may have."""
    from endpoints_gitops.codecs.text import LARGEST_FILE

    stream = getattr(sys.stdin, "buffer", None)
    if stream is not None:
        content: bytes = stream.read(LARGEST_FILE + 1)
        return content
    return (sys.stdin.read(LARGEST_FILE + 1) if sys.stdin else "").encode("utf-8", "surrogateescape")


def _is_path(name: str) -> bool:
    """Whether a word is the path of a file; names have neither dots nor slashes."""
    return name == "-" or name.lower().endswith((".sql", ".yaml", ".yml"))


def _values(
    context: CommandContext, assignments: tuple[Assignment, ...], inputs: Mapping[str, VariableShape]
) -> Mapping[str, Json]:
    from endpoints_gitops.operations.run import typed_values

    typed, notes = typed_values(assignments, inputs)
    context.console.say(*(f"note: {note}" for note in notes))
    return typed


def _pin(context: CommandContext) -> Pin | None:
    """The pin of the endpoint, None if there is none; a note on stderr says which version runs."""
    from endpoints_gitops.workspace.configuration import lock_path
    from endpoints_gitops.workspace.manifest import read_lock_file

    name, environment = context.arguments.name, context.environment.name
    lock = read_lock_file(lock_path(context.configuration))
    if lock is None:
        return None
    pin = lock.pin(name, environment)
    if pin is None:
        context.console.say(f"note: endpoints.lock does not pin {name} in {environment}: running its newest version")
    else:
        context.console.say(f"note: running {pin.label}, as pinned in endpoints.lock; --version N runs another")
    return pin


def _inputs_of_endpoint(
    context: CommandContext, assignments: tuple[Assignment, ...], pin: Pin | None
) -> Mapping[str, VariableShape]:
    """The types of the variables, from the pin, the definition or the server; not read unless a value is text."""
    from endpoints_gitops.operations.run import inputs_of_definition, inputs_of_document, inputs_of_pin

    texts = {assignment.name for assignment in assignments if assignment.text is not None}
    inputs = inputs_of_pin(pin) if pin else {}
    if not texts <= inputs.keys() and (loaded := context.definition_of(context.arguments.name)):
        inputs = {**inputs_of_definition(loaded), **inputs}
    if texts <= inputs.keys():
        return inputs
    try:
        version = pin.version if pin else context.arguments.version
        document = context.client.openapi(context.arguments.name, version=version)
    except EndpointsError as error:
        if error.exit_code != ExitCode.CREDENTIALS:
            raise
        context.console.say("note: this key may not read the types of variables; values are sent as text")
        return inputs
    return {**inputs_of_document(document), **inputs}
