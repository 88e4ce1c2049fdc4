"""The file with the settings of a project (YAML), whose keys are those of PostHog's API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from endpoints_gitops.codecs.reader import Document, satisfies
from endpoints_gitops.codecs.text import KeyPath, decode
from endpoints_gitops.codecs.yaml.composer import MappingNode, Node, SequenceNode, compose, key_text, solid
from endpoints_gitops.codecs.yaml.loader import ValueReader
from endpoints_gitops.errors import InvalidInput, first_problems

CODE: Final = "project.invalid"
type _Matching = Literal["contains", "exact", "regex"]


def _is_zone(name: Any) -> bool:  # noqa: ANN401 - a text, by its type
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class ActionStepSettings:
    """One way in which an event belongs to an action. Keys that are missing or null match every event."""

    event: str | None = None
    url: str | None = None
    url_matching: _Matching | None = None
    properties: tuple[Mapping[str, object], ...] | None = None
    tag_name: str | None = None
    href: str | None = None
    href_matching: _Matching | None = None
    text: str | None = None
    text_matching: _Matching | None = None


@dataclass(frozen=True, kw_only=True)
class ActionSettings:
    """An action: the events that match any of its steps."""

    id: int
    name: str
    steps: tuple[ActionStepSettings, ...]


@dataclass(frozen=True, kw_only=True)
class CohortSettings:
    """A cohort: the persons that match `filters`, or, of a static one, `persons` by distinct id or id."""

    id: int
    name: str
    filters: Mapping[str, object] | None = None
    persons: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class PathCleaningSettings:
    """What of a path is replaced by the alias."""

    regex: str
    alias: str


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """The settings of a project; `week_start_day` is 0 for Sunday and 1 for Monday."""

    timezone: Annotated[str, satisfies(_is_zone, "a time zone such as Europe/Berlin")] = "UTC"
    week_start_day: Annotated[int, satisfies(lambda day: day in (0, 1), "0 (Sunday) or 1 (Monday)")] = 0
    test_account_filters: tuple[Mapping[str, object], ...] = ()
    path_cleaning_filters: tuple[PathCleaningSettings, ...] = ()
    actions: tuple[ActionSettings, ...] = ()
    cohorts: tuple[CohortSettings, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProjectSettingsFile:
    """The settings, and the document, which takes further mistakes."""

    settings: ProjectSettings
    document: Document


def read_project_settings(path: str, content: bytes) -> ProjectSettingsFile:
    """Read the settings of a project. Raises InvalidInput with every mistake."""
    text = decode(path, content, what="the settings of a project")
    root = compose(path, text, empty="this file is empty; it needs a setting such as `timezone: UTC`")
    reading = ValueReader(path=path)
    value = reading.value(root)
    if reading.problems:
        raise InvalidInput(first_problems(list(reading.problems)))
    document = Document(value, path, code=CODE, locate=lambda: dict(_positions(root, ())), table="mapping")
    settings = document.read(ProjectSettings)
    for key, items in (("actions", settings.actions), ("cohorts", settings.cohorts)):
        for attribute in ("id", "name"):
            values = [getattr(item, attribute) for item in items]
            for index, item in enumerate(values):
                if item in values[:index]:
                    document.add((key, index, attribute), f"there are two {key} with the {attribute} {item!r}")
    for index, cohort in enumerate(settings.cohorts):
        if (cohort.filters is None) == (cohort.persons is None):
            document.add(("cohorts", index), "a cohort has either filters or persons")
    document.raise_mistakes()
    return ProjectSettingsFile(settings=settings, document=document)


def _positions(node: Node, prefix: KeyPath) -> Iterator[tuple[KeyPath, tuple[int, int]]]:
    """Line and column of each key and item."""
    inner = solid(node)
    if isinstance(inner, MappingNode):
        for key, value in inner.pairs:
            path = (*prefix, key_text(key))
            yield path, (key.span.line, key.span.column)
            yield from _positions(value, path)
    elif isinstance(inner, SequenceNode):
        for index, item in enumerate(inner.items):
            yield (*prefix, index), (item.span.line, item.span.column)
            yield from _positions(item, (*prefix, index))
