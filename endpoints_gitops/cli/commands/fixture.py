"""`fixture new NAME`: write rows that hit and miss each condition of a query, as tables for `serve --data`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.arguments import clock_time
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.model.suggestions import did_you_mean

if TYPE_CHECKING:
    from endpoints_gitops.local.fixtures import Fixture
    from endpoints_gitops.model.definition import LoadedDefinition

_TABLES: Final = ("events.jsonl", "persons.jsonl")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb, the definition, the values of its variables, and where the rows go."""
    parser.add_argument("verb", choices=["new"], help="write a new fixture")
    parser.add_argument("name", metavar="NAME", help="a definition in the definitions folder")
    parser.add_argument(
        "--var", action="append", default=[], metavar="K=V",
        help="a variable: K=TEXT, typed by the variable, or K:=JSON; may be repeated "
        "(default: the definition's default, else that of its first example)",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="where to write (default: fixtures/NAME)")
    parser.add_argument(
        "--now", type=clock_time, metavar="TIME", help="what now() is (default: the start of this hour)"
    )
    parser.epilog = (
        "The query runs on the local engine, over rows with values near the constants of its conditions. A condition "
        "without a hit or without a miss is named, and the exit code is 4. No request is made."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Find the rows, write them, and name what is not understood."""
    require("local", "a fixture")
    from endpoints_gitops.local.fixtures import make_fixture

    with CommandContext.of(arguments, console) as context:
        loaded = _definition(context)
        sql = _bound(loaded, arguments.var, console)
        now = arguments.now or context.now.replace(minute=0, second=0, microsecond=0)
        fixture = make_fixture(sql, now)
    folder = arguments.out or Path("fixtures", loaded.name)
    if fixture.rows:
        _write(folder, fixture, console, yes=arguments.yes)
    console.show([Line(f"{row.label}", Style.FAINT if row.misses else Style.GOOD) for row in fixture.rows])
    if fixture.rows:
        when = ("--now", f"{now:%Y-%m-%dT%H:%M:%SZ}") if fixture.is_timed else ()
        console.say(
            f"{len(fixture.rows)} rows in {folder}", Advice("  ", Command("serve", "--data", str(folder), *when))
        )
    errors = tuple(
        ErrorEntry(
            code="fixture.unknown",
            message=f"{unknown.clause.upper()} {unknown.text}: {unknown.reason}",
            where=loaded.where("query"),
        )
        for unknown in fixture.unknown
    )
    return Outcome(
        command="fixture",
        exit_code=ExitCode.COULD_NOT_FIND_OUT if errors else ExitCode.DONE,
        summary={"rows": len(fixture.rows), "unknown": len(errors)},
        items=tuple({"label": row.label, "misses": list(row.misses)} for row in fixture.rows),
        errors=errors,
    )


def _definition(context: CommandContext) -> LoadedDefinition:
    name = context.arguments.name
    definitions = {loaded.name: loaded for loaded in context.definitions}
    if name not in definitions:
        message = f"no definition in {context.folder} is called {name!r}{did_you_mean(name, definitions)}"
        raise UsageError(message, fix=Advice(Command("list"), " shows the names of the server"), code="fixture.name")
    loaded = definitions[name]
    if loaded.sql is None:
        message = f"{name} is an insight: only the conditions of HogQL are understood"
        raise UsageError(message, where=loaded.where("query_definition"), code="fixture.insight")
    return loaded


def _bound(loaded: LoadedDefinition, words: list[str], console: Console) -> str:
    """The text of the query with the values of its variables."""
    from endpoints_gitops.operations.run import bound_node, inputs_of_definition, parse_assignments, typed_values

    values, notes = typed_values(parse_assignments(words), inputs_of_definition(loaded))
    console.say(*(f"note: {note}" for note in notes))
    with_default = {variable.name for variable in loaded.definition.variables or () if variable.states("default")}
    for example in loaded.definition.examples or ():
        for name, value in example.variables.items():
            if name not in with_default:
                values.setdefault(name, value)
    return str(bound_node(loaded, values)["query"])


def _write(folder: Path, fixture: Fixture, console: Console, *, yes: bool) -> None:
    """Write the tables. The folder is one fixture: a table of another one would be read beside it."""
    from endpoints_gitops.workspace.files import write_atomically

    present = [folder / name for name in _TABLES if (folder / name).exists()]
    if present and not console.confirm(f"Replace {' and '.join(map(str, present))}?", yes=yes):
        raise UsageError(f"{folder} was left as it is", fix="choose another folder with --out", code="fixture.exists")
    for name, content in fixture.files.items():
        write_atomically(folder / name, content)
    for path in present:
        if path.name not in fixture.files:
            path.unlink()
