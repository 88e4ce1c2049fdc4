"""`completion`: a shell script that completes commands and options, generated from the parser by shtab."""

from __future__ import annotations

import argparse

from endpoints_gitops.cli.console import Console
from endpoints_gitops.model.outcome import Outcome

_INSTALL = {
    "bash": 'eval "$(endpoints-gitops completion bash)"   # in ~/.bashrc',
    "zsh": "endpoints-gitops completion zsh > ~/.zfunc/_endpoints-gitops   # a folder on your fpath",
    "tcsh": "endpoints-gitops completion tcsh > ~/.endpoints-gitops.tcsh   # and source it in ~/.tcshrc",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the name of the shell."""
    parser.add_argument("shell", choices=sorted(_INSTALL), help="the shell that will read the script")
    install = "\n".join(f"  {line}" for line in _INSTALL.values())
    parser.epilog = f"to use it:\n{install}"


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the script."""
    import shtab

    from endpoints_gitops.cli.main import build_parser

    script = shtab.complete(build_parser(), shell=arguments.shell)
    console.show_document(script + "\n")
    return Outcome(command="completion", items=({"shell": arguments.shell, "script": script},))
