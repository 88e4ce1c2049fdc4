"""`serve`: a PostHog for endpoints on this machine."""

from __future__ import annotations

import argparse
import math
from datetime import UTC, datetime
from pathlib import Path

from endpoints_gitops.cli.console import Console
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the port, the state folder and the data."""
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: 0, a free one)")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="keep endpoints and keys between starts here")
    parser.add_argument("--sample", action="store_true", help="serve tables of a small sample product")
    parser.add_argument(
        "--data", type=Path, action="extend", nargs="+", default=[], metavar="PATH",
        help="a CSV, JSON lines or Parquet file for each table, named after it, or a folder of them; "
        "a folder named events or persons is one table, such as a batch export",
    )  # fmt: skip
    parser.add_argument("--now", metavar="TIME", help="stop the clock at this ISO time (UTC unless it has a zone)")
    parser.add_argument(
        "--materialize", type=_building, default=0.0, metavar="HOW",
        help="how tables are built: instant (default), a number of seconds that a build takes, or fail",
    )  # fmt: skip
    parser.add_argument(
        "--control", action="store_true",
        help=(
            'add routes without a key: /__access__ ({"level": "viewer"} is what the keys may do), '
            '/__age__ ({"days": N} ages tables and calls), /__faults__, /__requests__'
        ),
    )  # fmt: skip


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Serve until interrupted. The only line on stdout has the address and the keys, in every format."""
    from endpoints_gitops.local.extra import refuse_without_extra

    refuse_without_extra()
    from endpoints_gitops.local.serve import serve

    serve(
        port=arguments.port,
        state=arguments.state,
        sample=arguments.sample,
        data=tuple(arguments.data),
        now=_time(arguments.now),
        definitions=Path(arguments.dir) if arguments.dir else None,
        announce=console.stdout,
        control=arguments.control,
        build_seconds=arguments.materialize or 0.0,
        builds_fail=arguments.materialize is None,
    )
    raise SystemExit(0)  # an outcome would be a second object on stdout with --format json


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


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--now {text!r} is not an ISO time", fix="write it like 2026-07-01T12:00:00Z", code="usage.now"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
