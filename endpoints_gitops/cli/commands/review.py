"""`review --against REF`: what this branch changes since the merge base, and whether that is safe."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.against import known_callers
from endpoints_gitops.cli.arguments import add_selectors
from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.model.outcome import Outcome, failures_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the selectors, the ref, which findings fail, and --offline."""
    add_selectors(parser)
    parser.add_argument(
        "--against",
        metavar="REF",
        required=True,
        help="the git ref that this branch is to be merged into; its merge base with HEAD is compared",
    )
    findings.configure(parser)
    parser.add_argument("--offline", action="store_true", help="judge files and lock alone, and send no request")
    parser.add_argument("--no-cache", action="store_true", help="check every changed file again")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Judge the branch. Exit code 1 if something blocks, 4 (3 without a valid key) if something could not be asked."""
    from endpoints_gitops.operations.review.execute import review
    from endpoints_gitops.operations.review.scope import ReviewScope

    with CommandContext.of(arguments, console) as context:
        judge = context.judge
        scope = ReviewScope(
            against=arguments.against,
            folder=context.folder,
            environment=context.environment,
            configuration=context.naming_configuration,
            selectors=tuple(arguments.selectors),
            checked_environment=arguments.env,
            today=context.today,
            deprecation=context.configuration.deprecation,
            conventions=judge.policy.conventions,
            fail_on=findings.fail_on(arguments, judge.policy),
            cache=context.check_cache,
        )
        reviewed = review(
            scope,
            open_project=None if arguments.offline else lambda: context.project,
            known_callers=lambda endpoints: known_callers(context, endpoints),
            apply_policy=lambda found, comments: judge.apply(found, comments=comments),
        )
    return Outcome(
        command="review",
        exit_code=reviewed.exit_code,
        errors=tuple(failure for error in reviewed.errors for failure in failures_of(error)),
        fail_on=scope.fail_on,
        report=reviewed.report,
    )
