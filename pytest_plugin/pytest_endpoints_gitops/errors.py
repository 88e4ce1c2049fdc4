"""The library's errors as failures of a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from endpoints_gitops.advice import Advice
from endpoints_gitops.api import errors as api
from endpoints_gitops.errors import CredentialsError, EndpointsError, InvalidInput
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.printable import one_line
from pytest_endpoints_gitops.call_log import RunningTest
from pytest_endpoints_gitops.calls import PinnedCall
from pytest_endpoints_gitops.failures import (
    CallRefused,
    Failure,
    InactiveEndpoint,
    InactiveVersion,
    NotSetUp,
    RateLimited,
    VariableMissing,
    VariableUndeclared,
)

_CHECK: Final = ("endpoints-gitops", "lock", "--check")


@contextmanager
def set_up(subject: str, problem: str, command: Sequence[str] = _CHECK) -> Iterator[None]:
    """Turn every error of the library in this block into a NotSetUp. `command` is the next step unless the error's own
    fix is a command.
    """
    try:
        yield
    except InvalidInput as error:
        mistakes = "\n".join(one_line(f"{mistake.where}: {mistake.message}") for mistake in error.problems)
        fix = error.fix or next((mistake.fix for mistake in error.problems if mistake.fix), None)
        advice, fixing = parts_of(fix)
        raise NotSetUp(subject, problem, ("received", mistakes), advice=advice, command=fixing or command) from None
    except CredentialsError as error:
        details = (("received", one_line(error.message)), ("defined", str(error.where or "")))
        command = ("endpoints-gitops", "auth", "status")
        raise NotSetUp(subject, problem, *details, advice=error.fix or "", command=command) from None
    except EndpointsError as error:
        details = (("received", one_line(error.message)), ("defined", str(error.where or "")))
        advice, fixing = parts_of(error.fix)
        raise NotSetUp(subject, problem, *details, advice=advice, command=fixing or command) from None


def parts_of(fix: str | None) -> tuple[str, tuple[str, ...]]:
    """Advice and command of a fix; either is empty."""
    command = fix.command_line if isinstance(fix, Advice) else ()
    return ("" if command else fix or "", command)


def failure_of(call: PinnedCall, test: RunningTest, error: api.ApiError) -> Failure:
    """The failure of a test whose call the server refused, or did not answer."""
    endpoint, environment = call.endpoint, call.pin.environment
    received = ("received", f"{error.message}     {error.request}")
    if isinstance(error, api.EndpointNotFound):
        look = ("endpoints-gitops", "get", endpoint.name, "--env", environment)
        return InactiveEndpoint(endpoint, "no active endpoint of this name", received, command=look)
    if isinstance(error, api.VersionNotFound | api.VersionInactive):
        state = "does not exist" if isinstance(error, api.VersionNotFound) else "is inactive"
        upgrade = ("endpoints-gitops", "upgrade", endpoint.name, "--env", environment)
        return InactiveVersion(endpoint, f"version {endpoint.version} {state}", received, command=upgrade)
    if isinstance(error, api.VariablesRefused):
        return _variables(call, error)
    if isinstance(error, api.Throttled):
        holder = "this machine" if isinstance(error, api.BudgetSpent) else "the key"
        problem = f"{holder} has no requests left for now"
        return RateLimited(endpoint, problem, received, command=("endpoints-gitops", "auth", "status"))
    request = ("received", error.request)
    return CallRefused(endpoint, error.message, request, advice=error.fix or "", command=test.command("live"))


def _variables(call: PinnedCall, error: api.VariablesRefused) -> Failure:
    """The server takes other variables than the lock says: they changed in place, which no pin protects from."""
    expected = ("expected", f"the lock: {signature(call.pin)}")
    detail = one_line(error.detail or error.message)
    command = ("endpoints-gitops", "lock", "--verify", "--env", call.pin.environment)
    if error.is_missing:
        received = ("received", f"{detail}\nmaterialising a version makes its variables required")
        problem = "the server requires a variable that was not sent"
        return VariableMissing(call.endpoint, problem, expected, received, command=command)
    return VariableUndeclared(
        call.endpoint, "the server refuses a variable", expected, ("received", detail), command=command
    )


def columns_signature(pin: Pin) -> str:
    """The columns that the pinned version promises."""
    columns = (
        f"{column.name}: {column.full or column.type}{', never null' if column.nullable is False else ''}"
        for column in pin.columns or ()
    )
    return one_line(" · ".join(columns)) or f"the results of a {pin.kind}"


def signature(pin: Pin) -> str:
    """The variables that the pinned version takes."""
    variables = (
        f"{variable.name}: {variable.type}{'' if variable.required else ' (optional)'}" for variable in pin.variables
    )
    return " · ".join(variables) or "no variables"
