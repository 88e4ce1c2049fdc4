"""Values of the plan room, made from few words: a definition, an endpoint, its versions, states in history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from endpoints_gitops.hogql.insights import expand
from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion, InsightVariable
from endpoints_gitops.plan.attribution import attribute
from endpoints_gitops.plan.diff import EndpointDiff, Revision, ServerRevision, compare_revisions
from endpoints_gitops.plan.evidence import PastSettings, Provenance, Recorded, recorded
from endpoints_gitops.plan.settings import definition_settings, endpoint_settings

NAME = "signups"


def at(hour: float) -> datetime:
    return datetime(2026, 7, 1, tzinfo=UTC) + timedelta(hours=hour)


def query(text: str) -> str:
    """The SQL of a query that is called by a letter; what is SQL already stays."""
    return f"SELECT '{text}' AS letter" if text.isalnum() else text


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Keys of a definition and of the wire, as keywords; `query` may be a single letter."""

    name: str = NAME
    lines: Mapping[str, int] = field(default_factory=dict)
    diffs: list[EndpointDiff] = field(default_factory=list)
    """What was attributed so far, for the test that asserts every reason."""

    def loaded(self, **keys: Any) -> LoadedDefinition:
        if "query_definition" not in keys:
            keys["query"] = query(keys.get("query", "A"))
        keys = {"name": self.name, **keys}
        return LoadedDefinition(
            path=f"endpoints/{keys['name']}.yaml",
            definition=Definition.model_validate(keys),
            sql=keys.get("query"),
            lines={key: number for number, key in enumerate(keys, start=1)} | self.lines,
        )

    def diff(
        self,
        loaded: LoadedDefinition | None,
        endpoint: Endpoint | None,
        evidence: Provenance,
        environment: str | None = None,
    ) -> EndpointDiff:
        """Both sides compared, and the differences attributed by the evidence."""
        local = Revision.local(loaded, environment) if loaded else None
        remote = ServerRevision.of(endpoint) if endpoint else None
        there = loaded or endpoint
        assert there is not None
        diff = attribute(compare_revisions(there.name, local, remote, environment=environment), evidence)
        self.diffs.append(diff)
        return diff

    def recorded(self, previous: Recorded | None, *, endpoint: Endpoint, **keys: Any) -> Recorded:
        return recorded(previous, endpoint=endpoint, server=endpoint_settings(endpoint), **keys)

    def past(self, hour: float, environment: str | None = None, **keys: Any) -> PastSettings:
        stated = definition_settings(self.loaded(**keys), environment)
        return PastSettings(settings=stated, committed_at=at(hour), commit=f"{int(hour):07d}abc")

    def endpoint(self, **keys: Any) -> Endpoint:
        return Endpoint.model_validate(self.wire(**keys))

    def version(self, number: int, text: str, hour: float, **keys: Any) -> EndpointVersion:
        wire = self.wire(query=text, current_version=number, **keys)
        person = {"email": "ann@example.com"}
        own = {"version": number, "version_created_at": at(hour).isoformat(), "version_created_by": person}
        return EndpointVersion.model_validate({**wire, **own})

    def versions(self, *texts: str, hour: float = 0) -> tuple[EndpointVersion, ...]:
        """Newest first, as the server lists them, an hour apart."""
        listed = [self.version(number, text, hour + number) for number, text in enumerate(texts, start=1)]
        return tuple(reversed(listed))

    def wire(self, **keys: Any) -> dict[str, Any]:
        text = keys.pop("query", "A")
        values = keys.pop("variables", {})
        node = text if isinstance(text, dict) else {"kind": "HogQLQuery", "query": query(text)}
        given = {f"id-{name}": self.entry(name, value) for name, value in values.items()}
        stored = expand({**node, "variables": given} if given else node)
        is_on = keys.pop("materialized", False)
        return {
            "id": "endpoint-1",
            "name": self.name,
            "description": "",
            "query": stored,
            "is_active": True,
            "data_freshness_seconds": 86400,
            "updated_at": at(0).isoformat(),
            "is_materialized": False,
            "current_version": 1,
            "current_version_id": "version-1",
            "materialization": {"enabled": is_on, "ready": False},
            "bucket_overrides": None,
            "tags": [],
            "optional_breakdown_properties": [],
            **keys,
        }

    @staticmethod
    def entry(name: str, value: Any) -> dict[str, Any]:
        return {"variableId": f"id-{name}", "code_name": name, "value": value, "isNull": value is None}

    @staticmethod
    def variable(code_name: str, **keys: Any) -> InsightVariable:
        wire = {"id": f"id-{code_name}", "name": code_name, "type": "String", "code_name": code_name, **keys}
        return InsightVariable.model_validate(wire)


@pytest.fixture(scope="session")
def make() -> Maker:
    return Maker()
