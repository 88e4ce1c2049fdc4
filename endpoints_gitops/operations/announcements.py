"""The announced removals in a definitions folder, for commands that work beside broken files too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from endpoints_gitops.errors import InvalidInput, Problem
from endpoints_gitops.model.sunset import Announcement
from endpoints_gitops.workspace.definitions import list_files, open_file

_KEY = b"deprecation"


def read_announcements(
    folder: Path, environment: str | None = None
) -> tuple[Mapping[str, Announcement], tuple[Problem, ...]]:
    """The announcements of a folder by name, and the mistakes in files that may hold more.

    Only files with the word `deprecation` are parsed. Nothing without a folder.
    """
    announcements: dict[str, Announcement] = {}
    paths, problems = list_files(folder) if folder.is_dir() else ([], [])
    for path in paths:
        try:
            opened = open_file(path, folder)
            loaded = opened.read(is_parsed=False) if _KEY in opened.content else None
        except InvalidInput as error:
            problems += error.problems
            continue
        announcement = Announcement.of(loaded, environment) if loaded is not None else None
        if announcement is not None:
            announcements[announcement.name] = announcement
    return announcements, tuple(problems)
