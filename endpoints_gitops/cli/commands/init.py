"""`init`: configuration, definitions folder, and an example or a first pull. Overwrites nothing, needs no key."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import CredentialsError, EndpointsError, UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.origin import host_mistake
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.operations.init import NewEnvironment, write_configuration, write_example, write_schema
from endpoints_gitops.workspace.configuration import (
    DEFAULT_DIR,
    POSTHOG_CLI,
    PREFIX,
    Configuration,
    EnvironmentSettings,
    key_mistake,
    project_number,
)
from endpoints_gitops.workspace.credentials import KeyNotSet, resolve_connection
from endpoints_gitops.workspace.files import shown

_DEFAULT_NAME = "prod"
_PLATFORMS = {"github": "GitHub", "gitlab": "GitLab"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add --ci; `--dir` and `--env` name the folder and the environment to set up."""
    parser.add_argument(
        "--ci",
        choices=tuple(_PLATFORMS),
        help="also write workflows: review, push, drift, and gate where it applies",
    )
    parser.epilog = "Existing files stay as they are."


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Create what is missing, and print the next commands."""
    done = _InitReport(console=console)
    with CommandContext.of(arguments, console) as context:
        configuration = context.configuration
    if configuration.path is None:
        environment = _environment(arguments, console, configuration)
        done.wrote(write_configuration(Path.cwd(), folder=arguments.dir or DEFAULT_DIR, environment=environment))
        arguments = argparse.Namespace(**{**vars(arguments), "env": None})
    else:
        done.kept(configuration.path)
    with CommandContext.of(arguments, console) as context:
        pulled = _fill(context, done)
        if arguments.ci is not None:
            _write_ci_files(context, done)
    return _outcome(done, pulled)


@dataclass(slots=True, kw_only=True)
class _InitReport:
    """Which files were written or kept, and the next commands."""

    console: Console
    items: list[JsonObject] = field(default_factory=list)
    next: list[str] = field(default_factory=list)

    def wrote(self, path: Path) -> None:
        self.items.append({"path": shown(path), "state": "written"})
        self.console.show([Line(f"wrote {shown(path)}", Style.GOOD)])

    def kept(self, path: Path) -> None:
        self.items.append({"path": shown(path), "state": "kept"})
        self.console.show([f"kept {shown(path)}: it already exists"])


def _environment(arguments: argparse.Namespace, console: Console, configuration: Configuration) -> NewEnvironment:
    """The environment from variables, else from the login of posthog-cli, else from questions at the prompt."""
    plain = NewEnvironment(name=arguments.env or _DEFAULT_NAME)
    found = _from_variables(plain, configuration.overrides) or _from_posthog_cli(plain, console)
    if found is not None:
        return found
    return plain if arguments.yes or not console.interactive else _asked(plain, console)


def _from_variables(plain: NewEnvironment, variables: Mapping[str, str]) -> NewEnvironment | None:
    project = variables.get("PROJECT_ID")
    if project is None:
        return None
    number = project_number(project, f"{PREFIX}PROJECT_ID")
    host, key = variables.get("HOST", plain.host).strip(), variables.get("KEY", plain.key).strip()
    for mistake in (host_mistake(host), key_mistake(key)):
        if mistake is not None:
            raise UsageError(mistake, code="configuration.invalid")
    return NewEnvironment(name=plain.name, host=host, project_id=number, key=key)


def _from_posthog_cli(plain: NewEnvironment, console: Console) -> NewEnvironment | None:
    try:
        access = resolve_connection(EnvironmentSettings(name=plain.name, key=POSTHOG_CLI), console.environment)
    except CredentialsError:
        return None
    return NewEnvironment(name=plain.name, host=access.host, project_id=access.project_id, key=POSTHOG_CLI)


def _asked(plain: NewEnvironment, console: Console) -> NewEnvironment:
    host = console.ask_for(f"Host of your PostHog? [{plain.host}]") or plain.host
    mistake = host_mistake(host)
    if mistake is not None:
        raise UsageError(mistake, code="init.host")
    project = console.ask_for("Project number, from the address of the project (empty: add it later):")
    number = project_number(project, "the answer") if project else None
    return NewEnvironment(name=plain.name, host=host, project_id=number)


def _fill(context: CommandContext, done: _InitReport) -> Outcome | None:
    """Pull the endpoints of the project if it has any and the user agrees; else write an example."""
    folder = context.folder
    if _has_definitions(folder):
        done.kept(folder)
        done.next += [Advice(Command("diff"))]
        return None
    count = _endpoints_there(context, done)
    if (schema := write_schema(folder)) is not None:
        done.wrote(schema)
    if not count:
        _example(folder, done)
        return None
    console = context.console
    asked = context.arguments.yes or console.interactive
    if asked and console.confirm(f"The project has {count} endpoints. Pull them?", yes=context.arguments.yes):
        return _pull(context)
    folder.mkdir(parents=True, exist_ok=True)
    done.next += [Advice(Command("pull"))]
    return None


def _write_ci_files(context: CommandContext, done: _InitReport) -> None:
    """Write the files of --ci, and say which secrets they need."""
    from endpoints_gitops.operations.ci_files import GITLAB, missing_include, secret_names, write_ci_files
    from endpoints_gitops.workspace.files import checkout

    configuration, platform = context.configuration, context.arguments.ci
    top = checkout(configuration.folder)
    files = write_ci_files(platform, top, configuration, has_definitions=context.folder.is_dir())
    for file in files:
        (done.wrote if file.is_written else done.kept)(file.path)
    if platform == GITLAB and (jobs := missing_include(top, files)):
        done.next += [f"add `include: [{{local: {jobs}}}]` to .gitlab-ci.yml"]
    names = ", ".join(secret_names(configuration))
    done.next += [f"set {names} in the settings of the project on {_PLATFORMS[platform]}"]


def _has_definitions(folder: Path) -> bool:
    from endpoints_gitops.workspace.definitions import SUFFIXES

    return folder.is_dir() and any(path.name.lower().endswith(SUFFIXES) for path in folder.rglob("*"))


def _endpoints_there(context: CommandContext, done: _InitReport) -> int:
    """The number of endpoints of the project; 0, with a warning and the fix, if it cannot be read."""
    try:
        return len(context.managed(context.client.list_endpoints()))
    except EndpointsError as error:
        if isinstance(error, CredentialsError):
            done.next += _without_key(context.configuration, error)
        else:
            context.console.warn(Line(f"cannot list the endpoints of the server: {error}", Style.WARN))
        done.next += [Advice(Command("auth", "status"))]
        return 0


def _without_key(configuration: Configuration, error: CredentialsError) -> list[str]:
    if configuration.is_configured:
        return [error.fix] if isinstance(error, KeyNotSet) and error.fix else []
    return ["export POSTHOG_CLI_API_KEY=phx_… POSTHOG_CLI_PROJECT_ID=…"]


def _example(folder: Path, done: _InitReport) -> None:
    path = write_example(folder)
    if path is not None:
        done.wrote(path)
    done.next += [Advice(Command("plan")), Advice(Command("push"))]


def _pull(context: CommandContext) -> Outcome:
    from endpoints_gitops.cli.commands import pull

    own = {"selectors": [], "dry_run": False, "theirs": False, "mine": False}
    context.folder.mkdir(parents=True, exist_ok=True)
    return pull.execute(argparse.Namespace(**{**vars(context.arguments), **own}), context.console)


def _outcome(done: _InitReport, pulled: Outcome | None) -> Outcome:
    written = sum(item["state"] == "written" for item in done.items)
    console = done.console
    if pulled is None:
        console.show(["", "next:", *(Advice("  ", command) for command in dict.fromkeys(done.next))])
        console.say(Line("No .gitignore entry is needed: the state folder is outside of the checkout.", Style.FAINT))
    return Outcome(
        command="init",
        exit_code=pulled.exit_code if pulled else Outcome(command="init").exit_code,
        summary={"written": written, **(pulled.summary if pulled else {})},
        items=(*done.items, *(pulled.items if pulled else ())),
        errors=pulled.errors if pulled else (),
    )
