"""Every command: its name, its module, the line that `--help` shows, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """`examples` are what follows the name of the command: one or two that can be pasted."""

    summary: str
    examples: tuple[str, ...]
    module: str


_SHARED: Final = {"deactivate": "activate"}
"""Commands whose module is named after another one; it tells them apart by `arguments.command`."""


def _entries(**commands: tuple[str, ...]) -> Mapping[str, Entry]:
    return {
        name: Entry(summary, tuple(examples), f"endpoints_gitops.cli.commands.{_SHARED.get(name, name)}")
        for name, (summary, *examples) in commands.items()
    }


GROUPS: Final[Mapping[str, Mapping[str, Entry]]] = {
    "start": _entries(
        init=("set up configuration and a definitions folder", ""),
        demo=("run the whole workflow in a temporary folder, on a local server", ""),
        serve=(
            "run a local PostHog server for endpoints",
            "--sample",
            "--data tests/tables --port 8010 --state .local --dir endpoints",
            "--from-project --events 5000 --save tests/tables",
        ),
    ),
    "look": _entries(
        list=("show the endpoints that the server has", "", "'revenue_*' tag:billing"),
        get=("show one endpoint, or one version of it", "monthly_active_users", "monthly_active_users --version 3"),
        versions=("show the versions of an endpoint", "monthly_active_users"),
        open=("open an endpoint in the browser", "monthly_active_users"),
        run=(
            "run an endpoint, or a definition, and print its rows",
            'revenue_by_plan --var month=2026-07 --var \'plans:=["pro", "team"]\'',
            "--file endpoints/revenue_by_plan.yaml --output csv",
        ),
    ),
    "judge": _entries(
        check=("find mistakes in definitions and lock, offline", "", "endpoints/revenue_by_plan.yaml --live"),
        fixture=(
            "write rows that hit and miss each condition of a query",
            "new revenue_by_plan",
            "new revenue_by_plan --out tests/tables --var month=2026-07",
        ),
        breaking=(
            "show what the definitions would break for callers of the endpoints",
            "--against origin/main",
            "revenue_by_plan --against live",
        ),
        review=(
            "judge what this branch changes, for a pull request",
            "--against origin/main",
            "--against origin/main --offline",
        ),
        consumers=(
            "show which apps call an endpoint, and collect that from their locks",
            "who revenue_by_plan",
            "collect https://github.com/acme/billing#main ../portal",
        ),
        approve=(
            "approve findings in the configuration, by their fingerprints",
            "4f1c0a9be2d37786 --reason 'the report is adapted' --until 2027-01-31",
        ),
        gate=(
            "decide whether this commit may be released, by its pins and the evidence of its tests",
            "--against v1.4.0 --evidence evidence.json",
            "--plan plan.json",
        ),
    ),
    "definitions and server": _entries(
        diff=("show how definitions and server differ", "", "changed:origin/main"),
        pull=("bring server changes into the definitions", "", "revenue_by_plan --theirs"),
        plan=("show, and save, what a push would do", "-o plan.json", "revenue_by_plan"),
        push=(
            "apply the definitions to the server; never overwrite other people's changes",
            "--plan plan.json",
            "tag:billing --yes",
        ),
        resume=("finish a push that was interrupted or failed", ""),
        adopt=("record in the definition that it replaces the server's current version", "revenue_by_plan"),
        promote=("bring endpoints from one environment to another", "--from staging --to prod 'revenue_*'"),
    ),
    "one endpoint": _entries(
        activate=("switch endpoints, or one version, on again", "revenue_by_plan", "revenue_by_plan --version 3"),
        deactivate=("switch endpoints, or one version, off", "revenue_by_plan --version 1"),
        retire=(
            "switch off what is past its sunset and no longer called",
            "",
            "revenue_by_plan --versions",
        ),
        rename=("give an endpoint a new name, and keep the old one for its callers", "mau monthly_active_users"),
        rollback=("make the query of an older version the newest one", "revenue_by_plan@3"),
        delete=("delete endpoints for good", "revenue_by_plan"),
    ),
    "consume": _entries(
        lock=("pin the versions of the endpoints that this app uses", "", "--check", "--verify"),
        outdated=("show which pins are behind, and what would break on the way", ""),
        upgrade=(
            "move pins to newer versions, and refuse what would break the app",
            "",
            "revenue_by_plan@4 --allow-breaking 'the report is adapted'",
        ),
        snippet=(
            "print a call of a pinned endpoint that runs as pasted",
            "revenue_by_plan",
            "revenue_by_plan --lang go",
        ),
        openapi=(
            "store or combine the OpenAPI documents of pins, with what the lock knows",
            "pull",
            "combine --out openapi.yaml",
            "combine openapi --openapi 3.1 --out openapi.json --check",
        ),
        generate=(
            "write typed clients of what the lock pins, or check that they are up to date",
            "",
            "--check",
            "--lang python --native --out src/app",
        ),
    ),
    "automate": _entries(
        ci=(
            "run review, gate, push or diff in CI: comment, job summary, annotations",
            "review",
            "gate --against v1.4 -- --evidence endpoints-evidence.json",
        ),
    ),
    "about": _entries(
        auth=("show which key goes where and what it may do; trust hosts", "status", "trust", "reset-budget"),
        schema=("print the JSON Schema of the definition file", ""),
        conformance=(
            "check on a real project what this tool knows about the server",
            "--env staging",
            "--env staging 'creating: *'",
        ),
        explain=("explain an error code, an exit code, a rule or a term", "drifted", "6"),
        completion=("print a completion script for your shell", "bash"),
    ),
}
EDITING: Final = frozenset(
    ("approve", "init", "pull", "adopt", "rename", "rollback", "lock", "upgrade", "consumers", "generate", "openapi")
)
"""The commands that rewrite files of the checkout."""
REPORTING: Final = frozenset(("breaking", "check", "gate", "review"))
"""The commands that judge something: `--report FORMAT=FILE`, and every report format for `--format`."""
FOLDER_OF_CONFIGURATION: Final = "definitions folder (default: from the configuration, else endpoints)"
FOLDER_OPTION: Final = {
    "serve": "definitions folder, whose examples answer insights that are not computed (default: none)",
}
"""What `--dir` is for the commands for which it is not the folder of the configuration."""
COMMANDS: Final[Mapping[str, Entry]] = dict(chain.from_iterable(group.items() for group in GROUPS.values()))
