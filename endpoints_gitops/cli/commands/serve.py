"""`serve`: a PostHog for endpoints on this machine."""

from __future__ import annotations

import argparse
import math
import os
import re
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from endpoints_gitops.cli.arguments import clock_time, day_count, event_count
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.errors import UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.model.outcome import Outcome

_EVENTS: Final = 1000
_DAYS: Final = 30


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the port, the state folder and the data."""
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: 0, a free one)")
    parser.add_argument(
        "--host-name", action="append", default=[], type=_host_name, metavar="NAME",
        help="also answer under this name, which leads to 127.0.0.1 on this machine; may be repeated",
    )  # fmt: skip
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="keep endpoints and keys between starts here")
    parser.add_argument("--sample", action="store_true", help="serve tables of a small sample product")
    parser.add_argument(
        "--data", type=Path, action="extend", nargs="+", default=[], metavar="PATH",
        help="a CSV, JSON lines or Parquet file for each table, named after it, or a folder of them; "
        "a folder named events or persons is one table, such as a batch export",
    )  # fmt: skip
    _add_copying(parser)
    parser.add_argument(
        "--project", type=Path, metavar="FILE",
        help="a YAML file with settings of the project: time zone, week start, test accounts, "
        "path cleaning, actions, cohorts",
    )  # fmt: skip
    parser.add_argument(
        "--clickhouse", metavar="URL",
        help="run queries on this server, in a database of their own: http(s)://user@host:port/?cluster=NAME "
        "(the password in ENDPOINTS_GITOPS_CLICKHOUSE_PASSWORD)",
    )  # fmt: skip
    parser.add_argument(
        "--now", type=clock_time, metavar="TIME", help="stop the clock at this ISO time (UTC unless it has a zone)"
    )
    parser.add_argument(
        "--materialize", type=_building, default=0.0, metavar="HOW",
        help="how tables are built: instant (default), a number of seconds that a build takes, or fail",
    )  # fmt: skip
    parser.add_argument(
        "--control", action="store_true",
        help=(
            'add routes without a key: /__access__ ({"level": "viewer"} is what the keys may do), '
            '/__age__ ({"days": N} ages tables, calls and results), /__faults__, /__requests__'
        ),
    )  # fmt: skip


def _host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a host: write it without http:// and port")
    return text


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Serve until interrupted. The only line on stdout has the address and the keys, in every format."""
    require("local" if arguments.clickhouse is None else "clickhouse", "the local server")
    from endpoints_gitops.local.engine.clickhouse_url import parse_clickhouse_url

    clickhouse = None if arguments.clickhouse is None else parse_clickhouse_url(arguments.clickhouse, os.environ)
    _refuse_combinations(arguments)
    from endpoints_gitops.local.serve import bound_port, serve

    with ExitStack() as stack:
        bound = stack.enter_context(bound_port(arguments.port))  # first: copying and loading can take minutes
        copied = (_copied(arguments, console, stack),) if arguments.from_project else ()
        serve(
            bound,
            state=arguments.state,
            sample=arguments.sample,
            data=(*arguments.data, *copied),
            now=arguments.now,
            definitions=Path(arguments.dir) if arguments.dir else None,
            announce=console.stdout,
            control=arguments.control,
            build_seconds=arguments.materialize or 0.0,
            builds_fail=arguments.materialize is None,
            project=arguments.project,
            clickhouse=clickhouse,
            host_names=arguments.host_name,
            notice=lambda message: console.say(f"note: {message}"),
        )
    raise SystemExit(0)  # an outcome would be a second object on stdout with --format json


def _add_copying(parser: argparse.ArgumentParser) -> None:
    """Add what is copied from a project, and how it is redacted."""
    copying = parser.add_argument_group("events of a real project")
    copying.add_argument(
        "--from-project", action="store_true",
        help="serve a copy of the newest events of the environment's project; its key needs the scope query:read",
    )  # fmt: skip
    copying.add_argument("--events", type=event_count, metavar="N", help=f"how many (default: {_EVENTS:,})")
    copying.add_argument("--days", type=day_count, metavar="N", help=f"of the last N days (default: {_DAYS})")
    copying.add_argument(
        "--redact", action="append", default=[], metavar="NAME[=VALUE]",
        help="also replace the values of this property, by VALUE (default: redacted); may be repeated",
    )  # fmt: skip
    copying.add_argument(
        "--keep", action="append", default=[], metavar="NAME",
        help="leave the values of this property as they are, although its name looks personal; may be repeated",
    )  # fmt: skip
    copying.add_argument(
        "--save", type=Path, metavar="FOLDER", help="also write FOLDER/events.jsonl, for --data FOLDER later"
    )


def _refuse_combinations(arguments: argparse.Namespace) -> None:
    options = ("events", "days", "redact", "keep", "save")
    without = [f"--{option}" for option in options if getattr(arguments, option) not in (None, [])]
    if without and not arguments.from_project:
        raise UsageError(
            f"{' and '.join(without)}: only with --from-project", fix="add --from-project", code="usage.arguments"
        )
    if arguments.dir and not Path(arguments.dir).is_dir():
        raise UsageError(f"--dir {arguments.dir}: there is no such folder", code="usage.arguments")
    if arguments.from_project and arguments.sample:
        raise UsageError("--from-project and --sample both fill events", fix="omit one", code="usage.arguments")


def _copied(arguments: argparse.Namespace, console: Console, stack: ExitStack) -> Path:
    """The file with the copied events, in a folder that goes with this command unless it is saved."""
    from endpoints_gitops.cli.context import CommandContext
    from endpoints_gitops.operations.event_redaction import REDACTED, RedactionRules, as_lines
    from endpoints_gitops.operations.event_sample import copy_events
    from endpoints_gitops.workspace.files import write_atomically

    saved: Path | None = arguments.save
    folder = saved or Path(stack.enter_context(TemporaryDirectory(prefix="endpoints-gitops-")))
    path = folder / "events.jsonl"
    if path.exists() and not console.confirm(f"Replace {path}?", yes=arguments.yes):
        raise UsageError(
            f"{path} exists and was not replaced", fix="choose another folder for --save", code="usage.save"
        )
    pairs = (word.partition("=") for word in arguments.redact)
    rules = RedactionRules(
        replaced={name: value if equals else REDACTED for name, equals, value in pairs}, kept=frozenset(arguments.keep)
    )
    with CommandContext.of(arguments, console) as context:
        sample = copy_events(
            context.client,
            count=arguments.events or _EVENTS,
            days=arguments.days or _DAYS,
            now=context.now,
            rules=rules,
            progress=context.progress,
        )
        source = f"{context.access.host}, project {context.access.project_id}"
    redacted = sample.redacted
    write_atomically(path, as_lines(redacted.rows))
    console.say(
        f"copied {len(redacted.rows):,} events of {source}, with {sample.requests} request"
        f"{'s' if sample.requests != 1 else ''}{f', to {path}' if saved else ''}",
        Line(f"  replaced: {', '.join(redacted.replaced) or 'nothing'}", Style.FAINT),
        Line(f"  hashed: {', '.join(redacted.hashed) or 'nothing'}", Style.FAINT),
    )
    return path


def _building(text: str) -> float | None:
    """The seconds of a build, or None if builds fail."""
    if text in ("instant", "fail"):
        return 0.0 if text == "instant" else None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is neither instant, fail nor a number of seconds")
    return seconds
