"""What another distribution can add: rules, reports, redaction. Every hook there is, and what each of them promises.

A plugin is a module (or any object) with functions that are marked by `hookimpl` and called after the hooks below; each
takes those of its hook's arguments that it needs, by name. Its distribution says so in its metadata:

    [project.entry-points.endpoints_gitops]
    acme = "acme_endpoints.rules"

Every command finds it there. A plugin that cannot be loaded, or that fails, is one error (exit code 2) that names its
distribution, and never silence. Where none is installed nothing is loaded. `docs/plugins.md` shows a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from endpoints_gitops.extras import require

try:
    import pluggy
except ImportError:
    require("cli", "endpoints_gitops.extension")
    raise

from endpoints_gitops.model.finding import Finding, Scope, Severity
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.contract.context import RuleContext
    from endpoints_gitops.contract.contract import Contract
    from endpoints_gitops.model.definition import LoadedDefinition

__all__ = [
    "PROJECT",
    "Finding",
    "Outcome",
    "Reporter",
    "Scope",
    "Severity",
    "check_definition",
    "compare_contracts",
    "hookimpl",
    "redact",
    "reporters",
]

PROJECT: Final = "endpoints_gitops"
"""The group of entry points, and pluggy's name for our hooks."""

type Reporter = Callable[[Outcome, tuple[Finding, ...]], str]
"""From what a command did and found to the text of a report."""

hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def check_definition(definition: LoadedDefinition, contract: Contract) -> Iterable[Finding]:  # type: ignore[empty-body]  # a specification
    """What is wrong with one definition by itself, for `check`. `contract` is what it promises its callers.

    A finding has a code of its own, none of the catalog; `definition.where("tags")` is the place of a key. Files are
    checked in any order, and in several processes where there are many.
    """


@_hookspec
def compare_contracts(before: Contract | None, after: Contract | None, context: RuleContext) -> Iterable[Finding]:  # type: ignore[empty-body]  # a specification
    """What a change does, for `breaking`, `diff --against`, `plan` and `push`.

    One side is None for an endpoint that comes or goes. `context` says who calls it. Severities count as they are.
    """


@_hookspec
def reporters() -> Mapping[str, Reporter]:  # type: ignore[empty-body]  # a specification
    """Formats for `--report NAME=FILE`, by name: letters, digits and `-`, and none that is there already."""


@_hookspec
def redact(text: str) -> str:  # type: ignore[empty-body]  # a specification
    """The text as it may be seen: asked for each line and each JSON string that a command prints or reports.

    Several plugins redact one after the other. Where one fails, the text is withheld.
    """
