"""`auth status`: who one is, what the key may do, and what is left of its budget."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import Context
from endpoints_gitops.errors import ExitCode
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.model.secret import KeyKind

if TYPE_CHECKING:
    from endpoints_gitops.operations.auth import AuthStatus
    from endpoints_gitops.workspace.credentials import Access

_OF_PROJECT_SECRET: Final = {"endpoint:read": "run; every other command needs a personal API key"}


def configure(parser: argparse.ArgumentParser) -> None:
    """`status` is all there is, so it may be left out."""
    parser.add_argument("topic", nargs="?", choices=["status"], default="status", help="what to show (default: status)")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print what is known of the key; exit code 3 where it cannot be used in this project."""
    from endpoints_gitops.operations.auth import auth_status

    with Context.of(arguments, console) as context:
        access, status = context.access, auth_status(context.client)
    console.show(_lines(access, status))
    problem = status.problem
    return Outcome(
        command="auth",
        exit_code=problem.exit_code if problem else ExitCode.DONE,
        items=(_item(access, status),),
        errors=failures_of(problem) if problem else (),
    )


def _lines(access: Access, status: AuthStatus) -> Iterator[Line | str]:
    label = f" {status.label!r}" if status.label else ""
    yield f"environment  {access.environment}: {access.host}, project {_project(access, status)}"
    yield f"key          {status.kind.value}{label}, from {access.source}"
    yield f"who          {_who(status)}"
    yield f"scopes       {' '.join(status.scopes) if status.scopes is not None else _unknown(status, 'scopes')}"
    yield from _needs(status)
    yield f"projects     {_projects(status)}"
    yield from _budgets(status)


def _project(access: Access, status: AuthStatus) -> str:
    name = (status.projects or {}).get(access.project_id)
    return f"{access.project_id} ({name})" if name else str(access.project_id)


def _who(status: AuthStatus) -> str:
    if status.who is None:
        return _unknown(status, "who")
    return f"{status.who} of {status.organization}" if status.organization else status.who


def _projects(status: AuthStatus) -> str:
    if status.projects is None:
        return _unknown(status, "projects")
    return ", ".join(f"{number} ({name})" for number, name in sorted(status.projects.items())) or "none"


def _unknown(status: AuthStatus, what: str) -> str:
    return f"unknown: {status.unknown.get(what, 'the server does not say')}"


def _needs(status: AuthStatus) -> Iterator[Line]:
    from endpoints_gitops.operations.auth import SCOPES

    words = {True: ("has", Style.GOOD), False: ("lacks", Style.BAD), None: ("unknown", Style.WARN)}
    needs = _OF_PROJECT_SECRET if status.kind is KeyKind.PROJECT_SECRET else SCOPES
    for scope, commands in needs.items():
        word, style = words[status.may(scope)]
        yield Line(f"  {word:<8} {scope:<23} for {commands}", style)


def _budgets(status: AuthStatus) -> Iterator[str]:
    for kind, left in status.left.items():
        pause = f"; paused for {left.paused_seconds:.0f} s by the server" if left.paused_seconds else ""
        yield f"budget       {kind}: {left.minute} left this minute, {left.hour} this hour{pause}"
    if status.left:
        yield "             as far as this machine knows: whatever else uses the key counts too"


def _item(access: Access, status: AuthStatus) -> JsonObject:
    from endpoints_gitops.operations.auth import SCOPES

    return {
        "environment": access.environment,
        "host": access.host,
        "project_id": access.project_id,
        "key_kind": status.kind.value,
        "key_source": access.source,
        "key_label": status.label,
        "who": status.who,
        "organization": status.organization,
        "scopes": None if status.scopes is None else list(status.scopes),
        "may": {scope: status.may(scope) for scope in SCOPES},
        "projects": None
        if status.projects is None
        else [{"id": number, "name": name} for number, name in sorted(status.projects.items())],
        "budgets": {
            kind: {"minute": left.minute, "hour": left.hour, "paused_seconds": left.paused_seconds}
            for kind, left in status.left.items()
        },
        "unknown": dict(status.unknown),
    }
