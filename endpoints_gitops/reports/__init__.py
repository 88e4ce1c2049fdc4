"""Report formats: the text of a report from the outcome of a command, one module for each format.

Every format is rendered from the same `Outcome`: what `review` and `gate` judged is its `report`; `check` and
`breaking` have findings and errors; a command that failed has errors alone. `content` gives all of them one shape, so
no two formats can disagree.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

from endpoints_gitops.advice import Command, Options

if TYPE_CHECKING:
    from endpoints_gitops.model.outcome import Outcome

FORMATS: Final = ("text", "json", "markdown", "github", "sarif", "junit", "gitlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """The command line that a report comes from.

    `options` tell reports of one command from each other: `--env prod`, or `in`, its folder in the repository. `again`
    shows the whole report on the screen.
    """

    options: Options = field(default_factory=dict)
    again: Command | None = None


class ReportFormat(Protocol):
    """The interface of the module of each format."""

    def render(self, outcome: Outcome, invocation: Invocation) -> str:
        """The report, with a line break at its end."""

    def is_report(self, text: str) -> bool:
        """Whether a text that is not empty is a report in this format."""


def render(name: str, outcome: Outcome, invocation: Invocation | None = None) -> str:
    """The report of an outcome in one of `FORMATS`. The outcome's texts must be redacted already."""
    return _format(name).render(outcome, invocation or Invocation())


def is_report(content: bytes) -> bool:
    """Whether a file is empty or has a report that this package wrote, in any format."""
    text = content.decode("utf-8", "replace")
    return not text.strip() or any(_format(name).is_report(text) for name in FORMATS)


def _format(name: str) -> ReportFormat:
    return cast("ReportFormat", importlib.import_module(f"{__name__}.{name}"))
