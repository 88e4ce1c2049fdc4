"""Every command: its name, the module that holds it, and the line that `--help` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    module: str
    summary: str


def _entry(name: str, summary: str) -> Entry:
    return Entry(f"endpoints_gitops.cli.commands.{name}", summary)


COMMANDS: Final = {
    "init": _entry("init", "set up configuration and a definitions folder"),
    "demo": _entry("demo", "watch the whole loop in a temporary folder, on a local server"),
    "list": _entry("list", "show the endpoints that the server has"),
    "get": _entry("get", "show one endpoint, or one version of it"),
    "versions": _entry("versions", "show the versions of an endpoint"),
    "open": _entry("open", "open an endpoint in the browser"),
    "run": _entry("run", "run an endpoint, or a definition, and print its rows"),
    "pull": _entry("pull", "bring what changed on the server into the definitions"),
    "diff": _entry("diff", "show how definitions and server differ"),
    "plan": _entry("plan", "show, and save, what a push would do"),
    "push": _entry("push", "make the server as the definitions say, overwriting nobody"),
    "resume": _entry("resume", "finish a push that was interrupted"),
    "activate": _entry("activate", "let endpoints, or one version, be run again"),
    "deactivate": _entry("deactivate", "stop endpoints, or one version, from being run"),
    "delete": _entry("delete", "delete endpoints for good"),
    "adopt": _entry("adopt", "say in the definition that it answers the server's present version"),
    "rename": _entry("rename", "give an endpoint a new name, and keep the old one for its callers"),
    "rollback": _entry("rollback", "make an older version's query the newest"),
    "promote": _entry("promote", "bring endpoints from one environment to another"),
    "auth": _entry("auth", "who you are, what the key may do, what is left of its budget"),
    "schema": _entry("schema", "print the JSON Schema of the definition file"),
    "explain": _entry("explain", "explain an error code, an exit code, or a word of this tool"),
    "serve": _entry("serve", "run a PostHog for endpoints on this machine"),
    "completion": _entry("completion", "print a completion script for your shell"),
}
