"""Generated clients: what their files must contain, how those on disk differ, and writing them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.header import SUFFIXES, header_of, read_header, text_with_header
from endpoints_gitops.codegen.interface import EndpointInterface, interface_of
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.pin import Lock
from endpoints_gitops.model.secret import refuse_keys_in
from endpoints_gitops.model.target import NATIVE, NATIVE_LANGUAGES, PYTHON_PACKAGE, GeneratedFile, GenerationTarget
from endpoints_gitops.workspace.files import inside, leads_out, read_regular_file, rewrite_file, shown

if TYPE_CHECKING:
    from endpoints_gitops.workspace.configuration import Configuration

_SKIPPED: Final = ("__pycache__", "node_modules")
_PROJECT_FILES: Final = ("endpoints.lock", "endpoints.toml", ".git")
"""A folder with one of these is a project of its own."""


class FileState(StrEnum):
    """How a file on disk differs from what `generate` writes."""

    CURRENT = "current"
    MISSING = "missing"
    STALE = "stale"
    LEFT_OVER = "left over"
    """Generated for this target, which no longer has such a file."""
    FOREIGN = "not generated"
    """There is a file that was not generated: it has no header of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStatus:
    """A file of a target. `text` is what it must contain, None if it must not exist; `reasons` say why it differs."""

    target: GenerationTarget
    path: Path
    state: FileState
    reasons: tuple[str, ...] = ()
    text: str | None = None
    pins: tuple[str, ...] = ()


def compare_targets(
    targets: Sequence[GenerationTarget], configuration: Configuration, lock: Lock, environment: str | None = None
) -> tuple[FileStatus, ...]:
    """Compare the files of the targets with what the pins give, ordered by target and path.

    `environment` goes over that of the targets. Raises UsageError if the environment of a target is not known or cannot
    be chosen, if a file cannot be read, or if two targets write the same file, and what `files_of_generator` raises.
    """
    default = configuration.overrides.get("ENV") or configuration.default_environment
    folders = [target_folder(target, configuration) for target in {*configuration.targets, *targets}]
    statuses: list[FileStatus] = []
    for target in targets:
        wanted = replace(target, environment=environment or target.environment)
        chosen = environment_of(wanted, lock, configuration.environments, default)
        files = _files(interfaces_of(lock, chosen), target, chosen, configuration)
        statuses += compare_files(target, files, target_folder(target, configuration), folders)
    refuse_shared_paths(statuses)
    return tuple(statuses)


def target_folder(target: GenerationTarget, configuration: Configuration) -> Path:
    """The folder of a target: relative to the configuration if that lists it, else to the current folder.

    Raises UsageError for a folder of the configuration that is outside of the repository.
    """
    if target.name is None:
        return Path(target.out).expanduser()
    folder = configuration.folder / target.out
    if leads_out(folder, configuration.folder):
        message = f"the folder {shown(folder)} is outside of the repository"
        raise UsageError(message, where=target.where, fix="use a folder inside of it", code="files.outside")
    return folder


def _files(
    interfaces: Sequence[EndpointInterface], target: GenerationTarget, environment: str, configuration: Configuration
) -> tuple[GeneratedFile, ...]:
    """The files of a target. Raises UsageError if the target is not known, and what `files_of_generator` raises."""
    if not target.is_internal:
        from endpoints_gitops.operations.generators import files_of_generator
        from endpoints_gitops.workspace.openapi_files import documents_folder

        settings = configuration.environments.get(environment, configuration.common)
        return files_of_generator(interfaces, target, documents_folder(configuration, settings))
    files = generated_files(interfaces, target)
    if files is None:
        message = f"there is no {target.generator} client for {target.lang}"
        languages = NATIVE_LANGUAGES if target.generator == NATIVE else ("python",)
        fix = f"for this generator, lang is {' or '.join(languages)}"
        raise UsageError(message, where=target.where, fix=fix, code="generate.lang")
    return files


def compare_files(
    target: GenerationTarget, files: Sequence[GeneratedFile], folder: Path, others: Sequence[Path] = ()
) -> tuple[FileStatus, ...]:
    """Compare the files of a target with those in `folder`, ordered by path.

    Files of the target that are no longer needed are looked for where such a target writes: in `folder`, and below it
    in the folders of its code; never in the folders of `others`, nor in a project of its own. Raises UsageError if a
    file cannot be read.
    """
    statuses = [_status(target, folder, file) for file in files]
    expected = {status.path for status in statuses}
    for path in _candidates(folder, _code_folders(target, files), others):
        if path not in expected and (header := read_header(_start(path))) and header.label == target.label:
            reasons = tuple(f"{pin.label} is no longer part of it" for pin in header.pins)
            statuses.append(FileStatus(target=target, path=path, state=FileState.LEFT_OVER, reasons=reasons))
    return tuple(sorted(statuses, key=lambda status: status.path))


def interfaces_of(lock: Lock, environment: str) -> tuple[EndpointInterface, ...]:
    """The interfaces of the pins of an environment, each with its twins in other environments."""
    mine = {pin.name: interface_of(pin) for pin in lock.of(environment)}
    twins: dict[str, list[EndpointInterface]] = {name: [] for name in mine}
    for pin in lock.pins:
        if pin.environment != environment and pin.name in mine:
            twins[pin.name].append(interface_of(pin))
    return tuple(
        replace(interface, twins=tuple(twin.pin for twin in twins[name] if interface.is_like(twin)))
        for name, interface in mine.items()
    )


def write_files(statuses: Sequence[FileStatus], root: Path, folder: Path) -> None:
    """Write and remove what differs; nothing outside of `root`. Folders below `folder` that become empty are removed.

    Raises UsageError if a file cannot be written.
    """
    for status in statuses:
        if status.text is not None and status.state is not FileState.CURRENT:
            rewrite_file(status.path, status.text.encode(), folder=root)
        elif status.state is FileState.LEFT_OVER:
            inside(root, status.path)
            _remove(status.path, folder)


def refuse_shared_paths(statuses: Sequence[FileStatus]) -> None:
    """Raise UsageError if two targets write the same file."""
    targets: dict[Path, GenerationTarget] = {}
    for status in statuses:
        if status.text is None:
            continue
        other = targets.setdefault(status.path, status.target)
        if other is not status.target:
            message = f"{other.name} and {status.target.name} both write {shown(status.path)}"
            fix = "give one of them another `out`"
            raise UsageError(message, where=status.target.where, fix=fix, code="generate.shared")


def _status(target: GenerationTarget, folder: Path, file: GeneratedFile) -> FileStatus:
    path = folder / file.path
    text = text_with_header(file, target)
    refuse_keys_in(text, shown(path), target.where)
    status = FileStatus(
        target=target,
        path=path,
        state=FileState.CURRENT,
        text=text,
        pins=tuple(sorted({pin.label for pin in file.pins})),
    )
    try:
        content = read_regular_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return replace(status, state=FileState.MISSING, reasons=("the file does not exist",))
    except OSError as error:
        raise _unreadable(path, error) from error
    before = content.decode("utf-8-sig", "replace").replace("\r\n", "\n")
    if before == text:
        return status
    header = read_header(before)
    if header is None:
        return replace(status, state=FileState.FOREIGN, reasons=("the file was not generated",))
    reasons = header.differences(header_of(file, target)) or ("its text differs from what `generate` writes now",)
    return replace(status, state=FileState.STALE, reasons=reasons)


def _code_folders(target: GenerationTarget, files: Sequence[GeneratedFile]) -> frozenset[str] | None:
    """The names in its folder below which a target can have files; None if it can have them below any.

    Only the folder of a configured generator is known to be its own.
    """
    if target.is_internal:
        return frozenset({PYTHON_PACKAGE})
    return frozenset(file.path.partition("/")[0] for file in files) if target.name is None else None


def _candidates(folder: Path, below: frozenset[str] | None, others: Sequence[Path]) -> Iterator[Path]:
    """The files that can be generated, in a folder and in those `below` it, without following links.

    Raises UsageError for a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise _unreadable(Path(error.filename or folder), error)

    skipped = {os.path.abspath(other) for other in others if other != folder}  # noqa: PTH100 - compared with os.walk
    top = os.fspath(folder)
    for parent, folders, names in os.walk(top, onerror=refuse):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and (below is None or parent != top or name in below)
            and os.path.abspath(os.path.join(parent, name)) not in skipped  # noqa: PTH100, PTH118 - likewise
            and not any(os.path.lexists(os.path.join(parent, name, file)) for file in _PROJECT_FILES)  # noqa: PTH118
        )
        yield from (Path(parent, name) for name in sorted(names) if os.path.splitext(name)[1] in SUFFIXES)  # noqa: PTH122 - for every file of a folder


def _start(path: Path) -> str:
    """The text of a file, or nothing for one that does not begin as a header does."""
    try:
        begin = read_regular_file(path, largest=80)
        if b"Code generated by endpoints-gitops" not in begin:
            return ""
        return read_regular_file(path).decode("utf-8-sig", "replace")
    except FileNotFoundError:  # a link to nothing, or removed meanwhile
        return ""
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot be read: {error.strerror or error}", where=shown(path), code="generate.unreadable")


def _remove(path: Path, top: Path) -> None:
    try:
        path.unlink()
        for folder in path.parents:
            if folder == top or any(folder.iterdir()):
                break
            folder.rmdir()
    except OSError as error:
        message = f"cannot remove {shown(path)}: {error.strerror or error}"
        raise UsageError(message, code="files.unwritable") from error


def environment_of(target: GenerationTarget, lock: Lock, configured: Mapping[str, object], default: str | None) -> str:
    """The environment whose pins a target uses: its own, else the default, else the only one in the lock.

    Raises UsageError for one that is neither configured nor locked, and for several without a choice.
    """
    locked = sorted({pin.environment for pin in lock.pins})
    chosen = target.environment or default
    if chosen is None and len(locked) > 1:
        message = f"the lock has pins of several environments: {', '.join(locked)}"
        raise UsageError(message, where=target.where, fix=f"--env {locked[0]}", code="configuration.environment")
    if chosen is None:
        chosen = next(iter(locked), None) or next(iter(sorted(configured)), None)
    if chosen is None:
        raise UsageError("the lock has no pins", where=target.where, fix=Advice(Command("lock")), code="lock.missing")
    if chosen not in locked and chosen not in configured:
        from endpoints_gitops.model.suggestions import did_you_mean

        message = f"the lock has no pins of environment {chosen!r}{did_you_mean(chosen, locked)}"
        raise UsageError(message, where=target.where, code="configuration.environment")
    return chosen
