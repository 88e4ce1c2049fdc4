"""`snippet NAME`: prints a call of the pinned version that runs as pasted, and nothing else on stdout."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.codegen.snippet import KEY_VARIABLE, Snippet, SnippetLanguage
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.pin import Pin


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the name of the endpoint and the language."""
    parser.add_argument("name", metavar="NAME", help="an endpoint that the lock pins")
    parser.add_argument(
        "--lang",
        choices=[str(language) for language in SnippetLanguage],
        default=SnippetLanguage.CURL,
        help="what the call is written in (default: curl)",
    )
    parser.epilog = (
        f"The call reads its key from ${KEY_VARIABLE}, prints the answer as JSON, and fails if the server refuses it. "
        "Its values come from the first example in the lock, else from the defaults. No key and no network is needed "
        "to print it."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Print the call; notes on stderr say which of its values have to be replaced."""
    from endpoints_gitops.codegen.interface import interface_of
    from endpoints_gitops.codegen.snippet import snippet
    from endpoints_gitops.consumer.locked import find
    from endpoints_gitops.model.secret import refuse_keys_in
    from endpoints_gitops.model.suggestions import closest, did_you_mean
    from endpoints_gitops.workspace.configuration import configuration_for, lock_path
    from endpoints_gitops.workspace.credentials import find_address
    from endpoints_gitops.workspace.files import shown

    configuration = configuration_for(Path.cwd(), console.environment, file=arguments.config, folder=arguments.dir)
    locked = find(lock_path(configuration), environment=arguments.env, configuration=configuration)
    pin = locked.pins.get(arguments.name)
    if pin is None:
        message = f"{shown(locked.path)} pins no endpoint {arguments.name!r} in environment {locked.environment}"
        near = closest(arguments.name, locked.pins)
        fix = Advice(f'add {arguments.name} = "*" to `uses`, and run ', Command("lock"))
        fix = Advice(Command("snippet", near)) if near else fix
        raise UsageError(message + did_you_mean(arguments.name, locked.pins), fix=fix, code="usage.selector")
    host, project_id = find_address(locked.settings, console.environment)
    language = SnippetLanguage(arguments.lang)
    call = snippet(interface_of(pin), host=host, project_id=project_id, language=language)
    refuse_keys_in(call.text, "the call", shown(locked.path))
    console.show_document(call.text)
    console.say(*(Line(f"note: {note}", Style.FAINT) for note in _notes(pin, call)))
    return Outcome(
        command="snippet",
        summary={"variables": len(call.variables), "placeholders": len(call.placeholders)},
        items=(
            {
                "name": pin.name,
                "version": pin.version,
                "environment": pin.environment,
                "language": language,
                "text": call.text,
                "variables": call.variables,
                "placeholders": list(call.placeholders),
                "omitted": list(call.omitted),
            },
        ),
    )


def _notes(pin: Pin, call: Snippet) -> Iterator[str]:
    if call.placeholders:
        yield f"the lock has no value for {', '.join(call.placeholders)}: replace what stands there"
    if pin.materialized and call.variables:
        yield f"{pin.label} is materialized: the server requires every variable"
    if pin.deprecation is not None:
        replacement = f"; use {pin.deprecation.replaced_by} instead" if pin.deprecation.replaced_by else ""
        yield f"{pin.label} is deprecated: sunset {pin.deprecation.sunset}{replacement}{pin.deprecation.because}"
    if call.omitted:
        yield f"left out, because the server does not require them: {', '.join(call.omitted)}"
