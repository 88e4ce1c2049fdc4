"""Retire old tables, old versions, and endpoints after their sunset, once no app calls them.

Last calls come with the list of endpoints, and with the list of versions of an endpoint, so they belong to an id, and
not only to a name (docs/server.md#tables-that-idle). What the server does not say is unknown, and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import partial

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.api.client import Client
from endpoints_gitops.api.errors import LostAnswer
from endpoints_gitops.contract.announcements import is_idle, last_call
from endpoints_gitops.contract.context import Caller
from endpoints_gitops.errors import EndpointsError, PartlyApplied
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.model.sunset import Announcement, DeprecationPolicy, today_at
from endpoints_gitops.operations.callers import Callers
from endpoints_gitops.operations.concurrency import concurrent_map
from endpoints_gitops.operations.project import Progress


class RetireStep(StrEnum):
    """What is switched off, in this order."""

    TABLE = "table off"
    VERSION = "version off"
    ENDPOINT = "endpoint off"


class RetireState(StrEnum):
    """What becomes of an endpoint or a version."""

    READY = "ready"
    """It can be retired, and nothing was written yet."""
    RETIRED = "retired"
    REFUSED = "refused"
    WAITING = "waiting"
    """Its sunset is ahead."""
    UNKNOWN = "unknown"
    """The server did not say what has to be known, so it stays."""
    GONE = "gone"
    """The server does not have it, or it is inactive already."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """One endpoint, or one old version of it (`version`; 0 for all of them, where they could not be listed).

    `reasons` say why it is refused, waiting or unknown.
    `steps` are what is to be switched off, `done` what was; `error` stopped it, or prevented asking.
    """

    name: str
    state: RetireState
    version: int | None = None
    endpoint_id: str | None = None
    announcement: Announcement | None = None
    called: datetime | None = None
    steps: tuple[RetireStep, ...] = ()
    done: tuple[RetireStep, ...] = ()
    reasons: tuple[str, ...] = ()
    error: EndpointsError | None = None

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name

    @property
    def key(self) -> tuple[str, int | None]:
        return self.name, self.version

    @property
    def last_call(self) -> str:
        """The last call in words."""
        return "never called" if self.called is None else f"last called on {self.called:%Y-%m-%d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireContext:
    """What decides. `protected` are the names that `protect` covers; `is_named`: the user named what to retire, so that
    nothing may be left without a word."""

    environment: str
    announcements: Mapping[str, Announcement]
    callers: Callers
    protected: Collection[str]
    policy: DeprecationPolicy
    now: datetime
    is_named: bool = False

    @property
    def today(self) -> date:
        return today_at(self.now)


def judge(
    client: Client, context: RetireContext, names: frozenset[str], endpoints: Mapping[str, Endpoint], *, versions: bool
) -> tuple[Retirement, ...]:
    """Judge the endpoints of these names, and with `versions` their old versions first.

    Endpoints without an announcement are left out, unless the user named them. An endpoint whose versions could not be
    listed is unknown like these. `endpoints` are all of the server, from one list; nothing else is requested for them.
    """
    old = judge_versions(client, context, names, endpoints) if versions else ()
    unknown = {retirement.name for retirement in old if retirement.error is not None}
    judged = (_endpoint(context, name, endpoints.get(name)) for name in sorted(names - unknown))
    return (*old, *(retirement for retirement in judged if retirement is not None))


def judge_versions(
    client: Client, context: RetireContext, names: Collection[str], endpoints: Mapping[str, Endpoint]
) -> tuple[Retirement, ...]:
    """Judge the old active versions of these endpoints: one request for each endpoint that has old versions.

    An endpoint whose versions cannot be listed is unknown.
    """
    listed = [
        endpoints[name]
        for name in sorted(names)
        if name in endpoints and endpoints[name].is_active and endpoints[name].current_version > 1
    ]
    answers = concurrent_map(partial(_versions, client), listed)
    return tuple(
        retirement
        for endpoint, answer in zip(listed, answers, strict=True)
        for retirement in _old_versions(context, endpoint, answer)
    )


def retire(client: Client, retirements: Sequence[Retirement], progress: Progress) -> tuple[Retirement, ...]:
    """Switch off what is ready, the versions of an endpoint before the endpoint, and verify each write by its answer.

    After a failure, the rest of the same endpoint stays as it is.
    """
    ready = sorted(
        (retirement for retirement in retirements if retirement.state is RetireState.READY),
        key=lambda retirement: (retirement.name, retirement.version is None, retirement.version or 0),
    )
    results: dict[tuple[str, int | None], Retirement] = {}
    failed: set[str] = set()
    progress.started("retiring", len(ready))
    try:
        for retirement in ready:
            if retirement.name in failed:
                reasons = (f"not tried, because a version of {retirement.name} could not be switched off",)
                result = replace(retirement, state=RetireState.REFUSED, reasons=reasons)
            else:
                result = _retired(client, retirement)
            if result.error is not None:
                failed.add(result.name)
            results[result.key] = result
            progress.advanced(result.label, result.state)
    finally:
        progress.finished()
    return tuple(results.get(retirement.key, retirement) for retirement in retirements)


def _endpoint(context: RetireContext, name: str, endpoint: Endpoint | None) -> Retirement | None:
    announcement = context.announcements.get(name)
    if announcement is None and not context.is_named:
        return None
    judged = Retirement(name=name, state=RetireState.GONE, announcement=announcement)
    if endpoint is None or not endpoint.is_active:
        reason = "the server does not have it" if endpoint is None else "it is inactive already"
        return replace(judged, reasons=(reason,))
    judged = replace(judged, endpoint_id=endpoint.id, called=last_call(endpoint))
    if announcement is None:
        reason = "no definition here has a `deprecation` for it"
        return replace(judged, state=RetireState.REFUSED, reasons=(reason,))
    if not announcement.notice.is_over(context.today):
        state = RetireState.REFUSED if context.is_named else RetireState.WAITING
        return replace(judged, state=state, reasons=(announcement.notice.when(context.today),))
    callers = context.callers.of(context.environment, name)
    return _judged(context, judged, endpoint, callers, (RetireStep.ENDPOINT,))


def _versions(client: Client, endpoint: Endpoint) -> tuple[EndpointVersion, ...] | EndpointsError:
    try:
        return tuple(client.list_versions(endpoint.name))
    except EndpointsError as error:
        return error


def _old_versions(
    context: RetireContext, endpoint: Endpoint, answer: tuple[EndpointVersion, ...] | EndpointsError
) -> Iterator[Retirement]:
    if isinstance(answer, EndpointsError):
        reasons = ("its versions could not be listed",)
        yield Retirement(name=endpoint.name, version=0, state=RetireState.UNKNOWN, reasons=reasons, error=answer)
        return
    for version in sorted(answer, key=lambda version: version.version):
        if version.id != endpoint.id or not version.is_active or version.version >= endpoint.current_version:
            continue
        callers = context.callers.of(context.environment, endpoint.name)
        pinning = [caller for caller in callers if caller.version == version.version]
        judged = Retirement(
            name=endpoint.name,
            version=version.version,
            state=RetireState.READY,
            endpoint_id=endpoint.id,
            called=last_call(version),
        )
        table = (RetireStep.TABLE,) if version.materialization.is_on else ()
        yield _judged(context, judged, version, pinning, (*table, RetireStep.VERSION))


def _judged(
    context: RetireContext,
    judged: Retirement,
    endpoint: Endpoint,
    callers: Sequence[Caller],
    steps: tuple[RetireStep, ...],
) -> Retirement:
    """The verdict about something active: every reason against it, else that its last call is unknown, else ready."""
    reasons = [f"used by {caller.described(context.today)}" for caller in callers]
    if judged.name in context.protected:
        reasons.append("`protect` in the configuration covers it")
    is_known = "last_executed_at" in endpoint.model_fields_set
    if is_known and not is_idle(endpoint, context.now, context.policy):
        reasons.append(f"called within {context.policy.idle_days} days")
    if isinstance(endpoint, EndpointVersion) and _is_young(endpoint, context):
        reasons.append(f"created within {context.policy.idle_days} days, so its callers may not have called it yet")
    if reasons:
        return replace(judged, state=RetireState.REFUSED, reasons=tuple(reasons))
    if not is_known:
        return replace(judged, state=RetireState.UNKNOWN, reasons=("the server does not say when it was last called",))
    return replace(judged, state=RetireState.READY, steps=steps)


def _is_young(version: EndpointVersion, context: RetireContext) -> bool:
    created = version.version_created_at
    return created is not None and context.now - created < timedelta(days=context.policy.idle_days)


def _retired(client: Client, retirement: Retirement) -> Retirement:
    done: list[RetireStep] = []
    try:
        for step in retirement.steps:
            _switch_off(client, retirement, step)
            done.append(step)
    except EndpointsError as error:
        return replace(retirement, state=RetireState.FAILED, done=tuple(done), error=error)
    return replace(retirement, state=RetireState.RETIRED, done=tuple(done))


def _switch_off(client: Client, retirement: Retirement, step: RetireStep) -> None:
    """Write one step and verify it. Where the answer is lost, the endpoint or version is read."""
    name, version = retirement.name, retirement.version
    body = {"is_materialized": False} if step is RetireStep.TABLE else {"is_active": False}
    try:
        answer = client.update_endpoint(name, body, version=version)
    except LostAnswer:
        answer = client.get_endpoint(name) if version is None else client.get_version(name, version)
    if answer.id != retirement.endpoint_id:
        message = f"{name} was deleted and recreated on the server meanwhile, and this switched the new one off"
        raise PartlyApplied(message, fix=Advice(Command("activate", name)), code="push.moved", subject=name)
    is_off = not (answer.materialization.is_on if step is RetireStep.TABLE else answer.is_active)
    if not is_off:
        message = f"the server accepted the change of {retirement.label}, and it is not off"
        raise PartlyApplied(message, fix=Advice(Command("get", name)), code="push.unverified", subject=name)
