"""`serve`: a PostHog for endpoints on this machine."""

from __future__ import annotations

import argparse
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
        help="a CSV, JSON lines or Parquet file for each table, named after it",
    )  # fmt: skip
    parser.add_argument("--now", metavar="TIME", help="stop the clock at this ISO time (UTC unless it has a zone)")


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
    )
    raise SystemExit(0)  # an outcome would be a second object on stdout with --format json


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
