"""Check one definition by itself: the mistakes in its file, and every rule that one side alone can break.

The result is a value, and JSON for the cache and between processes. To read it from the cache, nothing is imported that
reads YAML or HogQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from endpoints_gitops.errors import InvalidInput, Location, Problem
from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.policy import Conventions, Ignore, LineRange
from endpoints_gitops.model.sunset import Announcement, SunsetNotice
from endpoints_gitops.workspace.check_cache import content_hash, key_of
from endpoints_gitops.workspace.definitions import OpenedFile, open_file
from endpoints_gitops.workspace.plugins import installed

if TYPE_CHECKING:
    from endpoints_gitops.model.definition import LoadedDefinition

_SEVERITIES = {str(severity): severity for severity in Severity}
_SCOPES = {str(scope): scope for scope in Scope}


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionFile:
    """A definition's file, and the folder that its `query_file` may not lead out of."""

    path: Path
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What decides the result of a file besides its content.

    `environment`: the settings of this one are checked; None: those of every environment that a file has settings for.
    """

    environment: str | None = None
    conventions: Conventions = field(default_factory=Conventions)

    def key(self, file: OpenedFile) -> str:
        """The key of a file's result in the cache."""
        return key_of(file.path, file.content, self.environment, self.conventions.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """The result of checking one file.

    `name` is None where the file could not be read as a definition. `announcement` says that the endpoint will be
    removed; findings about it depend on the date, so they are not among `findings`. `shared` has what it states of the
    project's variables, by code name. `beside` are the names of the other files that it reads, with the hashes of their
    contents. `ignores` are its ignore comments. `is_unchecked`: its query could not be parsed. `is_lasting`: the same
    content gives the same result at another time.
    """

    name: str | None
    announcement: Announcement | None = None
    shared: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    beside: tuple[tuple[str, str], ...] = ()
    ignores: tuple[Ignore, ...] = ()
    is_unchecked: bool = False
    is_lasting: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every rule was judged."""
        return self.name is not None and not self.is_unchecked

    def to_json(self) -> list[Any]:
        announced = None if self.announcement is None else _announcement_row(self.announcement)
        findings, ignores = [_row(finding) for finding in self.findings], [_ignore_row(row) for row in self.ignores]
        return [self.name, announced, self.shared, findings, self.beside, ignores, self.is_unchecked]

    @classmethod
    def from_json(cls, value: Any, *, is_lasting: bool) -> Self:  # noqa: ANN401 - what to_json gives
        """Raises ValueError, TypeError or KeyError for a value of another shape."""
        name, announced, shared, rows, beside, ignores, is_unchecked = value
        return cls(
            name=name,
            announcement=None if announced is None else _announcement(announced),
            shared=tuple((code_name, stated) for code_name, stated in shared),
            findings=tuple(map(_finding, rows)),
            beside=tuple((file, content) for file, content in beside),
            ignores=tuple(map(_ignore, ignores)),
            is_unchecked=is_unchecked,
            is_lasting=is_lasting,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """The result of one file, and its key in the cache; None where its content could not be read."""

    key: str | None
    result: FileResult


def _row(finding: Finding) -> list[Any]:
    return [
        finding.code,
        finding.slug,
        finding.severity,
        finding.scope,
        finding.endpoint,
        finding.version,
        finding.locus,
        (finding.location.path, finding.location.line, finding.location.column) if finding.where else None,
        finding.before,
        finding.after,
        finding.callers,
        finding.message,
        finding.fix,
        finding.ceiling,
    ]


def _finding(row: list[Any]) -> Finding:
    code, slug, severity, scope, endpoint, version, locus, where, before, after, callers, message, fix, ceiling = row
    return Finding(
        code=code,
        slug=slug,
        severity=_SEVERITIES[severity],
        scope=_SCOPES[scope],
        endpoint=endpoint,
        version=version,
        locus=locus,
        where=Location(*where) if where is not None else None,
        before=before,
        after=after,
        callers=tuple(callers),
        message=message,
        fix=fix,
        ceiling=_SEVERITIES[ceiling],
    )


def _announcement_row(announcement: Announcement) -> list[Any]:
    places = ((where.path, where.line) for where in (announcement.where, announcement.replaced_by_where))
    notice = announcement.notice.as_json()
    return [announcement.name, notice, *places, announcement.stability, announcement.is_on]


def _announcement(row: list[Any]) -> Announcement:
    name, notice, where, replaced_by_where, stability, is_on = row
    days = {key: date.fromisoformat(notice[key]) for key in ("since", "sunset")}
    return Announcement(
        name=name,
        notice=SunsetNotice(**days, replaced_by=notice["replaced_by"], reason=notice["reason"]),
        where=Location(*where),
        replaced_by_where=Location(*replaced_by_where),
        stability=stability,
        is_on=is_on,
    )


def _ignore_row(ignore: Ignore) -> list[Any]:
    return [
        _place_row(ignore.where),
        ignore.rule,
        ignore.endpoint,
        ignore.reason,
        ignore.owner,
        ignore.until and ignore.until.isoformat(),
        None if ignore.covered is None else [(lines.path, lines.first, lines.last) for lines in ignore.covered],
        ignore.is_misplaced,
        ignore.mistake,
    ]


def _ignore(row: list[Any]) -> Ignore:
    where, rule, endpoint, reason, owner, until, covered, is_misplaced, mistake = row
    return Ignore(
        where=Location(*where),
        rule=rule,
        endpoint=endpoint,
        reason=reason,
        owner=owner,
        until=until and date.fromisoformat(until),
        covered=None if covered is None else tuple(LineRange(*lines) for lines in covered),
        is_misplaced=is_misplaced,
        mistake=mistake,
    )


def _place_row(place: Location) -> tuple[str, int, int]:
    return place.path, place.line, place.column


def check_file(file: DefinitionFile, settings: CheckSettings) -> Keyed:
    """Check one file. Raises PluginFailed."""
    try:
        opened = open_file(file.path, file.folder)
    except InvalidInput as error:
        return Keyed(key=None, result=FileResult(name=None, findings=tuple(map(finding_of, error.problems))))
    return Keyed(key=settings.key(opened), result=check_opened(opened, settings))


def check_opened(file: OpenedFile, settings: CheckSettings) -> FileResult:
    """Check one file that is read already. Raises PluginFailed."""
    from endpoints_gitops.hogql.parser import timeouts

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
        findings = tuple(findings_of(loaded, settings))
        result = FileResult(
            name=loaded.name,
            announcement=Announcement.of(loaded, settings.environment),
            shared=_shared(loaded),
            findings=findings,
            ignores=loaded.ignores,
            is_unchecked=loaded.unchecked is not None,
        )
    # a plugin's rule may depend on anything, and a query that timed out may be parsed in time later
    is_lasting = is_readable and timeouts() == before and not installed()
    return replace(result, beside=tuple(beside.items()), is_lasting=is_lasting)


def _shared(loaded: LoadedDefinition) -> tuple[tuple[str, str], ...]:
    if not loaded.definition.variables:
        return ()
    from endpoints_gitops.plan.variables import statements

    return statements(loaded)


def findings_of(loaded: LoadedDefinition, settings: CheckSettings) -> Iterator[Finding]:
    """The findings of one definition by itself, of the catalog and of the rules of plugins. Raises PluginFailed."""
    from endpoints_gitops.contract.lint import lint

    environment = settings.environment

    if loaded.unchecked is not None:
        yield from _unparsed(loaded)
    for name in (environment,) if environment else (None, *(loaded.definition.environments or {})):
        yield from lint(loaded, name)
    if settings.conventions.digest:
        from endpoints_gitops.contract.build import from_definition
        from endpoints_gitops.contract.conventions import unconventional

        yield from unconventional(loaded, from_definition(loaded, environment), settings.conventions)
    if plugins := installed():
        from endpoints_gitops.contract.build import from_definition

        yield from plugins.of_definition(loaded, from_definition(loaded, environment))


def finding_of(problem: Problem) -> Finding:
    """The finding for a mistake in a file."""
    from endpoints_gitops.contract.lint import of_problem

    finding = of_problem(problem)
    if finding is not None:
        return replace(finding, where=problem.where)
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
    """The finding for a query that the parser could not finish. Without a parser, rules C112 and M107 say so."""
    from endpoints_gitops.hogql.parser import ParserTimeout, parse

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
