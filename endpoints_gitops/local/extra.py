"""The additional packages of the local server: the extra `local`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from endpoints_gitops.advice import Advice, OtherCommand
from endpoints_gitops.errors import UsageError

_NEEDED: Final = ("chdb", "hogql_parser_rs", "starlette", "uvicorn")


def refuse_without_extra() -> None:
    """Raise UsageError if the packages of the local server are not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the local server needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed "
            "(chdb and hogql-parser-rs have no builds for Windows)",
            fix=Advice(OtherCommand("pip", "install", "endpoints-gitops[local]")),
            code="usage.local-extra",
        )
