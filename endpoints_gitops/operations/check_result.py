"""The result of checking one file, as a value and as JSON: for the cache, and between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from endpoints_gitops.model.finding import Finding, Scope, Severity

_SEVERITIES = {str(severity): severity for severity in Severity}
_SCOPES = {str(scope): scope for scope in Scope}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """`name` is None where the file could not be read as a definition. `shared` is what it says of the project's
    variables, by code name. `beside` are the names of the other files that it is made of, with their content's hash.

    `is_lasting`: whether the same content gives the same result at another time.
    """

    name: str | None
    shared: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    beside: tuple[tuple[str, str], ...] = ()
    is_lasting: bool = False

    def to_json(self) -> list[Any]:
        return [self.name, self.shared, [_row(finding) for finding in self.findings], self.beside]

    @classmethod
    def from_json(cls, value: Any, *, is_lasting: bool) -> Self:  # noqa: ANN401 - what to_json gives
        """Raises ValueError, TypeError or KeyError for a value of another shape."""
        name, shared, rows, beside = value
        return cls(
            name=name,
            shared=tuple((code_name, stated) for code_name, stated in shared),
            findings=tuple(map(_finding, rows)),
            beside=tuple((file, content) for file, content in beside),
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
        finding.where,
        finding.before,
        finding.after,
        finding.callers,
        finding.message,
        finding.fix,
    ]


def _finding(row: list[Any]) -> Finding:
    code, slug, severity, scope, endpoint, version, locus, where, before, after, callers, message, fix = row
    return Finding(
        code=code,
        slug=slug,
        severity=_SEVERITIES[severity],
        scope=_SCOPES[scope],
        endpoint=endpoint,
        version=version,
        locus=locus,
        where=where,
        before=before,
        after=after,
        callers=tuple(callers),
        message=message,
        fix=fix,
    )
