"""Writes the reference pages that follow from the code: `uv run python docs/generate.py [--check]`.

Commands from their parsers, rules from the rule catalog, errors and exit codes from what `explain` prints, functions
from the catalog of HogQL. With `--check` nothing is written, and the exit code is 1 where a page differs from the code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from endpoints_gitops.hogql.functions import Function

FOLDER: Final = Path(__file__).resolve().parent / "reference"
NOTE: Final = "<!-- written by docs/generate.py -->\n"


def pages() -> Mapping[str, str]:
    """The text of every generated page, by its file name."""
    return {
        "commands.md": "".join(commands()),
        "rules.md": "".join(rules()),
        "exit-codes.md": "".join(exit_codes()),
        "errors.md": "".join(errors()),
        "functions.md": "".join(functions()),
    }


def commands() -> Iterator[str]:
    """What `--help` prints, for every command, in the groups of the program's own help."""
    from endpoints_gitops.cli.main import build_parser
    from endpoints_gitops.cli.registry import GROUPS

    subparsers = next(
        action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    yield f"{NOTE}# Commands\n\nWhat `endpoints-gitops COMMAND --help` prints.\n"
    for group, entries in GROUPS.items():
        yield f"\n## {group[0].upper()}{group[1:]}\n"
        for name in entries:
            text = subparsers[name].format_help().rstrip()
            yield f"\n### {name}\n\n```text\n{text}\n```\n"


def rules() -> Iterator[str]:
    """The table of all rules, and each of them as `explain` prints it."""
    from endpoints_gitops.cli.commands.explain import explanation
    from endpoints_gitops.contract.rules import RULES

    yield f"{NOTE}# Rules\n\n"
    yield (
        "`endpoints-gitops explain CODE` prints one of them.\n\n"
        "- Severity *error*: a caller that follows the old contract can stop working, or can see data that it "
        "should not see. *warn*: the effect is unknown, or the meaning of the data may have changed.\n"
        "- Scope *V*: the finding is about a new version, and a pin to an older one protects from it. *I*: the change "
        "happens in existing versions, and a pin does not protect. *-*: versions do not matter.\n\n"
    )
    yield "| code | rule | severity | scope | what it finds |\n|---|---|---|---|---|\n"
    for code, rule in sorted(RULES.items()):
        yield f"| [{code}](#{code.lower()}) | {rule.slug} | {rule.severity} | {rule.scope} | {rule.summary} |\n"
    for code in sorted(RULES):
        yield f"\n## {code}\n\n```text\n{explanation(code.lower()).rstrip()}\n```\n"


def exit_codes() -> Iterator[str]:
    """Each exit code, as `explain` prints it."""
    from endpoints_gitops.cli.commands.explain import explanation
    from endpoints_gitops.errors import ExitCode, worst

    yield f"{NOTE}# Exit codes\n\nAll commands use one table. Where several apply, the first of this list counts: "
    left, order = set(ExitCode), []
    while left:
        code = worst(*left)
        order.append(str(int(code)))
        left.remove(code)
    yield f"{', '.join(order)}.\n"
    for code in ExitCode:
        yield f"\n## {int(code)}\n\n{explanation(str(int(code))).strip()}\n"


def errors() -> Iterator[str]:
    """The families of error codes, as `explain` prints them."""
    from endpoints_gitops.cli.explanations import FAMILIES

    yield f"{NOTE}# Errors\n\n"
    yield (
        "Every error has a code, such as `definition.yaml`; JSON output has it under `errors[].code`. "
        "`endpoints-gitops explain CODE` explains one. The part before the dot says what it is about:\n"
    )
    for family, text in sorted(FAMILIES.items()):
        yield f"\n## {family}\n\n{text}\n"


def functions() -> Iterator[str]:
    """A table of PostHog's functions: what the local server runs, and why it refuses the others."""
    from endpoints_gitops.hogql import functions as catalog

    yield f"{NOTE}# Functions of HogQL\n\n"
    yield (
        "PostHog's functions, and whether the local server runs them. `check` knows the same names and numbers of "
        "arguments. A name in neither column is unknown to PostHog, too.\n"
    )
    suffixed = {name for name in catalog.AGGREGATES if catalog.is_combined(name)}
    tables = {
        "Functions": catalog.FUNCTIONS.values(),
        "Aggregations": [row for name, row in catalog.AGGREGATES.items() if name not in suffixed],
        "Aggregations with parameters": catalog.PARAMETRIC.values(),
        "Window functions": catalog.WINDOW.values(),
    }
    for title, rows in tables.items():
        yield f"\n## {title}\n\n"
        yield from _notes(title)
        yield "| function | arguments | local server |\n|---|---|---|\n"
        for function in sorted(rows, key=lambda function: function.name.lower()):
            reason = catalog.reason_of(function)
            yield f"| `{function.name}` | {_arity(function)} | {f'refused: {reason}' if reason else 'runs'} |\n"
    yield "\n## Aggregations with suffixes\n\n"
    yield "PostHog lists these, and the local server runs them:\n\n"
    yield f"{', '.join(f'`{name}`' for name in sorted(suffixed, key=str.lower))}\n"
    yield "\n## Refused\n\n| function | reason |\n|---|---|\n"
    for name in sorted(catalog.ABSENT, key=str.lower):
        yield f"| `{name}` | {catalog.ABSENT[name]} |\n"
    for name in catalog.ORDERED_SETS:
        yield f"| `{name}` | {catalog.ordered_set_mistake(name, has_within_group=False)}, which it refuses as well |\n"


def _notes(title: str) -> Iterator[str]:
    if title == "Aggregations":
        yield "Every aggregation can have `FILTER (WHERE …)`, `OVER` and parameters, which go to ClickHouse.\n\n"
    if title == "Window functions":
        yield "PostHog does not compare the names of window functions with a list: ClickHouse decides which exist.\n\n"


def _arity(function: Function) -> str:
    if function.most is None:
        return f"{function.least} or more"
    return str(function.least) if function.least == function.most else f"{function.least} to {function.most}"


def main() -> int:
    """Write the pages, or compare them. Returns the exit code."""
    os.environ["COLUMNS"] = "100"
    differing = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(path.name)
    if "--check" in sys.argv[1:]:
        for name in differing:
            sys.stdout.write(f"docs/reference/{name} differs from the code: uv run python docs/generate.py\n")
        return 1 if differing else 0
    FOLDER.mkdir(exist_ok=True)
    for name in differing:
        (FOLDER / name).write_text(pages()[name], encoding="utf-8")
        sys.stdout.write(f"wrote docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
