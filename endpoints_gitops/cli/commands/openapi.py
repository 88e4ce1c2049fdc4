"""`openapi pull` stores the OpenAPI document of each pin; `openapi combine` makes one document of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.cli import findings
from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.cli.consumer import pins as counted
from endpoints_gitops.cli.context import CommandContext
from endpoints_gitops.errors import ExitCode, UsageError
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.outcome import Outcome
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.workspace.files import shown

if TYPE_CHECKING:
    from endpoints_gitops.consumer.locked import Locked
    from endpoints_gitops.model.finding import Finding
    from endpoints_gitops.operations.openapi import DocumentFile, DocumentOptions, StaleDocument

_STYLES: Final = {"added": Style.ADDED, "changed": Style.WARN, "removed": Style.REMOVED}
_VERSIONS: Final = ("3.0", "3.1")
_SUFFIXES: Final = (".json", ".yaml", ".yml")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the topic, the paths, and what the documents look like."""
    parser.add_argument("topic", choices=["pull", "combine"], help="store a document for each pin, or make one of all")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH",
        help="with combine: files and folders with documents (none: those of the pins, from the server)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", metavar="PATH",
        help="with pull: the folder (default: `openapi` in the configuration, else openapi beside it); with combine: a "
        "file that ends in .json, .yaml or .yml (default: stdout, as JSON)",
    )  # fmt: skip
    parser.add_argument("--as-served", action="store_true", help="PostHog's documents, without what the lock knows")
    parser.add_argument(
        "--openapi", choices=_VERSIONS, default=None,
        help="the version of OpenAPI (default: 3.0; 3.1 types the values of a row by position)",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a file is not what would be written"
    )
    parser.epilog = (
        "`pull` makes one request for each pin, and one for the identities of all. It removes documents of pins that "
        "went, and never replaces a file that it did not write without asking. `pull --check` works offline. "
        "`combine` with paths works offline, too."
    )


def execute(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Store, combine or check documents."""
    _refuse_combinations(arguments)
    with CommandContext.of(arguments, console) as context:
        return _pull(context) if arguments.topic == "pull" else _combine(context)


def _refuse_combinations(arguments: argparse.Namespace) -> None:
    message, is_combine = None, arguments.topic == "combine"
    if arguments.paths and not is_combine:
        message = "paths are for `openapi combine`; `openapi pull` takes all pins"
    elif arguments.as_served and arguments.openapi is not None:
        message = "--openapi is for enriched documents: PostHog serves 3.0.3"
    elif is_combine and arguments.out is not None and Path(arguments.out).suffix not in _SUFFIXES:
        message = f"--out must end in {', '.join(_SUFFIXES)}"
    elif is_combine and arguments.check and arguments.out is None:
        message = "combine --check needs --out FILE"
    if message is not None:
        raise UsageError(message, fix=Advice(Command("openapi", "--help")), code="usage.arguments")


def _options(context: CommandContext) -> DocumentOptions:
    from endpoints_gitops.codegen.openapi import DocumentForm, OpenApiVersion
    from endpoints_gitops.operations.openapi import DocumentOptions

    arguments = context.arguments
    form = DocumentForm.SERVED if arguments.as_served else DocumentForm.ENRICHED
    return DocumentOptions(form=form, version=OpenApiVersion(arguments.openapi or "3.0"))


def _locked(context: CommandContext) -> Locked:
    """The pins of the environment, which the server that is asked then has."""
    from endpoints_gitops.consumer.locked import find
    from endpoints_gitops.workspace.configuration import lock_path

    locked = find(
        lock_path(context.configuration), environment=context.arguments.env, configuration=context.configuration
    )
    context.environment = locked.settings
    if not locked.pins:
        message = f"{shown(locked.path)} has no pins in environment {locked.environment}"
        raise UsageError(message, fix=Advice(Command("lock")), code="openapi.no_pins")
    return locked


def _sorted_pins(locked: Locked) -> tuple[Pin, ...]:
    return tuple(locked.pins[name] for name in sorted(locked.pins))


def _pull(context: CommandContext) -> Outcome:
    from endpoints_gitops.operations.openapi import check_files, fetch_documents, plan_files, write_files
    from endpoints_gitops.workspace.openapi_files import documents_folder, read_folder

    arguments, console, options = context.arguments, context.console, _options(context)
    locked = _locked(context)
    pins = _sorted_pins(locked)
    default = documents_folder(context.configuration, locked.settings)
    folder = read_folder(Path(arguments.out) if arguments.out else default)
    if arguments.check:
        return _checked(console, folder.path, check_files(folder, pins, options), len(pins))
    fetched = fetch_documents(context.client, pins)
    if fetched.findings:
        return _refused(context, fetched.findings)
    documents = {pin.name: options.document(fetched.documents[pin.name], pin) for pin in pins}
    files = plan_files(folder, documents, pins)
    _ask_for_others(context, [folder.path / planned.file for planned in files if planned.replaces_other])
    write_files(folder.path, files)
    console.show(
        Line(f"{planned.state:9} {shown(folder.path / planned.file)}", _STYLES[planned.state])
        for planned in files
        if planned.state in _STYLES
    )
    console.say(f"{shown(folder.path)} has the documents of {counted(len(pins))}")
    states = [planned.state for planned in files]
    summary = {"pins": len(pins)} | {state: states.count(state) for state in sorted({*states})}
    return Outcome(command="openapi", summary=summary, items=tuple(map(_item, files)))


def _item(planned: DocumentFile) -> JsonObject:
    pin = planned.pin
    return {
        "file": planned.file,
        "state": planned.state,
        "name": pin.name if pin else None,
        "version": pin.version if pin else None,
        "environment": pin.environment if pin else None,
    }


def _refused(context: CommandContext, mismatches: Sequence[Finding]) -> Outcome:
    """The outcome where the server no longer has what is pinned; nothing was written."""
    console = context.console
    console.show(findings.lines(mismatches))
    console.say("nothing is written: the server no longer has what the lock pins")
    return Outcome(
        command="openapi",
        exit_code=ExitCode.FINDINGS,
        summary=findings.summary(mismatches),
        items=tuple(finding.as_json() for finding in mismatches),
        findings=tuple(mismatches),
    )


def _checked(console: Console, folder: Path, stale: Sequence[StaleDocument], count: int) -> Outcome:
    for document in stale:
        console.show([Line(f"{shown(folder / document.file)} {document.reason}", Style.BAD)])
    if stale:
        console.say(Line(Advice("to write them again: ", Command("openapi", "pull")), Style.WARN))
    else:
        console.say(f"{shown(folder)} and the lock agree: {counted(count)}")
    return Outcome(
        command="openapi",
        exit_code=ExitCode.FINDINGS if stale else ExitCode.DONE,
        summary={"pins": count, "stale": len(stale)},
        items=tuple({"file": document.file, "state": "stale", "reason": document.reason} for document in stale),
    )


def _ask_for_others(context: CommandContext, paths: Sequence[Path]) -> None:
    """Ask before files are replaced that this program did not write. Raises UsageError if they must not be."""
    if not paths:
        return
    names = ", ".join(map(shown, paths))
    are = "is not a document" if len(paths) == 1 else "are not documents"
    question = f"{names} {are} that this program wrote. Replace {'it' if len(paths) == 1 else 'them'}?"
    if not context.console.confirm(question, yes=context.arguments.yes):
        raise UsageError("nothing is written", fix="name another place with --out", code="openapi.other_file")


def _combine(context: CommandContext) -> Outcome:
    from endpoints_gitops.operations.openapi import combined, combined_text

    arguments = context.arguments
    documents = _stored(context) if arguments.paths else _requested(context)
    if isinstance(documents, Outcome):
        return documents
    document = combined(documents)
    count = len(documents)
    if arguments.out is not None:
        path = Path(arguments.out)
        return _combined_file(context, path, combined_text(document, path.suffix).encode(), count)
    context.console.show_document(combined_text(document, ".json"))
    return Outcome(command="openapi", summary={"documents": count}, items=(document,))


def _stored(context: CommandContext) -> list[JsonObject]:
    from endpoints_gitops.operations.openapi import read_documents, stored_documents

    arguments = context.arguments
    paths = [Path(path) for path in arguments.paths]
    documents = read_documents(paths)
    pins = {} if arguments.as_served else _locked(context).pins
    return stored_documents(documents, pins, _options(context), [path for path in paths if path.is_dir()])


def _requested(context: CommandContext) -> list[JsonObject] | Outcome:
    from endpoints_gitops.operations.openapi import fetch_documents

    pins, options = _sorted_pins(_locked(context)), _options(context)
    fetched = fetch_documents(context.client, pins)
    if fetched.findings:
        return _refused(context, fetched.findings)
    return [options.document(fetched.documents[pin.name], pin) for pin in pins]


def _combined_file(context: CommandContext, path: Path, content: bytes, count: int) -> Outcome:
    from endpoints_gitops.operations.openapi import is_combined_file
    from endpoints_gitops.workspace.files import read_optional_file, rewrite_file

    console = context.console
    before = read_optional_file(path, code="openapi.unreadable")
    is_equal = before is not None and before.replace(b"\r\n", b"\n") == content
    state = "unchanged" if is_equal else "added" if before is None else "changed"
    if context.arguments.check:
        exit_code = ExitCode.DONE if is_equal else ExitCode.FINDINGS
        status = "is up to date" if is_equal else "does not exist" if before is None else "is stale"
        console.show([Line(f"{shown(path)} {status}", Style.GOOD if is_equal else Style.BAD)])
        state = state if is_equal else "stale"
    else:
        exit_code = ExitCode.DONE
        _ask_for_others(context, [path] if before is not None and not is_combined_file(before) else [])
        rewrite_file(path, content)
        console.say(f"{shown(path)}: {counted(count)}, {state}")
    item = {"file": shown(path), "state": state}
    return Outcome(command="openapi", exit_code=exit_code, summary={"documents": count}, items=(item,))
