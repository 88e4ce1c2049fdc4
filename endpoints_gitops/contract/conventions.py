"""Check a definition against the team's conventions: required keys (G121) and naming (G122, G123)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from endpoints_gitops.contract.build import analyzed_columns
from endpoints_gitops.contract.rules import RULES
from endpoints_gitops.hogql.locus import Locus
from endpoints_gitops.model.policy import CONVENTIONS

if TYPE_CHECKING:
    from endpoints_gitops.contract.contract import Contract
    from endpoints_gitops.model.definition import LoadedDefinition
    from endpoints_gitops.model.finding import Finding
    from endpoints_gitops.model.policy import Conventions


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
    if not _follows(loaded.name, conventions.endpoints):
        message = f"the endpoint name {loaded.name!r} does not follow {conventions.endpoints}"
        yield RULES["G122"].finding(
            loaded.name, message, locus="name", where=loaded.where(), after=loaded.name, stability=stability
        )
    for index, variable in enumerate(loaded.definition.variables or ()):
        if not _follows(variable.name, conventions.variables):
            message = f"the variable name {variable.name!r} does not follow {conventions.variables}"
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
        if not _follows(name, conventions.columns):
            locus = Locus("columns", name)
            yield RULES["G123"].finding(
                loaded.name,
                f"the column name {name!r} does not follow {conventions.columns}",
                locus=locus,
                where=contract.where("query", None, locus),
                after=name,
                stability=stability,
            )


def _is_missing(value: object) -> bool:
    """Whether a key is absent, or states nothing."""
    return value is None or (isinstance(value, str) and not value.strip()) or value in ((), [])


def _follows(name: str, convention: str | None) -> bool:
    return convention is None or _pattern(convention).fullmatch(name) is not None


@cache
def _pattern(convention: str) -> re.Pattern[str]:
    return re.compile(CONVENTIONS.get(convention, convention))
