"""What is wrong with a definition's HogQL and with the variables that it declares, before any server is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from endpoints_gitops.errors import MOST_PROBLEMS
from endpoints_gitops.hogql.parser import HogQLSyntaxError, ParserTimeout, ParserUnavailable, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.definition import code_name_mistake
from endpoints_gitops.model.suggestions import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMistake:
    """`offset` is a place in the SQL; None where the variable at `index` of the list is meant."""

    code: str
    message: str
    offset: int | None = None
    index: int = 0
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCheck:
    """`unchecked` says why the HogQL could not be looked at; None when it was."""

    mistakes: tuple[QueryMistake, ...] = ()
    unchecked: str | None = None


def check_query(sql: str, declared: Sequence[str]) -> QueryCheck:
    """Syntax, and variables that are declared but never used: the server drops those without a word."""
    doubled = tuple(_doubled(declared))
    try:
        tree = parse(sql)
    except HogQLSyntaxError as error:
        said = " ".join(error.message.split())  # it quotes the token, which may be a text of several lines
        wrong = QueryMistake(code="hogql", message=f"this is not HogQL: {said}", offset=error.offset)
        return QueryCheck(mistakes=(wrong, *doubled))
    except (ParserUnavailable, ParserTimeout) as failure:
        return QueryCheck(mistakes=doubled, unchecked=failure.message)
    used = variables_used(tree) if declared else ()
    return QueryCheck(mistakes=(*doubled, *_unused(declared, used)))


def _doubled(declared: Sequence[str]) -> Iterator[QueryMistake]:
    seen: set[str] = set()
    for index, name in enumerate(declared):
        if name and name in seen:
            yield QueryMistake(
                code="duplicate-variable",
                message=f"the variable {name!r} is declared twice",
                index=index,
                fix="remove one of the two",
            )
        seen.add(name)


def _unused(declared: Sequence[str], used: Sequence[str]) -> Iterator[QueryMistake]:
    """Names that the model refuses already are not told twice. A likeness is looked for the first ones alone."""
    positions = {name: index for index, name in reversed(list(enumerate(declared)))}
    queried = frozenset(used)
    undeclared = [name for name in used if name not in positions]
    unused = [name for name in declared if name not in queried and code_name_mistake(name) is None]
    for number, name in enumerate(dict.fromkeys(unused)):
        meant = did_you_mean(name, undeclared) if number <= MOST_PROBLEMS else ""
        yield QueryMistake(
            code="unused-variable",
            message=f"the query does not use the variable {name!r}{meant}",
            index=positions[name],
            fix=f"use {{variables.{name}}} in the query, or remove the variable from the list",
        )
