"""`activate NAME…`: let endpoints, or one version of one, be run again."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli import switching
from endpoints_gitops.cli.console import Console
from endpoints_gitops.model.outcome import Outcome

configure = switching.configure


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Switch them on and say so, one line each."""
    return switching.switch(arguments, console, active=True)
