"""Check a definition against the team's conventions: required keys (G121) and naming (G122, G123)."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from endpoints_gitops.contract.build import analyzed_columns
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.policy import CONVENTIONS

if TYPE_CHECKING:
    from endpoints_gitops.contract.contract import Contract
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.finding import Finding
    from endpoints_gitops.model.policy import Conventions

_MOST_SECONDS: Final = 1.0
"""Seconds that an expression has for one name; `(a+)+c` would take years for some."""
_TOO_SLOW: Final = set[str]()
"""The conventions that took longer for one name. They are not tried again, so that a folder does not wait once for each
name."""


def unconventional(loaded: LoadedDefinition, contract: Contract, conventions: Conventions) -> Iterator[Finding]:
    """The findings of one definition. Columns are those of the query as far as it can be analyzed, else the declared
    ones."""
    stability = loaded.definition.stability
    for key in conventions.require:
        value = loaded.definition.freshness_seconds if key == "data_freshness" else getattr(loaded.definition, key)
        if _is_missing(value):
            message = f"{loaded.name} has no {key}, which the configuration requires"
            yield RULES["G121"].finding(
                loaded.name,
                message,
                locus=key,
                where=loaded.where(key if key in loaded.lines else "name"),
                after=key,
                stability=stability,
            )
    if violation := _violation(loaded.name, conventions.endpoints):
        message = f"the endpoint name {loaded.name!r} {violation}"
        yield RULES["G122"].finding(
            loaded.name, message, locus="name", where=loaded.where(), after=loaded.name, stability=stability
        )
    for index, variable in enumerate(loaded.definition.variables or ()):
        if violation := _violation(variable.name, conventions.variables):
            message = f"the variable name {variable.name!r} {violation}"
            yield RULES["G122"].finding(
                loaded.name,
                message,
                locus=Locus("variables", variable.name),
                where=loaded.where(f"variables.{index}.name"),
                after=variable.name,
                fix="rename the variable; callers send its name",
                stability=stability,
            )
    if conventions.columns is None:
        return
    columns = analyzed_columns(contract)[0] or contract.declared or ()
    for name in dict.fromkeys(column.name for column in columns):
        if violation := _violation(name, conventions.columns):
            locus = Locus("columns", name)
            yield RULES["G123"].finding(
                loaded.name,
                f"the column name {name!r} {violation}",
                locus=locus,
                where=contract.where("query", None, locus),
                after=name,
                stability=stability,
            )


def _is_missing(value: object) -> bool:
    """Whether a key is absent, or states nothing."""
    return value is None or (isinstance(value, str) and not value.strip()) or value in ((), [])


def _violation(name: str, convention: str | None) -> str | None:
    """What is wrong with a name; None if it follows the convention, or if there is none."""
    if convention is None:
        return None
    if convention not in _TOO_SLOW:
        try:
            with _deadline(_MOST_SECONDS):
                return None if _pattern(convention).fullmatch(name) else f"does not follow {convention}"
        except TimeoutError:
            _TOO_SLOW.add(convention)
    return f"cannot be compared with {convention}, which takes too long: simplify the expression"


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the main thread, which alone gets signals. A timer of the program goes on afterwards."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: object) -> None:
        raise TimeoutError

    begin = time.monotonic()
    before = signal.signal(signal.SIGALRM, end)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if remaining:
            signal.setitimer(signal.ITIMER_REAL, max(remaining - (time.monotonic() - begin), 0.001), interval)


@cache
def _pattern(convention: str) -> re.Pattern[str]:
    return re.compile(CONVENTIONS.get(convention, convention))
