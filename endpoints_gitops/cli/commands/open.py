"""`open NAME`: the endpoint's page in the browser."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the name."""
    parser.add_argument("name", metavar="NAME", help="the endpoint")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the address, and open it if the user is at a terminal."""
    with CommandContext.of(arguments, console) as context, context.naming(arguments.name):
        endpoint = context.client.get_endpoint(arguments.name)
        address = context.address(endpoint.name)
    console.show([address])
    if console.interactive:
        import webbrowser

        if not webbrowser.open(address):
            console.say("cannot open a browser; the address is above")
    return Outcome(command="open", items=({"name": endpoint.name, "url": address},))
