"""What one definition shows by itself: the mistakes in its file, and every rule that one side alone can break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from endpoints_gitops.contract.lint import lint, of_problem
from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.hogql.parser import ParserTimeout, parse, timeouts
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.operations.check_result import FileResult, Keyed
from endpoints_gitops.workspace.check_cache import content_hash, key_of
from endpoints_gitops.workspace.definitions import OpenedFile, open_file
from endpoints_gitops.workspace.plugins import installed

if TYPE_CHECKING:
    from endpoints_gitops.operations.check import DefinitionFile


def check_file(file: DefinitionFile, environment: str | None) -> Keyed:
    """The result of one file. Raises PluginFailed."""
    try:
        opened = open_file(file.path, file.folder)
    except InvalidInput as error:
        return Keyed(key=None, result=FileResult(name=None, findings=tuple(map(finding_of, error.problems))))
    key = key_of(opened.path, opened.content, environment)
    return Keyed(key=key, result=check_opened(opened, environment))


def check_opened(file: OpenedFile, environment: str | None) -> FileResult:
    """The result of one file. Raises PluginFailed."""
    beside: dict[str, str] = {}
    is_readable = True

    def read_beside(name: str) -> bytes:
        nonlocal is_readable
        is_readable = False
        content = file.read_beside(name)
        is_readable, beside[name] = True, content_hash(content)
        return content

    before = timeouts()
    try:
        loaded = replace(file, read_beside=read_beside).read()
    except InvalidInput as error:
        result = FileResult(name=None, findings=tuple(map(finding_of, error.problems)))
    else:
        findings = tuple(findings_of(loaded, environment))
        result = FileResult(name=loaded.name, shared=_shared(loaded), findings=findings)
    # a plugin's rule may depend on anything, and a query that timed out may be parsed in time later
    is_lasting = is_readable and timeouts() == before and not installed()
    return replace(result, beside=tuple(beside.items()), is_lasting=is_lasting)


def _shared(loaded: LoadedDefinition) -> tuple[tuple[str, str], ...]:
    if not loaded.definition.variables:
        return ()
    from endpoints_gitops.plan.variables import statements

    return statements(loaded)


def findings_of(loaded: LoadedDefinition, environment: str | None) -> Iterator[Finding]:
    """What one definition shows by itself, to the catalogue and to the rules of plugins. Raises PluginFailed."""
    if loaded.unchecked is not None:
        yield from _unparsed(loaded)
    every = (environment,) if environment else (None, *(loaded.definition.environments or {}))
    for name in every:
        yield from lint(loaded, name)
    if plugins := installed():
        from endpoints_gitops.contract.build import from_definition

        yield from plugins.of_definition(loaded, from_definition(loaded, environment))


def finding_of(problem: Problem) -> Finding:
    """The finding that a mistake of reading is."""
    known = of_problem(problem)
    if known is not None:
        return replace(known, where=problem.where)
    return Finding(
        code=problem.code,
        slug=problem.code.rpartition(".")[2],
        severity=Severity.ERROR,
        scope=Scope.NEITHER,
        endpoint="",
        locus=problem.path,
        where=problem.where,
        after=problem.message,
        message=problem.message,
        fix=problem.fix,
    )


def _unparsed(loaded: LoadedDefinition) -> Iterator[Finding]:
    """A query that the parser could not finish may hold any mistake. Without a parser, rules C112 and M107 say so."""
    line = loaded.lines.get("query") or loaded.lines.get("query_file") or 1
    try:
        parse(loaded.sql or "")
    except ParserTimeout as failure:
        yield finding_of(
            Problem(
                path=loaded.path,
                line=line,
                column=1,
                message=f"the query was not checked: {failure.message}",
                code="definition.unparsed",
                fix="shorten the query: replace long chains of operators by IN or arrays, and deep nesting by WITH",
            )
        )
