"""`schema`: the definition file's JSON Schema, for editors and other validators."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from endpoints_gitops.cli.console import Console
from endpoints_gitops.codecs.schema import SCHEMA_FILE
from endpoints_gitops.model.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file."""
    parser.add_argument("--out", metavar="FILE", help=f"write the schema to a file, such as endpoints/{SCHEMA_FILE}")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the schema as one JSON document, or write it to a file; with --format json the schema is the only item.

    A file that has this content already is not written. Raises UsageError for a file that cannot be written.
    """
    from endpoints_gitops.codecs.schema import json_schema, text

    schema = json_schema()
    if arguments.out is not None:
        from endpoints_gitops.workspace.files import refuse_other_file, rewrite_file, shown

        path = Path(arguments.out)
        refuse_other_file(path, "a schema")
        if rewrite_file(path, text().encode("utf-8")):
            hint = f"new definitions in a folder with {SCHEMA_FILE} point editors to that file"
            console.say(f"wrote {shown(path)}; {hint}")
        else:
            console.say(f"{shown(path)} is up to date")
        return Outcome(command="schema", items=({"path": shown(path)},))
    console.show_document(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    return Outcome(command="schema", items=(schema,))
