"""Read a definition file, and report every mistake in it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import ValidationError

from endpoints_gitops.codecs.ignores import MARK, sql_ignores, yaml_ignores
from endpoints_gitops.codecs.text import BOM, LARGEST_FILE, KeyPath, decode, line_and_column
from endpoints_gitops.codecs.yaml.composer import Node, ScalarNode, Span, compose, solid
from endpoints_gitops.codecs.yaml.loader import LookCloser, ValueReader, quick_value
from endpoints_gitops.codecs.yaml.positions import KeyLines, QueryPositions, nearest, position_in_scalar
from endpoints_gitops.errors import MOST_PROBLEMS, EndpointsError, InvalidInput, Problem, first_problems
from endpoints_gitops.hogql.parser import HogQLSyntaxError, ParserTimeout, ParserUnavailable, parse
from endpoints_gitops.hogql.variables import variables_used
from endpoints_gitops.model.definition import Definition, LoadedDefinition, code_name_mistake
from endpoints_gitops.model.policy import Ignore, LineRange
from endpoints_gitops.model.suggestions import did_you_mean

__all__ = ["LARGEST_FILE", "read_definition"]

type ReadBeside = Callable[[str], bytes]


def read_definition(path: str, content: bytes, read_beside: ReadBeside, *, is_parsed: bool = True) -> LoadedDefinition:
    """Parse a definition file.

    `path` names the file in messages. `read_beside` gets the text of `query_file` and returns that file's bytes; an
    OSError or EndpointsError that it raises becomes a problem of this file. Without `is_parsed` the HogQL is not
    parsed, and `unchecked` of the definition says so. Raises InvalidInput with every problem of the file.
    """
    file = _DefinitionText(path=path, text=decode(path, content))
    value = _value(file)
    definition = _validated(file, value)
    query = _query(file, value, read_beside)
    unparsed = QueryCheck(unchecked="no selector matches this definition") if query and not is_parsed else None
    check = unparsed or (_checked(file, value, query) if query else QueryCheck())
    if definition is None or file.problems:
        raise InvalidInput(first_problems(file.problems))
    position = QueryPositions(path, content, query.sql, key=query.key, sql_file=query.file) if query else None
    return LoadedDefinition(
        path=path,
        definition=definition,
        sql=query.sql if query and definition.query_definition is None else None,
        lines=KeyLines(path, content),
        unchecked=check.unchecked,
        position=position,
        ignores=tuple(
            replace(ignore, endpoint=definition.name) for ignore in _ignores(file, query.sql if query else "", position)
        ),
    )


def _ignores(file: _DefinitionText, sql: str, position: QueryPositions | None) -> Iterator[Ignore]:
    """The ignore comments of the file and of its query; most files have none."""
    text = file.text.removeprefix(BOM)
    if MARK in text:
        is_beside = position is not None and position(0).path != file.path
        query_file = LineRange(position(0).path, 1, sql.count("\n") + 1) if position and is_beside else None
        yield from yaml_ignores(file.path, text, file.root, query_file)
    if MARK in sql and position is not None:
        yield from sql_ignores(sql, position)


@dataclass(slots=True, kw_only=True)
class _DefinitionText:
    """A file and its problems. The tree is built when the first problem needs a position."""

    path: str
    text: str
    problems: list[Problem] = field(default_factory=list)
    _root: Node | None = None

    @property
    def root(self) -> Node:
        if self._root is None:
            self._root = compose(self.path, self.text)
        return self._root

    def add(self, span: Span, code: str, message: str, fix: str | None = None) -> None:
        self.problems.append(
            Problem(
                path=self.path,
                line=span.line,
                column=span.column,
                message=message,
                code=f"definition.{code}",
                fix=fix,
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """The HogQL of a definition. `key` is its path in the definition; `file` is the path of the `.sql` file, if it has
    one."""

    sql: str
    key: KeyPath
    file: str | None = None


def _value(file: _DefinitionText) -> dict[str, Any]:
    try:
        value = quick_value(file.text)
    except LookCloser:
        reading = ValueReader(path=file.path)
        value = reading.value(file.root)
        file.problems += reading.problems
    if not isinstance(value, dict):
        file.add(file.root.span, "not-a-mapping", "a definition must be a mapping of keys to values")
        raise InvalidInput(first_problems(file.problems))
    return value


def _validated(file: _DefinitionText, value: dict[str, Any]) -> Definition | None:
    try:
        return Definition.model_validate(value)
    except ValidationError as error:
        from endpoints_gitops.codecs.mistakes import model_problems

        reported = {(problem.line, problem.column) for problem in file.problems}
        problems = model_problems(file.path, file.root, value, error)
        file.problems += [problem for problem in problems if (problem.line, problem.column) not in reported]
        return None


def _query(file: _DefinitionText, value: dict[str, Any], read_beside: ReadBeside) -> _Query | None:
    """The HogQL of a definition, which can have other mistakes; None if it has no HogQL."""
    node = value.get("query_definition")
    if isinstance(node, dict):
        sql = node.get("query") if node.get("kind") == "HogQLQuery" else None
        return _Query(sql=sql, key=("query_definition", "query")) if isinstance(sql, str) else None
    if isinstance(value.get("query"), str):
        return _Query(sql=value["query"], key=("query",))
    name = value.get("query_file")
    return _query_file(file, name, read_beside) if isinstance(name, str) else None


def _query_file(file: _DefinitionText, name: str, read_beside: ReadBeside) -> _Query | None:
    span = nearest(file.root, ("query_file",))[2].span
    if not name or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or "\0" in name:
        file.add(span, "query-file", "query_file must be a relative path", "write a relative path")
        return None
    path = str(PurePosixPath(file.path.replace("\\", "/")).parent / name)
    try:
        return _Query(sql=_sql_text(decode(path, read_beside(name), what="a query")), key=("query_file",), file=path)
    except InvalidInput as error:
        file.problems += error.problems
    except OSError as error:
        file.add(span, "query-file", f"the file {path} cannot be read: {error.strerror or error}")
    except EndpointsError as error:
        file.add(span, "query-file", error.message, error.fix)
    return None


def _sql_text(text: str) -> str:
    """The text as in a YAML block: with line feeds only, and none at the end."""
    return text.removeprefix(BOM).replace("\r\n", "\n").rstrip("\n")


def _checked(file: _DefinitionText, value: dict[str, Any], query: _Query) -> QueryCheck:
    check = check_query(query.sql, _declared(value))
    for mistake in check.mistakes:
        if mistake.offset is None:
            span = nearest(file.root, ("variables", mistake.index, "name"))[2].span
            file.add(span, mistake.code, mistake.message, mistake.fix)
        else:
            file.problems.append(_problem_in_sql(file, query, mistake, mistake.offset))
    return check


def _declared(value: dict[str, Any]) -> list[str]:
    """The declared names by index; empty for a variable whose name is missing or not text."""
    variables = value.get("variables")
    listed = variables if isinstance(variables, list) else []
    return [str(variable.get("name") or "") if isinstance(variable, dict) else "" for variable in listed]


def _problem_in_sql(file: _DefinitionText, query: _Query, mistake: QueryMistake, offset: int) -> Problem:
    if query.file is not None:
        path, (line, column) = query.file, line_and_column(query.sql, offset)
    else:
        scalar = solid(nearest(file.root, query.key)[2])
        assert isinstance(scalar, ScalarNode), "only a scalar has a text value"
        path, (line, column) = file.path, position_in_scalar(file.text, scalar, offset)
    code = f"definition.{mistake.code}"
    return Problem(path=path, line=line, column=column, message=mistake.message, code=code, fix=mistake.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryMistake:
    """A mistake at an offset in the SQL; without one, in the variable at `index` of the definition's list."""

    code: str
    message: str
    offset: int | None = None
    index: int = 0
    fix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCheck:
    """The result of a check. `unchecked` says why the HogQL was not parsed; None if it was."""

    mistakes: tuple[QueryMistake, ...] = ()
    unchecked: str | None = None


def check_query(sql: str, declared: Sequence[str]) -> QueryCheck:
    """Check the syntax, and find variables that are declared twice or unused: the server drops unused ones silently.

    `declared` are the names of the definition's list of variables, empty for a variable without one.
    """
    duplicates = tuple(_duplicates(declared))
    try:
        tree = parse(sql)
    except HogQLSyntaxError as error:
        detail = " ".join(error.message.split())  # it quotes the token, which can span several lines
        wrong = QueryMistake(code="hogql", message=f"not valid HogQL: {detail}", offset=error.offset)
        return QueryCheck(mistakes=(wrong, *duplicates))
    except (ParserUnavailable, ParserTimeout) as failure:
        return QueryCheck(mistakes=duplicates, unchecked=failure.message)
    used = variables_used(tree) if declared else ()
    return QueryCheck(mistakes=(*duplicates, *_unused(declared, used)))


def _duplicates(declared: Sequence[str]) -> Iterator[QueryMistake]:
    seen: set[str] = set()
    for index, name in enumerate(declared):
        if name and name in seen:
            yield QueryMistake(
                code="duplicate-variable",
                message=f"the variable {name!r} is declared twice",
                index=index,
                fix="remove one of them",
            )
        seen.add(name)


def _unused(declared: Sequence[str], used: Sequence[str]) -> Iterator[QueryMistake]:
    """Unused variables, except names that the model refuses. Only the first ones get a suggestion."""
    positions = {name: index for index, name in reversed(list(enumerate(declared)))}
    queried = frozenset(used)
    undeclared = [name for name in used if name not in positions]
    unused = [name for name in declared if name not in queried and code_name_mistake(name) is None]
    for number, name in enumerate(dict.fromkeys(unused)):
        suggestion = did_you_mean(name, undeclared) if number <= MOST_PROBLEMS else ""
        yield QueryMistake(
            code="unused-variable",
            message=f"the query does not use the variable {name!r}{suggestion}",
            index=positions[name],
            fix=f"use {{variables.{name}}} in the query, or remove the variable from the list",
        )
