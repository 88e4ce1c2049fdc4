"""`openapi pull` and `openapi combine`: the OpenAPI documents of pins, from the server or from stored files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.client import Client
from endpoints_gitops.codegen.openapi import (
    DocumentForm,
    DocumentMark,
    OpenApiVersion,
    UnreadableDocument,
    as_served,
    combine,
    document_text,
    endpoint_name,
    enrich,
    is_ours,
    mark_of,
)
from endpoints_gitops.contract.pins import check_identity
from endpoints_gitops.errors import CouldNotFindOut, ExitCode, InvalidInput, Problem, UsageError
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.json import JsonObject, canonical
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.secret import refuse_keys_in
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.lock.resolve import read_named
from endpoints_gitops.workspace.files import inside, rewrite_file, shown, sync_folder
from endpoints_gitops.workspace.openapi_files import OpenApiFolder, file_names, read_document, read_folder

_PULL = Command("openapi", "pull")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOptions:
    """What a document looks like: its form, and the version of OpenAPI of an enriched one."""

    form: DocumentForm = DocumentForm.ENRICHED
    version: OpenApiVersion = OpenApiVersion.V3_0

    def document(self, served: JsonObject, pin: Pin) -> JsonObject:
        """The document to write. Raises UnreadableDocument."""
        return as_served(served, pin) if self.form is DocumentForm.SERVED else enrich(served, pin, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedDocuments:
    """The served document of each pin, by name; or the findings that the server no longer has what is pinned."""

    documents: Mapping[str, JsonObject]
    findings: tuple[Finding, ...] = ()


def fetch_documents(client: Client, pins: Sequence[Pin]) -> FetchedDocuments:
    """Request the document of each pinned version: one request for each, after one for the identities of all.

    A document does not say which endpoint it belongs to: one that was recreated under its name is found by its id.
    Raises ApiError, and CouldNotFindOut for an answer that is not the document of the version.
    """
    endpoints = read_named(client, [pin.name for pin in pins])
    findings = tuple(finding for pin in pins for finding in check_identity(pin, endpoints.get(pin.name)))
    if findings:
        return FetchedDocuments(documents={}, findings=findings)
    served = concurrent_map(lambda pin: client.openapi(pin.name, version=pin.version), pins)
    documents = {pin.name: document for pin, document in zip(pins, served, strict=True)}
    for pin in pins:
        try:
            enrich(as_served(documents[pin.name], pin), pin)
        except UnreadableDocument as error:
            message = f"the server's OpenAPI document of {pin.label} cannot be used: {error}"
            raise CouldNotFindOut(message, code="openapi.answer") from error
    return FetchedDocuments(documents=documents)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFile:
    """One file of a folder of documents, and what becomes of it: `added`, `changed`, `unchanged` or `removed`.

    `replaces_other` is set if the file exists and this program did not write it.
    """

    file: str
    state: str
    pin: Pin | None = None
    text: str = ""
    replaces_other: bool = False


def plan_files(folder: OpenApiFolder, documents: Mapping[str, JsonObject], pins: Sequence[Pin]) -> list[DocumentFile]:
    """The files to write for these documents, and our files to remove, in the order of their names.

    Raises UsageError if the folder has documents of another environment, and for a document with an API key.
    """
    _refuse_other_environment(folder, pins)
    names = file_names(pin.name for pin in pins)
    planned = []
    for pin in pins:
        file, document = names[pin.name], documents[pin.name]
        refuse_keys_in(document_text(document), shown(folder.path / file))
        stored = folder.documents.get(file)
        is_equal = stored is not None and canonical(stored) == canonical(document)
        state = "added" if stored is None else "unchanged" if is_equal else "changed"
        is_other = file in folder.others
        planned.append(
            DocumentFile(file=file, state=state, pin=pin, text=document_text(document), replaces_other=is_other)
        )
    left_over = folder.documents.keys() - names.values()
    planned += [DocumentFile(file=file, state="removed") for file in left_over]
    return sorted(planned, key=lambda planned_file: planned_file.file)


def write_files(folder: Path, files: Iterable[DocumentFile]) -> None:
    """Write and remove what is planned, each file atomically. Raises UsageError if that is not possible."""
    for planned in files:
        path = folder / planned.file
        if planned.state == "removed":
            real = inside(folder, path)
            try:
                real.unlink(missing_ok=True)
                sync_folder(real.parent)
            except OSError as error:
                message = f"cannot remove {shown(path)}: {error.strerror or error}"
                raise UsageError(message, code="files.unwritable") from error
        elif planned.state != "unchanged":
            rewrite_file(path, planned.text.encode(), folder=folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleDocument:
    """A file that `openapi pull` would write or remove, and why."""

    file: str
    reason: str


def check_files(folder: OpenApiFolder, pins: Sequence[Pin], options: DocumentOptions) -> tuple[StaleDocument, ...]:
    """The files that are not what the lock and these options say. Works offline.

    What only the server knows (the texts of a document, and all of one that is stored as served) is not compared.
    """
    _refuse_other_environment(folder, pins)
    names = file_names(pin.name for pin in pins)
    reasons = {names[pin.name]: _why_stale(folder, names[pin.name], pin, options) for pin in pins}
    reasons |= dict.fromkeys(folder.documents.keys() - names.values(), "nothing of this name is pinned")
    return tuple(StaleDocument(file=file, reason=reason) for file, reason in sorted(reasons.items()) if reason)


def _why_stale(folder: OpenApiFolder, file: str, pin: Pin, options: DocumentOptions) -> str:
    if reason := _why_other_pin(folder, file, pin, options.form):
        return reason
    document = folder.documents[file]
    try:
        expected = options.document(document, pin)
    except UnreadableDocument as error:
        return f"cannot be used: {error}"
    return "" if canonical(expected) == canonical(document) else "was changed by hand, or written with other options"


def _why_other_pin(folder: OpenApiFolder, file: str, pin: Pin, form: DocumentForm) -> str:
    """Why a file is not a document of this pin in this form; empty if it is."""
    document = folder.documents.get(file)
    if document is None:
        return "was not written by this program" if file in folder.others else "is missing"
    mark = mark_of(document)
    if mark is None or mark.name != pin.name:
        return f"is not the document of {pin.name}"
    if mark.form is not form:
        return f"is {mark.form}, not {form}"
    if mark.version != pin.version:
        return f"is of version {mark.version}, and the lock pins {pin.version}"
    if mark != DocumentMark.of(pin, form):
        return f"is of another contract of version {pin.version} than the lock's"
    return ""


def _refuse_other_environment(folder: OpenApiFolder, pins: Sequence[Pin]) -> None:
    marks = [mark for document in folder.documents.values() if (mark := mark_of(document)) is not None]
    environment = next((pin.environment for pin in pins), None)
    other = next((mark.environment for mark in marks if environment and mark.environment != environment), None)
    if other is not None:
        message = f"{shown(folder.path)} has documents of environment {other}, not {environment}"
        fix = f"--out names another folder; or delete {shown(folder.path)}"
        raise UsageError(message, fix=fix, code="openapi.environment")


def read_documents(paths: Sequence[Path]) -> dict[Path, JsonObject]:
    """The documents in these files, and those of ours in these folders.

    Raises UsageError for a path that does not exist or a folder without documents, and InvalidInput for a file that is
    not a JSON object, also in a folder: it can be a document of ours with the marks of a merge conflict.
    """
    documents: dict[Path, JsonObject] = {}
    for path in paths:
        if not path.is_dir():
            documents[path] = read_document(path)
            continue
        folder = read_folder(path)
        if not folder.documents:
            fix = Advice(_PULL, " writes the documents of the pins")
            raise UsageError(f"{shown(path)} has no OpenAPI document of a pin", fix=fix, code="openapi.missing")
        for file in sorted(folder.others):
            if (path / file).is_file() and not (path / file).is_symlink():
                read_document(path / file)  # a damaged file of ours looks like one of others
        documents |= {path / file: document for file, document in folder.documents.items()}
    return documents


def stored_documents(
    documents: Mapping[Path, JsonObject],
    pins: Mapping[str, Pin],
    options: DocumentOptions,
    folders: Sequence[Path] = (),
) -> list[JsonObject]:
    """Documents from files in the form and version of these options. Documents as served need no pin.

    Raises InvalidInput for documents that are not of a pin in the lock, for enriched ones where documents as served are
    needed, and for pins without a document where `folders` were named, which have that of each pin.
    """
    usable, problems = [], []
    if folders:
        lacking = sorted(pins.keys() - {endpoint_name(document) for document in documents.values()})
        where, fix = shown(folders[0]), Advice(_PULL)
        problems += [
            Problem(path=where, message=f"the document of {name} is missing", code="openapi.missing", fix=fix)
            for name in lacking
        ]
    for path, document in documents.items():
        try:
            usable.append(_usable(document, pins, options))
        except UnreadableDocument as error:
            fix = Advice(_PULL if options.form is DocumentForm.ENRICHED else Command("openapi", "pull", "--as-served"))
            problems.append(Problem(path=shown(path), message=str(error), code="openapi.invalid", fix=fix))
    if problems:
        raise InvalidInput(tuple(problems))
    return usable


def _usable(document: JsonObject, pins: Mapping[str, Pin], options: DocumentOptions) -> JsonObject:
    name, mark = endpoint_name(document), mark_of(document)
    if options.form is DocumentForm.SERVED:
        if mark is not None and mark.form is DocumentForm.ENRICHED:
            raise UnreadableDocument(f"the document of {name} is enriched; what PostHog served is not stored")
        return document
    pin = pins.get(name)
    if pin is None:
        raise UnreadableDocument(f"the lock has no pin of {name}")
    if mark is None:
        return enrich(as_served(document, pin), pin, options.version)  # refuses another version
    if mark != DocumentMark.of(pin, mark.form):
        raise UnreadableDocument(f"the document of {name} is not of the pin in the lock ({pin.label})")
    return enrich(document, pin, options.version)


class StaleDocuments(InvalidInput):
    """Stored documents are not those of the lock's pins. As with a lock that is out of date, the exit code is 1."""

    exit_code = ExitCode.FINDINGS


def documents_of_pins(folder: OpenApiFolder, pins: Sequence[Pin], version: OpenApiVersion) -> dict[str, JsonObject]:
    """The enriched document of each pin, by name, from a folder of `openapi pull` in any form.

    Raises StaleDocuments with every document that is missing or of another pin, and UsageError if the folder has those
    of another environment.
    """
    _refuse_other_environment(folder, pins)
    names = file_names(pin.name for pin in pins)
    documents, problems = {}, []
    for pin in pins:
        stored = folder.documents.get(names[pin.name], {})
        mark = mark_of(stored)
        form = DocumentForm.ENRICHED if mark is None else mark.form
        if reason := _why_other_pin(folder, names[pin.name], pin, form):
            problems.append(Problem(path=shown(folder.path / names[pin.name]), message=reason, code="openapi.stale"))
            continue
        try:
            documents[pin.name] = enrich(stored, pin, version)
        except UnreadableDocument as error:
            message = f"cannot be used: {error}"
            problems.append(Problem(path=shown(folder.path / names[pin.name]), message=message, code="openapi.invalid"))
    if problems:
        fix = Advice(_PULL, "; then ", Command("generate"))
        stated = tuple(replace(problem, fix=fix) for problem in problems)
        raise StaleDocuments(stated, message="the stored OpenAPI documents are not those of the pins", fix=fix)
    return documents


def combined(documents: Iterable[JsonObject]) -> JsonObject:
    """One document of many. Raises UsageError for those that cannot be combined, and for an API key in them."""
    try:
        document = combine(tuple(documents))
    except UnreadableDocument as error:
        raise UsageError(f"these documents cannot be combined: {error}", code="openapi.combine") from error
    refuse_keys_in(document_text(document), "the combined document")
    return document


COMBINED_MARK = "# written by `endpoints-gitops openapi combine`\n"
"""The first line of a combined document in YAML, which shows that the file may be replaced."""


def combined_text(document: JsonObject, suffix: str) -> str:
    """The document as the text of a file that ends in this suffix: YAML for `.yaml` and `.yml`, else JSON."""
    if suffix not in (".yaml", ".yml"):
        return document_text(document)
    from endpoints_gitops.codecs.yaml.writer import Layout, mapping_lines

    ordered = json.loads(document_text(document))  # with its keys sorted
    return COMBINED_MARK + "".join(f"{line}\n" for line in mapping_lines(ordered, column=0, layout=Layout()))


def is_combined_file(content: bytes) -> bool:
    """Whether `combined_text` can have written the content of a file, which may then be replaced; or it is empty."""
    if not content.strip() or content.replace(b"\r\n", b"\n").startswith(COMBINED_MARK.encode()):
        return True
    try:
        return is_ours(json.loads(content))
    except (ValueError, RecursionError):
        return False
