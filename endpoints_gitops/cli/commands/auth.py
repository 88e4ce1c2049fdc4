"""`auth`: which key is sent to which host and why, its scopes and remaining budget; and trusted hosts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import CredentialsError, ExitCode, UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.origin import HostMistake, Origin
from endpoints_gitops.model.outcome import Outcome, failures_of
from endpoints_gitops.model.secret import KeyKind
from endpoints_gitops.workspace.configuration import POSTHOG_CLI

if TYPE_CHECKING:
    from endpoints_gitops.operations.auth import AuthStatus
    from endpoints_gitops.workspace.credentials import Access, FoundKey
    from endpoints_gitops.workspace.trust import Trust

_OF_PROJECT_SECRET: Final = {"endpoint:read": "run; every other command needs a personal API key"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the topic (default: `status`) and its options."""
    parser.add_argument(
        "topic", nargs="?", choices=["status", "trust", "reset-budget"], default="status", help="default: status"
    )
    parser.add_argument(
        "target", nargs="*", metavar="HOST KEY",
        help="with trust: the host and the key source, such as https://posthog.example.com env:POSTHOG_API_KEY",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="with trust: list what is trusted, for all folders")
    parser.add_argument("--remove", action="store_true", help="with trust: remove it for this folder")
    parser.add_argument("--all", action="store_true", help="with trust --remove: remove it for all folders")
    parser.epilog = (
        "`auth reset-budget` forgets what this machine counted for the key, and every wait that it remembers. "
        "A key goes to posthog.com, to this machine, and to the host that it is stored for. `auth trust` lets the "
        "configuration of this folder send one key to one other host; without HOST and KEY it takes those of the "
        "environment. In CI and containers set ENDPOINTS_GITOPS_ALLOWED_HOSTS=https://…,http://…:PORT instead."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show the status of the key, change what is trusted, or reset the budget."""
    _refuse_combinations(arguments)
    with CommandContext.of(arguments, console) as context:
        return {"status": _status, "trust": _trust, "reset-budget": _reset_budget}[arguments.topic](context)


def _refuse_combinations(arguments: argparse.Namespace) -> None:
    options = [f"--{name}" for name in ("list", "remove", "all") if getattr(arguments, name)]
    words = [*arguments.target, *options]
    if words and arguments.topic != "trust":
        message, fix = f"{', '.join(words)}: only with `auth trust`", Advice(Command("auth", "trust", "--list"))
        raise UsageError(message, fix=fix, code="usage.arguments")
    if (arguments.list and len(words) > 1) or (arguments.all and not arguments.remove):
        message = "--list takes no other argument, and --all needs --remove"
        raise UsageError(message, fix=Advice(Command("auth", "--help")), code="usage.arguments")
    if len(arguments.target) not in ((0, 1, 2) if arguments.remove else (0, 2)):
        message = "auth trust takes a host and the source of a key, or neither"
        raise UsageError(message, fix=Advice(Command("auth", "--help")), code="usage.arguments")


def _status(context: CommandContext) -> Outcome:
    """Exit code 3 if the key does not work in this project, or may not be sent to its host; then it is not sent."""
    from endpoints_gitops.operations.auth import auth_status
    from endpoints_gitops.workspace.credentials import find_key, refusal_of

    console = context.console
    found = find_key(context.environment, console.environment)
    refusal = refusal_of(found, found.decision(console.environment))
    if refusal is not None:
        return _refused(console, found, refusal)
    access, status = context.access, auth_status(context.client)
    console.show(_lines(access, status))
    problem = status.problem
    return Outcome(
        command="auth",
        exit_code=problem.exit_code if problem else ExitCode.DONE,
        items=(_item(access, status),),
        errors=failures_of(problem) if problem else (),
    )


def _reset_budget(context: CommandContext) -> Outcome:
    """Delete what this machine counted for the key, and its waits. Sends no request."""
    limiter, access = context.client.rate_limiter, context.access
    before = limiter.remaining() if limiter else {}
    if limiter is None or not before:
        message = "cannot use the rate limit file; requests are not counted, and nothing waits"
        raise UsageError(
            message, fix="set ENDPOINTS_GITOPS_STATE to a folder that can be written", code="state.unwritable"
        )
    limiter.reset()
    pause = max(left.paused_seconds for left in before.values())
    waited = f", and a wait of {pause:.0f} s" if pause else ""
    context.console.show([f"cleared the request count of the key of {access.environment}{waited}"])
    context.console.say("the server keeps its own count, and may still refuse")
    return Outcome(command="auth", items=({"environment": access.environment, "paused_seconds": pause},))


def _refused(console: Console, found: FoundKey, refusal: CredentialsError) -> Outcome:
    name, project = found.settings.name, found.project_id or "not set"
    console.show(
        [
            f"environment  {name}: {found.host}, project {project}",
            f"key          {found.key.kind.value}, from {found.source}",
            Line(f"goes to      no host: {refusal.message}", Style.BAD),
        ]
    )
    item: JsonObject = {
        "environment": name,
        "host": found.host,
        "project_id": found.project_id,
        "key_kind": found.key.kind.value,
        "key_source": found.source,
        "goes_to": None,
        "why": refusal.message,
    }
    return Outcome(command="auth", exit_code=refusal.exit_code, items=(item,), errors=failures_of(refusal))


def _trust(context: CommandContext) -> Outcome:
    """List, add or remove trusts. Sends no request and no key."""
    from endpoints_gitops.workspace.trust import TrustStore

    arguments, console = context.arguments, context.console
    store = TrustStore(console.environment)
    if arguments.list:
        trusts, state = store.all(), "trusted"
    elif arguments.remove:
        trusts, state = store.remove(_selects(context)), "no longer trusted"
    else:
        trust = _needed(context)
        state = "trusted" if store.add(trust) else "trusted already"
        trusts = (trust,)
    console.show([f"{state}: {trust.folder} sends {trust.key} to {trust.host}" for trust in trusts])
    if not trusts:
        console.say("nothing was trusted" if arguments.remove else "nothing is trusted")
    items = tuple({"folder": trust.folder, "host": trust.host, "key": trust.key, "state": state} for trust in trusts)
    return Outcome(command="auth", summary={"trusts": len(trusts)}, items=items)


def _selects(context: CommandContext) -> Callable[[Trust], bool]:
    """Returns what selects the trusts that --remove removes: by folder, and by host and key if given."""
    arguments = context.arguments
    folder = str(context.configuration.folder.resolve())
    host = str(_host(arguments.target[0])) if arguments.target else None
    key = _key(arguments.target[1]) if len(arguments.target) > 1 else None
    return lambda one: (arguments.all or one.folder == folder) and host in (None, one.host) and key in (None, one.key)


def _needed(context: CommandContext) -> Trust:
    """The named trust, else the one that the environment needs. Raises UsageError if none is needed or helps."""
    from endpoints_gitops.workspace.credentials import find_key, refusal_of
    from endpoints_gitops.workspace.trust import Permission, Trust, TrustStore

    arguments, env = context.arguments, context.console.environment
    if arguments.target:
        folder = str(context.configuration.folder.resolve())
        return Trust(folder=folder, host=str(_host(arguments.target[0])), key=_key(arguments.target[1]))
    found = find_key(context.environment, env)
    decision = found.decision(env)
    if decision.permission is Permission.UNTRUSTED or TrustStore(env).holds(found.trust):
        return found.trust
    if decision.permission is Permission.ALLOWED:
        message = f"the key of {found.source} may go to {found.host} without trust: {decision.why}"
        raise UsageError(message, fix=Advice(Command("auth", "status")), code="usage.trust")
    refusal = refusal_of(found, decision)
    assert refusal is not None, "what is not allowed is refused"
    raise refusal


def _host(text: str) -> Origin:
    try:
        return Origin.of(text)
    except HostMistake as mistake:
        raise UsageError(str(mistake), where="HOST", code="usage.arguments") from None


def _key(text: str) -> str:
    """The source of a key as trusts name it: with the absolute path of a `dotenv:` file."""
    from endpoints_gitops.workspace.configuration import key_mistake
    from endpoints_gitops.workspace.credentials import dotenv_identity
    from endpoints_gitops.workspace.key_sources import KEY_NAMES

    mistake = key_mistake(text)
    if text in (POSTHOG_CLI, *(f"env:{name}" for name in KEY_NAMES)):
        mistake = "this key is stored with a host, and goes to no other; POSTHOG_CLI_HOST is that of the variable"
    if mistake is not None:
        raise UsageError(mistake, where="KEY", code="usage.arguments")
    if text.startswith("env:"):
        return text
    file, _, name = text.removeprefix("dotenv:").rpartition(":")
    return dotenv_identity(Path(file), name)


def _lines(access: Access, status: AuthStatus) -> Iterator[Line | str]:
    label = f" {status.label!r}" if status.label else ""
    yield f"environment  {access.environment}: {access.host}, project {_project(access, status)}"
    yield f"key          {status.kind.value}{label}, from {access.source}"
    yield f"goes to      {access.host}: {access.why}"
    yield f"who          {_who(status)}"
    yield f"scopes       {' '.join(status.scopes) if status.scopes is not None else _unknown(status, 'scopes')}"
    yield from _needs(status)
    yield f"projects     {_projects(status)}"
    yield from _budgets(status)


def _project(access: Access, status: AuthStatus) -> str:
    name = (status.projects or {}).get(access.project_id)
    return f"{access.project_id} ({name})" if name else str(access.project_id)


def _who(status: AuthStatus) -> str:
    if status.who is None:
        return _unknown(status, "who")
    return f"{status.who} of {status.organization}" if status.organization else status.who


def _projects(status: AuthStatus) -> str:
    if status.projects is None:
        return _unknown(status, "projects")
    return ", ".join(f"{number} ({name})" for number, name in sorted(status.projects.items())) or "none"


def _unknown(status: AuthStatus, what: str) -> str:
    return f"unknown: {status.unknown.get(what, 'the server does not say')}"


def _needs(status: AuthStatus) -> Iterator[Line]:
    from endpoints_gitops.operations.auth import SCOPES

    words = {True: ("has", Style.GOOD), False: ("lacks", Style.BAD), None: ("unknown", Style.WARN)}
    needs = _OF_PROJECT_SECRET if status.kind is KeyKind.PROJECT_SECRET else SCOPES
    for scope, commands in needs.items():
        word, style = words[status.may(scope)]
        yield Line(f"  {word:<8} {scope:<23} for {commands}", style)


def _budgets(status: AuthStatus) -> Iterator[str]:
    for kind, left in status.remaining.items():
        pause = f"; paused for {left.paused_seconds:.0f} s by the server" if left.paused_seconds else ""
        yield f"budget       {kind}: {left.minute} left this minute, {left.hour} this hour{pause}"
    if status.remaining:
        yield "             counted on this machine only; other users of the key are not included"


def _item(access: Access, status: AuthStatus) -> JsonObject:
    from endpoints_gitops.operations.auth import SCOPES

    return {
        "environment": access.environment,
        "host": access.host,
        "project_id": access.project_id,
        "key_kind": status.kind.value,
        "key_source": access.source,
        "goes_to": access.host,
        "why": access.why,
        "key_label": status.label,
        "who": status.who,
        "organization": status.organization,
        "scopes": None if status.scopes is None else list(status.scopes),
        "may": {scope: status.may(scope) for scope in SCOPES},
        "projects": None
        if status.projects is None
        else [{"id": number, "name": name} for number, name in sorted(status.projects.items())],
        "budgets": {
            kind: {"minute": left.minute, "hour": left.hour, "paused_seconds": left.paused_seconds}
            for kind, left in status.remaining.items()
        },
        "unknown": dict(status.unknown),
    }
