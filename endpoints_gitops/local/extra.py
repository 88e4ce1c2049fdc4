"""The additional packages of the local server: the extras `local` and `clickhouse`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.errors import UsageError

_SERVER: Final = ("hogql_parser_rs", "starlette", "uvicorn")


def refuse_without_extra(*, clickhouse: bool = False) -> None:
    """Raise UsageError if the packages of the local server are not installed. With `clickhouse`, queries run on a
    server, and not in this process."""
    needed = ("clickhouse_connect" if clickhouse else "chdb", *_SERVER)
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the local server needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed "
            "(chdb and hogql-parser-rs have no builds for Windows)",
            fix=Advice(OtherCommand("pip", "install", f"endpoints-gitops[{'clickhouse' if clickhouse else 'local'}]")),
            code="usage.local-extra",
        )
