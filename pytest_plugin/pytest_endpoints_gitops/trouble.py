"""What the library refuses, as the failures of a test: the first line says what, the last what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from endpoints_gitops.api.errors import (
    ApiError,
    BudgetSpent,
    EndpointNotFound,
    Throttled,
    VariablesRefused,
    VersionInactive,
    VersionNotFound,
)
from endpoints_gitops.errors import CredentialsError, EndpointsError, InvalidInput
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.model.printable import one_line
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops import failures
from pytest_endpoints_gitops.failures import Detail, Failure, NotSetUp
from pytest_endpoints_gitops.values import Call


def reading_lock(path: Path) -> Lock:
    """Raises NotSetUp where the lock is not there or not whole."""
    from endpoints_gitops.workspace.manifest import read_lock_file

    with set_up(f"{shown(path)}: the lock cannot be used"):
        lock = read_lock_file(path)
    if lock is None:
        raise NotSetUp(f"{shown(path)}: there is no such file", command="endpoints-gitops lock")
    return lock


@contextmanager
def set_up(verdict: str) -> Iterator[None]:
    """Everything that the library refuses in here is a NotSetUp of this verdict."""
    try:
        yield
    except InvalidInput as error:
        places = "\n".join(one_line(f"{problem.where}: {problem.message}") for problem in error.problems)
        command = error.fix or next((one.fix for one in error.problems if one.fix), None)
        raise NotSetUp(verdict, ("received", places), *_fix(command), command=_next(command)) from None
    except CredentialsError as error:
        details = (("received", one_line(error.message)), ("defined", error.where or ""), ("fix", f"{error.fix}, then"))
        raise NotSetUp(verdict, *details, command="endpoints-gitops auth status") from None
    except EndpointsError as error:
        said = (("received", one_line(error.message)), ("defined", error.where or ""))
        raise NotSetUp(verdict, *said, *_fix(error.fix), command=_next(error.fix)) from None


_CHECK: Final = "endpoints-gitops lock --check"
_COMMANDS: Final = ("git checkout ", "endpoints-gitops lock", "pip install ")


def _is_command(fix: str) -> bool:
    """Whether the library's advice can be pasted as it stands: most of it is a sentence."""
    return fix.startswith(_COMMANDS) and ";" not in fix


def _fix(fix: str | None) -> tuple[Detail, ...]:
    return () if not fix or _is_command(fix) else (("fix", f"{fix}, then"),)


def _next(fix: str | None) -> str:
    return fix if fix and _is_command(fix) else _CHECK


def failure_of(call: Call, error: ApiError) -> Failure:
    """What a call that came to nothing means for the test that made it."""
    label = call.label
    received = ("received", f"{error.message}     {error.request}")
    environment = call.pin.environment
    if isinstance(error, EndpointNotFound):
        verdict = f"{label}: there is no active endpoint of this name"
        command = f"endpoints-gitops get {call.pin.name} --env {environment}"
        return failures.EndpointInactive(verdict, received, command=command)
    if isinstance(error, VersionNotFound | VersionInactive):
        gone = isinstance(error, VersionNotFound)
        verdict = f"{label}: version {call.pin.version} {'is gone' if gone else 'is inactive'}"
        command = f"endpoints-gitops upgrade {call.pin.name} --env {environment}"
        return failures.VersionInactive(verdict, received, command=command)
    if isinstance(error, VariablesRefused):
        return _variables(call, error)
    if isinstance(error, Throttled):
        whose = "this machine has" if isinstance(error, BudgetSpent) else "the key has"
        verdict = f"{label}: {whose} no requests left for now"
        return failures.BudgetSpent(verdict, received, command="endpoints-gitops auth status")
    advice = f"{error.fix}, then" if error.fix else ""
    details = (("received", error.request), ("fix", advice))
    return failures.CallRefused(f"{label}: {error.message}", *details, command=call.command("live"))


def _variables(call: Call, error: VariablesRefused) -> Failure:
    """The server knows other variables than the lock: they changed in place, which no pin protects from."""
    detail = one_line(error.detail or error.message)
    sent = ("expected", f"the lock: {signature(call)}")
    command = f"endpoints-gitops lock --verify --env {call.pin.environment}"
    is_missing = detail.startswith("Required")
    kind = failures.MissingVariable if is_missing else failures.UndeclaredVariable
    what = "the server requires a variable that was not sent" if is_missing else "the server refuses a variable"
    why = "materialising a version makes its variables required" if is_missing else ""
    return kind(f"{call.label}: {what}", sent, ("received", f"{detail}\n{why}".strip()), command=command)


def signature(call: Call) -> str:
    """The variables that the pinned version takes."""
    said = (f"{one.name}: {one.type}{'' if one.required else ' (optional)'}" for one in call.pin.variables)
    return " · ".join(said) or "no variables"
