"""Checks of the settings of a project when the engine opens: mistakes that would show only with a query.

ClickHouse refuses a column when it is asked for, and compiles a regular expression when it meets a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from endpoints_gitops.errors import InvalidInput, Problem, first_problems
from endpoints_gitops.hogql.parser import Tree, parse
from endpoints_gitops.hogql.printer import literal
from endpoints_gitops.hogql.syntax_tree import of_kind
from endpoints_gitops.local.engine.project_data import ProjectCohort, ProjectData, ProjectExpression
from endpoints_gitops.local.engine.refusals import QueryRefused

CODE: Final = "project.invalid"
_MATCHES: Final = {"=~": "=~", "!~": "=~", "=~*": "=~*", "!~*": "=~*"}
_SHOWN: Final = 5

type Describe = Callable[[str], object]
"""Finds the columns of a query without running it. Raises QueryRefused."""


def refuse_wrong_expressions(project: ProjectData, describe: Describe) -> None:
    """Raise InvalidInput for the expressions of a project that ClickHouse refuses, each with its place."""
    tables = dict.fromkeys(item.table for item in project.expressions)
    groups = [[item for item in project.expressions if item.table == table] for table in tables]
    wrong = [group for group in groups if _refusal(group, describe) is not None]
    refusals = [(item.where, _refusal([item], describe)) for group in wrong for item in group]
    problems = [
        Problem(path=where.path, line=where.line, column=where.column, message=refusal.brief, code=CODE)
        for where, refusal in refusals
        if refusal is not None
    ]
    if problems:
        raise InvalidInput(first_problems(problems))


def _refusal(expressions: Sequence[ProjectExpression], describe: Describe) -> QueryRefused | None:
    """The refusal of the first of some expressions over one table that is wrong."""
    columns = [f"{item.hogql} AS expression_{index}" for index, item in enumerate(expressions)]
    source = f"FROM {expressions[0].table}"
    patterns = dict.fromkeys(_patterns(parse(f"SELECT {', '.join(columns)} {source}")))
    columns += [f"'' {sign} {literal(pattern)} AS pattern_{index}" for index, (sign, pattern) in enumerate(patterns)]
    try:
        describe(f"SELECT {', '.join(columns)} {source}")
    except QueryRefused as refusal:
        return refusal
    return None


def _patterns(tree: Tree) -> Iterator[tuple[str, str]]:
    """The signs and regular expressions of comparisons. ClickHouse compiles one at once where it is compared with a
    constant."""
    for node in of_kind(tree, "CompareOperation"):
        sign, pattern = _MATCHES.get(str(node["op"])), node["right"].get("value")
        if sign is not None and isinstance(pattern, str):
            yield sign, pattern


def absent_persons(cohort: ProjectCohort, list_of: Callable[[str], Sequence[object]]) -> str | None:
    """What to say of the persons of a static cohort that no table has; None if all are there. `list_of` gives the only
    value of a query."""
    persons = tuple(dict.fromkeys(cohort.persons or ()))
    if not persons:
        return None
    listed = literal(list(persons))
    known = {
        *list_of(f"SELECT groupUniqArray(toString(id)) FROM persons WHERE has({listed}, toString(id))"),  # noqa: S608 - a literal
        *list_of(f"SELECT groupUniqArray(distinct_id) FROM person_distinct_ids WHERE has({listed}, distinct_id)"),  # noqa: S608 - a literal
    }
    absent = [person for person in persons if person not in known]
    if not absent:
        return None
    names = ", ".join(map(repr, absent[:_SHOWN]))
    more = f" and {len(absent) - _SHOWN:,} more" if len(absent) > _SHOWN else ""
    return f"{cohort.where}: cohort {cohort.id} is without {names}{more}: the tables have no person of this id"
