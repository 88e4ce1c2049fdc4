"""`promote --from ENV --to ENV`: copy endpoints to another environment; never overwrites other people's changes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cached_property

from endpoints_gitops.advice import with_options
from endpoints_gitops.cli import plans, pushes
from endpoints_gitops.cli.arguments import plan_options
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.pushes import confirm_and_push
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.outcome import ErrorEntry, Outcome
from endpoints_gitops.operations.promote import prepare
from endpoints_gitops.workspace.configuration import EnvironmentSettings, named_environment


def configure(parser: argparse.ArgumentParser) -> None:
    """Add both environments and the selectors."""
    parser.add_argument("selectors", nargs="*", metavar="SELECTOR", help="a name, a glob, tag:TAG, or a path")
    parser.add_argument("--from", dest="source", required=True, metavar="ENV", help="the environment to read")
    parser.add_argument("--to", dest="target", required=True, metavar="ENV", help="the environment to write to")
    parser.add_argument(
        "--overwrite",
        action="append",
        metavar="NAME@VERSION,…",
        help="write over drift and conflicts in the target: all of them, or these while that version is current",
    )
    parser.add_argument(
        "--shared-variables",
        action="store_true",
        help="change the target's shared variables too, for all that use them",
    )
    parser.set_defaults(prune=False, allow_cosmetic=False)


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show the plan for the target, have it confirmed, write, and verify."""
    if arguments.env is not None:
        fix = "pass --from and --to"
        raise UsageError(
            "promote works on two environments, so --env cannot be combined with it", fix=fix, code="usage.arguments"
        )
    options = plan_options(arguments)
    with _Named.of(_on(arguments, arguments.source), console) as source, _target(arguments, console) as target:
        definitions = target.existing_definitions
        source.announce()
        promotion = prepare(source.project, target.project, definitions, arguments.selectors, options)
        console.say(f"promoted from {arguments.source} to {arguments.target}:")
        target.announce()
        if promotion.outside:
            names = ", ".join(promotion.outside)
            console.say(Line(f"outside of what {arguments.target} manages: {names}", Style.FAINT))
        snapshot, checkout = promotion.comparison.snapshot, promotion.comparison.checkout
        checked_plan = plans.check_plan(target, promotion.plan, snapshot, checkout)
        result = confirm_and_push(target, checked_plan, snapshot, checkout)
    console.show(pushes.lines(result))
    outcome = pushes.outcome(
        "promote",
        result,
        same=promotion.comparison.unchanged,
        outside=len(promotion.outside),
        checked_plan=checked_plan,
    )
    same = [diff for diff in promotion.comparison.diffs if diff.endpoint and not diff.differences]
    untouched = ({"name": diff.name, "kind": "endpoint", "state": "unchanged", "error": None} for diff in same)
    errors = tuple(_in_target(failure, arguments.target) for failure in outcome.errors)
    return replace(outcome, items=(*outcome.items, *untouched), errors=errors)


def _in_target(failure: ErrorEntry, environment: str) -> ErrorEntry:
    """The failure with `--env` in its fix: the target is rarely the default environment."""
    return replace(failure, fix=failure.fix and with_options(failure.fix, {"--env": environment}))


class _Named(CommandContext):
    """The context of a named environment, which variables for host and key do not change."""

    @cached_property
    def environment(self) -> EnvironmentSettings:
        return named_environment(self.configuration, self.arguments.env)


def _target(arguments: argparse.Namespace, console: Console) -> _Named:
    return _Named.of(_on(arguments, arguments.target), console)


def _on(arguments: argparse.Namespace, environment: str) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(arguments), "env": environment})
