"""`schema`: the definition file's JSON Schema, for editors and other validators."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from endpoints_gitops.cli.console import Console
from endpoints_gitops.codecs.schema import SCHEMA_FILE
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Where it goes."""
    parser.add_argument("--out", metavar="FILE", help=f"write it there, such as endpoints/{SCHEMA_FILE}")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the schema as one JSON document, or write it; with --format json it is the only item."""
    from endpoints_gitops.codecs.schema import json_schema, text

    schema = json_schema()
    if arguments.out is not None:
        from endpoints_gitops.workspace.files import shown, write_atomically

        path = Path(arguments.out)
        write_atomically(path, text().encode("utf-8"))
        console.say(f"wrote {shown(path)}; new definitions in a folder with {SCHEMA_FILE} point editors to that file")
        return Outcome(command="schema", items=({"path": shown(path)},))
    console.show_document(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    return Outcome(command="schema", items=(schema,))
