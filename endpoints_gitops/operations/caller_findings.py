"""What changes do to callers: the findings of many endpoint diffs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from endpoints_gitops.contract.compare import compare_all
from endpoints_gitops.contract.context import Context
from endpoints_gitops.model.finding import Finding, in_order
from endpoints_gitops.operations.callers import Callers
from endpoints_gitops.plan.diff import EndpointDiff
from endpoints_gitops.workspace.plugins import installed


def findings_of_diffs(
    diffs: Iterable[EndpointDiff], callers: Callers, *, is_move: bool = False, is_unknown_error: bool = False
) -> tuple[Finding, ...]:
    """The findings of what leads from each remote side to its local side, of the catalogue and of custom rules.

    `is_move`: callers go from one side to the other, so that no pin protects. `is_unknown_error`: what cannot be
    decided is an error. Raises PluginFailed.
    """
    findings: list[Finding] = []
    by_environment: dict[str, list[EndpointDiff]] = {}
    for diff in diffs:
        by_environment.setdefault(diff.environment or "", []).append(diff)
    for environment, some in by_environment.items():
        base = Context(is_move=is_move, is_unknown_error=is_unknown_error)
        findings += _findings(some, _context_of(environment, some, callers, base))
    return in_order({finding.fingerprint: finding for finding in findings}.values())


def _findings(diffs: list[EndpointDiff], context_of: Callable[[str], Context]) -> Iterator[Finding]:
    before = {diff.name: diff.remote.contract for diff in diffs if diff.remote}
    after = {diff.name: diff.local.contract for diff in diffs if diff.local}
    yield from compare_all(before, after, context_of)
    if plugins := installed():
        for diff in diffs:
            yield from plugins.of_change(before.get(diff.name), after.get(diff.name), context_of(diff.name))


def _context_of(
    environment: str, diffs: Iterable[EndpointDiff], callers: Callers, base: Context
) -> Callable[[str], Context]:
    using = _users_of_variables(diffs)

    def context_of(name: str) -> Context:
        sharing = {code: tuple(other for other in names if other != name) for code, names in using.items()}
        return replace(base, callers=callers.of(environment, name), sharing=sharing)

    return context_of


def _users_of_variables(diffs: Iterable[EndpointDiff]) -> Mapping[str, list[str]]:
    """The endpoints that use each shared variable."""
    using: dict[str, list[str]] = {}
    for diff in diffs:
        revision = diff.local or diff.remote
        for variable in revision.contract.inputs if revision else ():
            using.setdefault(variable.name, []).append(diff.name)
    return using
