"""Read the settings of a project, and translate its actions and cohorts into HogQL (docs/server.md#insights)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from endpoints_gitops.codecs.project_data import (
    ActionStepSettings,
    CohortSettings,
    ProjectSettings,
    ProjectSettingsFile,
    read_project_settings,
)
from endpoints_gitops.errors import Location, UsageError
from endpoints_gitops.local.engine.project_data import ProjectAction, ProjectCohort, ProjectData, ProjectExpression
from endpoints_gitops.local.engine.refusals import QueryRefused
from endpoints_gitops.local.insights import filters
from endpoints_gitops.local.insights.filters import FilterContext
from endpoints_gitops.workspace.files import read_regular_file

_AUTOCAPTURE: Final = "$autocapture"
_NO_PERSONS: Final = "SELECT id FROM persons WHERE 1 = 2"


def read_project(path: Path, now: datetime | None) -> ProjectData:
    """The settings in a file. `now` stops the clock of relative dates in filters.

    Raises InvalidInput with every mistake, and UsageError for a file that cannot be read.
    """
    try:
        content = read_regular_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", code="usage.project") from None
    file = read_project_settings(str(path), content)
    return _Translation(file, now or datetime.now(UTC)).data()


class _Translation:
    """The settings of one file, on their way into HogQL."""

    def __init__(self, file: ProjectSettingsFile, now: datetime) -> None:
        self._document = file.document
        self._settings: ProjectSettings = file.settings
        self._now = now
        self._expressions: list[ProjectExpression] = []

    def data(self) -> ProjectData:
        cohorts: list[ProjectCohort] = []
        for index, settings in enumerate(self._settings.cohorts):
            known = self._project(cohorts, [])  # each can refer to those before it
            with self._mistakes_at("cohorts", index, "filters"):
                cohorts.append(
                    ProjectCohort(
                        id=settings.id,
                        name=settings.name,
                        members=self._members(settings, known, index),
                        persons=settings.persons,
                        where=self._where("cohorts", index),
                    )
                )
        known = self._project(cohorts, [])
        for index, item in enumerate(self._settings.test_account_filters):
            with self._mistakes_at("test_account_filters", index):
                self._check_later(self._condition(item, known), "test_account_filters", index)
        for index, rule in enumerate(self._settings.path_cleaning_filters):
            cleaned = f"replaceRegexpAll('', {filters.text(rule.regex)}, {filters.text(rule.alias)})"
            self._check_later(cleaned, "path_cleaning_filters", index)
        actions: list[ProjectAction] = []
        for index, action in enumerate(self._settings.actions):
            conditions: list[str] = []
            for number, step in enumerate(action.steps):
                with self._mistakes_at("actions", index, "steps", number):
                    conditions.append(filters.all_of(self._step(step, known)))
                    self._check_later(conditions[-1], "actions", index, "steps", number)
            actions.append(ProjectAction(id=action.id, name=action.name, condition=filters.any_of(conditions)))
        self._document.raise_mistakes()
        return self._project(cohorts, actions)

    @contextmanager
    def _mistakes_at(self, *location: str | int) -> Iterator[None]:
        """What cannot be translated is a mistake at this location of the file."""
        try:
            yield
        except QueryRefused as refused:
            self._document.add(location, refused.message)

    def _check_later(self, hogql: str, *location: str | int, table: str = "events") -> None:
        """Keep an expression for the engine, which knows more mistakes when it opens."""
        self._expressions.append(ProjectExpression(hogql=hogql, table=table, where=self._where(*location)))

    def _where(self, *location: str | int) -> Location:
        return Location(self._document.path, *self._document.position(location))

    def _project(self, cohorts: Sequence[ProjectCohort], actions: Sequence[ProjectAction]) -> ProjectData:
        rules = self._settings.path_cleaning_filters
        return ProjectData(
            timezone=self._settings.timezone,
            week_start_day=self._settings.week_start_day,
            test_account_filters=self._settings.test_account_filters,
            path_cleaning=tuple((rule.regex, rule.alias) for rule in rules),
            actions=tuple(actions),
            cohorts=tuple(cohorts),
            expressions=tuple(self._expressions),
            is_given=True,
        )

    def _condition(self, value: object, project: ProjectData, *, of_persons: bool = False) -> str:
        now = self._now.astimezone(project.zone)
        return filters.properties(value, FilterContext(now=now, project=project, of_persons=of_persons))

    def _members(self, cohort: CohortSettings, project: ProjectData, index: int) -> str:
        if cohort.filters is not None:
            where = self._condition(cohort.filters.get("properties", cohort.filters), project, of_persons=True)
            self._check_later(where, "cohorts", index, "filters", table="persons")
            return f"SELECT id FROM persons WHERE {where}"  # noqa: S608 - translated parts
        listed = ", ".join(filters.text(person) for person in cohort.persons or ())
        if not listed:
            return _NO_PERSONS
        of_distinct_ids = f"SELECT person_id FROM person_distinct_ids WHERE distinct_id IN ({listed})"  # noqa: S608
        return f"SELECT id FROM persons WHERE toString(id) IN ({listed}) OR id IN ({of_distinct_ids})"  # noqa: S608

    def _step(self, step: ActionStepSettings, project: ProjectData) -> list[str]:
        """The conditions of a step. Elements count only for autocaptured events."""
        conditions = [f"event = {filters.text(step.event)}"] if step.event else []
        if step.event == _AUTOCAPTURE:
            conditions += _elements(step)
        elif step.tag_name is not None or step.href is not None or step.text is not None:
            raise QueryRefused(f"tag_name, href and text are for the event {_AUTOCAPTURE}: PostHog ignores them here")
        if step.url:
            conditions.append(_matching("properties.$current_url", step.url_matching or "contains", step.url, "like"))
        if step.properties:
            conditions.append(self._condition(list(step.properties), project))
        return conditions


def _elements(step: ActionStepSettings) -> list[str]:
    conditions = [filters.tag_name(step.tag_name)] if step.tag_name is not None else []
    if step.href is not None:
        conditions.append(_matching("elements_chain_href", step.href_matching or "exact", step.href, "ilike"))
    if step.text is not None:
        matching = _matching("_text", step.text_matching or "exact", step.text, "ilike")
        conditions.append(f"arrayExists(_text -> {matching}, elements_chain_texts)")
    return conditions


def _matching(left: str, matching: str, value: str, like: str) -> str:
    if matching == "regex":
        return f"{left} =~ {filters.text(value)}"
    return (
        f"{left} {like} {filters.text(f'%{value}%')}" if matching == "contains" else f"{left} = {filters.text(value)}"
    )
