"""`schema`: the definition file's JSON Schema, for editors and other validators."""

from __future__ import annotations

import argparse
import json

from endpoints_gitops.cli.console import Console
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:  # noqa: ARG001 - as above
    """Print the schema as one JSON document; with --format json it is the only item."""
    from endpoints_gitops.codecs.schema import json_schema

    schema = json_schema()
    console.show_document(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    return Outcome(command="schema", items=(schema,))
