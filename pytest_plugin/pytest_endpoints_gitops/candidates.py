"""What a canary compares a pin with: a version that the server has, or the definition in the working tree."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from endpoints_gitops.api import errors as api
from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.contract.build import from_definition, from_pin, from_version
from endpoints_gitops.contract.compare import compare_all
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.contract.pins import check_pin
from endpoints_gitops.extras import require
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.pin import Pin
from endpoints_gitops.model.redaction import Redaction, redacted
from endpoints_gitops.workspace.definitions import read_all
from endpoints_gitops.workspace.files import shown
from pytest_endpoints_gitops.calls import HOGQL, PinnedCall, run_of
from pytest_endpoints_gitops.errors import set_up
from pytest_endpoints_gitops.failures import CallRefused, EndpointRef, RowsCut
from pytest_endpoints_gitops.fakes import now
from pytest_endpoints_gitops.guard import let_through
from pytest_endpoints_gitops.local_tables import LocalTables, NotRunnable
from pytest_endpoints_gitops.project import PinnedEnvironment
from pytest_endpoints_gitops.run_folder import RunFolder

if TYPE_CHECKING:
    from endpoints_gitops.api.client import Client

_FOLDER: Final = "canary"


class CandidateRefusal(Exception):
    """The candidate does not answer this call; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """`contract` is None where there is nothing to compare: the candidate is what was pinned, or `pending` says what is
    missing. `findings` need no comparison: the pinned version is gone, or was changed in place.
    """

    label: str
    contract: Contract | None = None
    findings: tuple[Finding, ...] = ()
    pending: str | None = None
    version: int | None = None


class Candidates(Protocol):
    """What the calls of a run are compared with."""

    def of(self, pin: Pin) -> Candidate:
        """Raises a Failure where the candidate cannot be determined, and MissingExtra."""

    def answers(self, call: PinnedCall, candidate: Candidate) -> tuple[RunAnswer | None, RunAnswer] | None:
        """The answers of the pin and of the candidate; None for the first: the test's own answer. None where the
        candidate cannot be run here.

        Raises CandidateRefusal, or a Failure where the answer cannot be had.
        """


class ServedCandidates:
    """Versions on the server: `number`, or where that is None the newest, which is looked up once in a run."""

    def __init__(
        self,
        environment: PinnedEnvironment,
        client: Callable[[], Client],
        run_folder: RunFolder,
        redact: Redaction,
        number: int | None,
    ) -> None:
        self._environment = environment
        self._client = client
        self._run_folder = run_folder
        self._redact = redact
        self._number = number

    def of(self, pin: Pin) -> Candidate:
        number = self._number if self._number is not None else self._newest(pin)
        label = str(EndpointRef(pin.name, number))
        version = None if number is None else self._version(pin, number)
        is_recreated = version is not None and version.id != pin.endpoint_id
        if number is None or is_recreated or (version is not None and number == pin.version):
            use = self._environment.uses.get(pin.name)
            return Candidate(label=label, findings=check_pin(pin, version, version, use=use, now=now()))
        if version is None:
            return Candidate(label=label, pending=f"version {number} does not exist")
        if not (version.is_active and version.endpoint_is_active):
            return Candidate(label=label, pending=f"version {number} is not active")
        types = {variable.name: variable.type for variable in pin.variables}
        is_building = version.materialization.is_on and version.materialization.ready is False
        return Candidate(
            label=label,
            contract=from_version(version, types=types),
            pending="its table is not built yet (S110)" if is_building else None,
            version=number,
        )

    def answers(self, call: PinnedCall, candidate: Candidate) -> tuple[RunAnswer | None, RunAnswer] | None:
        assert candidate.version is not None, "what has a contract has a number"
        content = json.loads(self._once(call.pin, call.file, lambda: self._answer(call, candidate)))
        if "refused" in content:
            raise CandidateRefusal(content["refused"])
        columns = None if content["columns"] is None else tuple(content["columns"])
        types = [(name, kind) for name, kind in content["types"]]
        return None, run_of(call.pin, columns, types, content["rows"], materialized=content["materialized"])

    def _answer(self, call: PinnedCall, candidate: Candidate) -> bytes:
        """Redacted as every answer is. What the candidate refuses is an answer too."""
        try:
            run = self._client().run(
                call.pin.name,
                variables=call.variables,
                version=candidate.version,
                limit=call.limit,
                offset=call.offset,
            )
        except (api.Refused, api.EndpointNotFound, api.VersionNotFound) as error:
            return json.dumps({"refused": error.detail or error.message}).encode()
        if run.has_more and call.limit is None:
            raise RowsCut(
                EndpointRef(call.pin.name, candidate.version),
                f"the answer is cut after {len(run.results)} rows",
                command=("endpoints-gitops", "run", call.pin.name, "--version", str(candidate.version), "--all"),
            )
        rows = redacted(run.results, run.columns, self._redact)
        content = {"columns": run.columns, "types": run.types, "rows": rows, "materialized": run.materialized}
        return json.dumps(content).encode()

    def _newest(self, pin: Pin) -> int | None:
        content = self._once(pin, "newest", lambda: _dumped(self._client().get_endpoint, pin.name))
        return Endpoint.model_validate_json(content).current_version if content else None

    def _version(self, pin: Pin, number: int) -> EndpointVersion | None:
        content = self._once(pin, f"v{number}", lambda: _dumped(self._client().get_version, pin.name, number))
        return EndpointVersion.model_validate_json(content) if content else None

    def _once(self, pin: Pin, name: str, request: Callable[[], bytes]) -> bytes:
        """The server's answer, requested once in a run over all its processes."""
        endpoint = EndpointRef(pin.name, pin.version)

        def requested() -> bytes:
            self._run_folder.spend(endpoint)
            try:
                with let_through():
                    return request()
            except ApiError as error:
                command = ("endpoints-gitops", "auth", "status")
                raise CallRefused(endpoint, error.message, ("received", error.request), command=command) from None

        self._environment.connection  # noqa: B018 - a missing key is reported first
        owner = f"{quote(self._environment.project.name, safe='')}/{self._environment.name}"
        return self._run_folder.once(f"{_FOLDER}/{owner}/{pin.name}/{name}.json", requested)


def _dumped[**P](request: Callable[P, Endpoint], *arguments: P.args, **named: P.kwargs) -> bytes:
    """As JSON; empty where it does not exist."""
    try:
        return request(*arguments, **named).model_dump_json().encode()
    except (api.EndpointNotFound, api.VersionNotFound):
        return b""


class WorktreeCandidates:
    """The definitions of this checkout. Both queries run here, over the same tables, so that a difference is one of the
    queries. `tables` opens them when they are needed.
    """

    def __init__(self, environment: PinnedEnvironment, tables: Callable[[], LocalTables], redact: Redaction) -> None:
        self._environment = environment
        self._tables = tables
        self._redact = redact

    def of(self, pin: Pin) -> Candidate:
        loaded = self._definitions.get(pin.name)
        if loaded is None:
            return Candidate(label="worktree", findings=self._missing(pin))
        return Candidate(label=shown(Path(loaded.path)), contract=from_definition(loaded, self._environment.name))

    def answers(self, call: PinnedCall, candidate: Candidate) -> tuple[RunAnswer | None, RunAnswer] | None:
        """None for insights that the local engine does not compute, and for another kind of query."""
        if candidate.contract is None or candidate.contract.kind != call.pin.kind:
            return None
        if call.pin.kind != HOGQL:
            return self._insights(call, candidate.contract)
        pinned = from_pin(call.pin)
        contract = settled(candidate.contract, settled(pinned, pinned))
        _refuse_variables(contract, call)
        values = {variable.name: variable.default for variable in contract.inputs} | dict(call.variables)
        page, tables = (call.limit, call.offset), self._tables()
        try:
            before = tables.run_pin(call.pin, call.variables, self._environment.definitions, page)
            after = tables.run(call.pin, contract.query, values, is_from_table=contract.is_from_table, page=page)
        except NotRunnable as error:
            raise CandidateRefusal(str(error)) from None
        return self._redacted(before), replace(self._redacted(after), has_more=False)

    def _insights(self, call: PinnedCall, contract: Contract) -> tuple[RunAnswer, RunAnswer] | None:
        _refuse_variables(contract, call)
        try:
            before = self._tables().run_insight(call.pin, call.pin.query, call.variables)
            after = self._tables().run_insight(call.pin, contract.query, call.variables)
        except NotRunnable as error:
            raise CandidateRefusal(str(error)) from None
        return None if before is None or after is None else (self._redacted(before), self._redacted(after))

    def _redacted(self, run: RunAnswer) -> RunAnswer:
        return replace(run, results=redacted(run.results, run.columns, self._redact))

    def _missing(self, pin: Pin) -> tuple[Finding, ...]:
        """That the definition was deleted (A101) or renamed (A102)."""
        definitions = {
            name: from_definition(definition, self._environment.name) for name, definition in self._definitions.items()
        }
        findings = compare_all({pin.name: from_pin(pin)}, definitions)
        return tuple(finding for finding in findings if finding.endpoint == pin.name)

    @cached_property
    def _definitions(self) -> Mapping[str, LoadedDefinition]:
        folder = self._environment.definitions
        if folder is None:
            return {}
        require("cli", "the canary worktree")
        with set_up("definitions", "they cannot be used"):
            return {definition.name: definition for definition in read_all(folder)}


def _refuse_variables(contract: Contract, call: PinnedCall) -> None:
    """Raise CandidateRefusal as the server refuses, in its words (docs/server.md#running)."""
    known = {variable.name: variable for variable in contract.variables}
    unknown = sorted(call.variables.keys() - known.keys())
    if unknown:
        raise CandidateRefusal(f"Unknown variable(s): {', '.join(unknown)}")
    required = (variable for variable in known.values() if variable.required and contract.is_from_table)
    missing = sorted(variable.name for variable in required if call.variables.get(variable.name) is None)
    if missing:
        raise CandidateRefusal(f"Required variable(s) {', '.join(map(repr, missing))} not provided")
