"""What a canary compares a pin with: a version that the server has, or the definition in the working tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from endpoints_gitops.api import errors as api
from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.contract.build import from_definition, from_version
from endpoints_gitops.contract.contract import Contract, settled
from endpoints_gitops.contract.pins import judge_pin
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.finding import Finding
from endpoints_gitops.model.pin import Pin
from pytest_endpoints_gitops.config import redacted
from pytest_endpoints_gitops.failures import CallRefused, Failure, RowsCut
from pytest_endpoints_gitops.guard import let_through
from pytest_endpoints_gitops.local_mode import HOGQL, Refusal, Tables, definitions_of, run_of, tables_of
from pytest_endpoints_gitops.values import Call

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App

_FOLDER: Final = "canary"


class Refused(Exception):
    """The candidate does not answer this call; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """`contract` is None where there is nothing to compare: it is what was pinned, or `pending` says what is missing.

    `found` are findings that need no comparison: the pinned version is gone, or moved in place.
    """

    label: str
    contract: Contract | None = None
    found: tuple[Finding, ...] = ()
    pending: str | None = None
    version: int | None = None


class Candidates(Protocol):
    """`pair` gives the two answers of a call, the pin's and the candidate's, where the first is None the test's own
    answer is meant. Raises Refused, or a Failure where it cannot be found out.
    """

    def of(self, pin: Pin) -> Candidate: ...
    def pair(self, call: Call, candidate: Candidate) -> tuple[RunAnswer | None, RunAnswer] | None: ...


class Served:
    """A version on the server: the newest, found out once in a run, or one of that number."""

    def __init__(self, app: App, number: int | None) -> None:
        self._app = app
        self._number = number

    def of(self, pin: Pin) -> Candidate:
        number = self._number if self._number is not None else self._newest(pin)
        label = f"{pin.name}@{number}" if number is not None else pin.name
        version = None if number is None else self._version(pin, number)
        if number is None or (version is not None and version.id != pin.endpoint_id):
            return Candidate(label=label, found=judge_pin(pin, version, version, use=self._app.uses.get(pin.name)))
        if version is None:
            return Candidate(label=label, pending=f"there is no version {number}")
        if number == pin.version:
            return Candidate(label=label, found=judge_pin(pin, version, version, use=self._app.uses.get(pin.name)))
        if not (version.is_active and version.endpoint_is_active):
            return Candidate(label=label, pending=f"version {number} is not active")
        types = {one.name: one.type for one in pin.variables}
        is_building = version.materialization.is_on and version.materialization.ready is False
        return Candidate(
            label=label,
            contract=from_version(version, types=types),
            pending="its table is not built yet (S110)" if is_building else None,
            version=number,
        )

    def pair(self, call: Call, candidate: Candidate) -> tuple[RunAnswer | None, RunAnswer] | None:
        assert candidate.version is not None, "what has a contract has a number"
        content = json.loads(self._once(call.pin, call.file, lambda: self._answer(call, candidate)))
        if "refused" in content:
            raise Refused(content["refused"])
        columns = None if content["columns"] is None else tuple(content["columns"])
        types = tuple((name, kind) for name, kind in content["types"])
        run = run_of(replace(call.pin, materialized=content["materialized"]), columns, types, content["rows"])
        return None, run

    def _answer(self, call: Call, candidate: Candidate) -> bytes:
        """Redacted as every answer is. What the candidate refuses is an answer too."""
        try:
            run = self._app.client.run(
                call.pin.name,
                variables=call.variables,
                version=candidate.version,
                limit=call.limit,
                offset=call.offset,
            )
        except (api.Refused, api.EndpointNotFound, api.VersionNotFound) as error:
            return json.dumps({"refused": error.detail or error.message}).encode()
        if run.has_more and call.limit is None:
            cut = f"{candidate.label}: the answer is cut after {len(run.results)} rows"
            raise RowsCut(cut, command=f"endpoints-gitops run {call.pin.name} --version {candidate.version} --all")
        rows = redacted(run.results, run.columns, self._app.config.redact)
        found = {"columns": run.columns, "types": run.types, "rows": rows, "materialized": run.materialized}
        return json.dumps(found).encode()

    def _newest(self, pin: Pin) -> int | None:
        content = self._once(pin, "newest", lambda: _dumped(self._app.client.get_endpoint, pin.name))
        return Endpoint.model_validate_json(content).current_version if content else None

    def _version(self, pin: Pin, number: int) -> EndpointVersion | None:
        content = self._once(pin, f"v{number}", lambda: _dumped(self._app.client.get_version, pin.name, number))
        return EndpointVersion.model_validate_json(content) if content else None

    def _once(self, pin: Pin, what: str, ask: Callable[[], bytes]) -> bytes:
        """What the server says, asked for once in a run over all its processes."""

        def asking() -> bytes:
            self._app.live.spend(pin.label)
            try:
                with let_through():
                    return ask()
            except ApiError as error:
                raise _unknown(pin, error) from None

        self._app.connection  # noqa: B018 - without a key nothing can be asked, and that is said first
        path = self._app.session.run_directory / _FOLDER / self._app.environment / pin.name / f"{what}.json"
        return self._app.live.once(path, asking)


def _dumped[**P](ask: Callable[P, Endpoint], *arguments: P.args, **named: P.kwargs) -> bytes:
    """As JSON; empty where there is no such thing."""
    try:
        return ask(*arguments, **named).model_dump_json().encode()
    except (api.EndpointNotFound, api.VersionNotFound):
        return b""


class Worktree:
    """The definitions of this checkout. Both queries run here, over the same tables: what differs, the queries do."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._loaded: dict[str, LoadedDefinition] | None = None

    @property
    def _tables(self) -> Tables:
        return tables_of(self._app)

    def of(self, pin: Pin) -> Candidate:
        loaded = self._definitions().get(pin.name)
        if loaded is None:
            return Candidate(label="worktree", found=self._gone(pin))
        contract = from_definition(loaded, self._app.environment)
        return Candidate(label=_shown(loaded.path), contract=contract)

    def pair(self, call: Call, candidate: Candidate) -> tuple[RunAnswer | None, RunAnswer] | None:
        """None for insights: the local engine computes none."""
        from endpoints_gitops.contract.build import from_pin

        if candidate.contract is None or candidate.contract.sql is None or call.pin.kind != HOGQL:
            return None
        before = from_pin(call.pin)
        after = settled(candidate.contract, settled(before, before))
        _refuse_variables(after, call)
        values = {one.name: one.default for one in after.inputs} | dict(call.variables)
        try:
            page = {"limit": call.limit, "offset": call.offset}
            mine = self._tables.answer_of_pin(call.pin, call.variables, **page)
            rows = self._tables.rows(after.sql or "", values, is_from_table=after.is_from_table, **page)
        except Refusal as refusal:
            raise Refused(str(refusal)) from None
        redact = self._app.config.redact
        mine = replace(mine, results=redacted(mine.results, mine.columns, redact))
        return mine, run_of(call.pin, rows[0], rows[1], redacted(rows[2], rows[0], redact))

    def _gone(self, pin: Pin) -> tuple[Finding, ...]:
        """That the definition was deleted (A101), or has another name by now (A102)."""
        from endpoints_gitops.contract.build import from_pin
        from endpoints_gitops.contract.compare import compare_all

        here = {name: from_definition(one, self._app.environment) for name, one in self._definitions().items()}
        found = compare_all({pin.name: from_pin(pin)}, here)
        return tuple(finding for finding in found if finding.endpoint == pin.name)

    def _definitions(self) -> dict[str, LoadedDefinition]:
        if self._loaded is None:
            self._loaded = {one.name: one for one in _read(definitions_of(self._app))}
        return self._loaded


def candidates_of(app: App, what: str) -> Candidates:
    if what == "worktree":
        return Worktree(app)
    return Served(app, None if what == "latest" else int(what))


def _read(folder: Path | None) -> tuple[LoadedDefinition, ...]:
    from endpoints_gitops.workspace.definitions import read_all
    from pytest_endpoints_gitops.trouble import set_up

    if folder is None:
        return ()
    with set_up("the definitions here"):
        return read_all(folder)


def _refuse_variables(after: Contract, call: Call) -> None:
    """As the server would, whose words these are (docs/server.md#running)."""
    known = {one.name: one for one in after.variables}
    unknown = sorted(call.variables.keys() - known.keys())
    if unknown:
        raise Refused(f"Unknown variable(s): {', '.join(unknown)}")
    required = (one for one in known.values() if one.required and after.is_from_table)
    missing = sorted(one.name for one in required if call.variables.get(one.name) is None)
    if missing:
        raise Refused(f"Required variable(s) {', '.join(map(repr, missing))} not provided")


def _unknown(pin: Pin, error: ApiError) -> Failure:
    return CallRefused(f"{pin.label}: {error.message}", ("received", error.request), command=_AGAIN)


_AGAIN: Final = "endpoints-gitops auth status"


def _shown(path: str) -> str:
    from endpoints_gitops.workspace.files import shown

    return shown(Path(path))
