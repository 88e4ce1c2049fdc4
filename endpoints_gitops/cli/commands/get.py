"""`get NAME`: one endpoint, or one version of it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from endpoints_gitops.cli import findings
from endpoints_gitops.cli.arguments import version_number
from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Which endpoint, and which version of it."""
    parser.add_argument("name", metavar="NAME", help="the endpoint")
    parser.add_argument("--version", type=version_number, metavar="N", help="this version (default: the newest)")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print its settings and its query."""
    from endpoints_gitops.cli.endpoint_view import lines
    from endpoints_gitops.contract.idling import all_idling

    name, number = arguments.name, arguments.version
    with CommandContext.of(arguments, console) as context, context.naming(name):
        client = context.client
        endpoint = client.get_endpoint(name) if number is None else client.get_version(name, number)
        address, run_url = context.address(name), context.run_url(name, number)
    console.show(lines(endpoint, address, run_url))
    idle = all_idling([endpoint], datetime.now(UTC))
    console.warn(*findings.lines(idle))
    item = {
        **endpoint.model_dump(mode="json"),
        "address": address,
        "run_url": run_url,
        "findings": list(findings.items(idle)),
    }
    return Outcome(command="get", summary={"endpoints": 1}, items=(item,))
