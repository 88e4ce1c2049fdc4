"""The definitions of a folder as a commit has them, read from git without touching the work tree."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from typing import NoReturn

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.workspace.definitions import SUFFIXES, doubled
from endpoints_gitops.workspace.git import Repository, git
from endpoints_gitops.workspace.git_blobs import Blobs

_FILES = ("100644", "100755")


def definitions_at(
    found: Repository, commit: str, prefix: str, shown: str
) -> tuple[tuple[LoadedDefinition, ...], tuple[Problem, ...]]:
    """The definitions that a commit has in a folder, by path, and what is wrong with those that cannot be read.

    `prefix` is the folder as git names it; `shown` stands for the commit in paths. A file outside the folder is no part
    of it, wherever a `query_file` leads.
    """
    definitions: list[LoadedDefinition] = []
    problems: list[Problem] = []
    with Blobs(found) as blobs:
        for mode, path in listed(found, commit, prefix):
            name = f"{shown}:{path}"
            try:
                definitions.append(_read(blobs, commit, mode, path, prefix, name))
            except InvalidInput as error:
                problems += error.problems
    return tuple(definitions), (*problems, *doubled(definitions))


def listed(found: Repository, commit: str, prefix: str) -> Iterator[tuple[str, str]]:
    """The mode and path of each definition's file in a folder of a commit."""
    answer = git(found.top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", prefix)
    for entry in filter(None, answer.split(b"\0")):
        facts, _, name = entry.partition(b"\t")
        path = os.fsdecode(name)
        below = path.removeprefix(f"{prefix}/")
        if below.lower().endswith(SUFFIXES) and not any(part.startswith(".") for part in below.split("/")):
            yield facts.split()[0].decode("ascii"), path


def _read(blobs: Blobs, commit: str, mode: str, path: str, prefix: str, shown: str) -> LoadedDefinition:
    from endpoints_gitops.codecs.definition import read_definition

    content = blobs.at(commit, path) if mode in _FILES else None
    if content is None:
        problem = Problem(path=shown, message="is no regular file in that commit", code="definition.unreadable")
        raise InvalidInput((problem,))
    return read_definition(shown, content[1], _reader_beside(blobs, commit, path, prefix))


def _reader_beside(blobs: Blobs, commit: str, path: str, prefix: str) -> Callable[[str], bytes]:
    def read_beside(name: str) -> bytes:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        is_below = not place.startswith("../") and (prefix == "." or place.startswith(f"{prefix}/"))
        content = blobs.at(commit, place) if is_below else None
        return content[1] if content else _not_there(name)

    return read_beside


def _not_there(name: str) -> NoReturn:
    raise FileNotFoundError(2, "it is not in that commit", name)
