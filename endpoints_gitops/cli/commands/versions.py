"""`versions NAME`: every version of an endpoint, the newest first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from endpoints_gitops.cli.console import Console
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.cli.rows import table
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.model.endpoint import EndpointVersion

_COLUMNS = ("version", "created", "by", "active", "materialised")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the name."""
    parser.add_argument("name", metavar="NAME", help="the endpoint")


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print a table, one line for each version."""
    with CommandContext.of(arguments, console) as context, context.naming(arguments.name):
        versions = context.client.list_versions(arguments.name)
    console.show_document(table(_COLUMNS, [_row(version) for version in versions], console.width()))
    return Outcome(command="versions", summary={"versions": len(versions)}, items=tuple(map(_item, versions)))


def _row(version: EndpointVersion) -> tuple[str | int, ...]:
    from endpoints_gitops.cli.commands.get import day, materialisation_word

    return (
        version.version,
        day(version.version_created_at),
        version.version_created_by.label if version.version_created_by else "",
        "yes" if version.is_active else "no",
        materialisation_word(version.materialization),
    )


def _item(version: EndpointVersion) -> JsonObject:
    author = version.version_created_by
    return {
        "version": version.version,
        "version_id": version.version_id,
        "created_at": version.version_created_at.isoformat() if version.version_created_at else None,
        "created_by": author.label if author else None,
        "active": version.is_active,
        "current": version.version == version.current_version,
        "materialised": version.materialization.is_on,
        "query": version.query,
    }
