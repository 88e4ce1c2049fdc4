"""Make a plan of what was judged: what is ahead is written, what may be written over too, the rest is left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.model.json import Json
from endpoints_gitops.plan.changes import Action, Change, KeyChange, LeftAlone, Plan, Precondition
from endpoints_gitops.plan.judging import Difference, Judged, Presence, Verdict
from endpoints_gitops.plan.meaning import Key, Meaning, completed, line_of, of_definition, of_endpoint
from endpoints_gitops.plan.variables import VariableAction, VariableChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrite:
    """What may be written over: everything in conflict or drifted, or single names while that version is current."""

    everything: bool = False
    versions: Mapping[str, int] = field(default_factory=dict)

    def covers(self, judged: Judged) -> bool:
        if self.everything:
            return True
        return judged.endpoint is not None and self.versions.get(judged.name) == judged.endpoint.current_version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    environment: str
    overwrite: Overwrite
    prune: Collection[str]
    allow_cosmetic: bool


def make_plan(
    judged: Iterable[Judged],
    variables: Iterable[VariableChange],
    *,
    host: str,
    project_id: int,
    environment: str,
    overwrite: Overwrite | None = None,
    prune: Collection[str] | None = None,
    allow_cosmetic: bool = False,
    shared_variables: bool = False,
) -> Plan:
    """The plan for what was judged.

    `prune` has the names that may be deactivated (defined once and now no more, not protected, not renamed from); None
    without `--prune`. `variables` may be of more definitions than were judged. Raises UsageError where `overwrite`
    names what was not judged.
    """
    listed = sorted(judged, key=lambda one: one.name)
    wishes = _Wishes(
        environment=environment,
        overwrite=overwrite or Overwrite(),
        prune=prune or (),
        allow_cosmetic=allow_cosmetic,
    )
    _refuse_unknown(wishes.overwrite, listed)
    changes = tuple(change for one in listed for change in _changes(one, wishes))
    written, notes = _variables(variables, changes, listed, shared_variables=shared_variables)
    return Plan(
        host=host,
        project_id=project_id,
        environment=environment,
        variables=written,
        changes=changes,
        left_alone=tuple(left for one in listed for left in _left_alone(one, wishes)),
        cosmetic=tuple(one.name for one in listed if one.cosmetic and not allow_cosmetic),
        notes=(*notes, *_stale_overwrites(wishes.overwrite, listed)),
    )


def _refuse_unknown(overwrite: Overwrite, judged: Sequence[Judged]) -> None:
    unknown = sorted(overwrite.versions.keys() - {one.name for one in judged})
    if unknown:
        raise UsageError(
            f"--overwrite names {', '.join(unknown)}, which is not among what is compared here",
            fix="endpoints-gitops diff shows what differs; the names are those of the definitions",
            code="usage.overwrite",
        )


def _stale_overwrites(overwrite: Overwrite, judged: Sequence[Judged]) -> Iterator[str]:
    for one in judged:
        named = overwrite.versions.get(one.name)
        if named is not None and not overwrite.covers(one):
            now = f"version {one.endpoint.current_version} is current" if one.endpoint else "the endpoint is gone"
            yield f"{one.name}: nothing is overwritten, as version {named} was named and {now}"


def _changes(judged: Judged, wishes: _Wishes) -> Iterator[Change]:
    match judged.presence:
        case Presence.BOTH:
            yield from _updates(judged, wishes)
        case Presence.ONLY_HERE:
            if not judged.gone or wishes.overwrite.everything:
                yield _creation(judged, wishes.environment)
        case Presence.ONLY_THERE:
            yield from _removals(judged, wishes)


def _updates(judged: Judged, wishes: _Wishes) -> Iterator[Change]:
    if judged.loaded is None or judged.endpoint is None:
        return
    chosen = [one for one in judged.differences if _is_written(one, judged, wishes)]
    keys = [KeyChange(key=one.key, before=one.server, after=_after(one.key, one.file, one.server)) for one in chosen]
    if judged.cosmetic and wishes.allow_cosmetic:
        keys.insert(0, _cosmetic(judged, judged.endpoint, wishes.environment))
    if not keys:
        return
    lines = [one.line for one in chosen]
    yield Change(
        name=judged.name,
        action=Action.UPDATE,
        keys=tuple(keys),
        precondition=Precondition.of(judged.endpoint, (one.key for one in keys)),
        path=judged.loaded.path,
        line=next(iter(lines), None) or line_of(Key.QUERY, judged.loaded, wishes.environment),
        notes=tuple(_update_notes(judged, judged.endpoint, keys, chosen)),
    )


def _is_written(difference: Difference, judged: Judged, wishes: _Wishes) -> bool:
    return difference.verdict is Verdict.AHEAD or wishes.overwrite.covers(judged)


def _after(key: Key, file: Json, server: Json = None) -> Json:
    return completed(file, server) if key is Key.QUERY else file


def _cosmetic(judged: Judged, endpoint: Endpoint, environment: str) -> KeyChange:
    assert judged.loaded is not None, "only a definition differs in form"
    before = of_endpoint(endpoint)[Key.QUERY]
    after = completed(of_definition(judged.loaded, environment)[Key.QUERY], before)
    return KeyChange(key=Key.QUERY, before=before, after=after)


def _update_notes(
    judged: Judged, endpoint: Endpoint, keys: Iterable[KeyChange], chosen: Iterable[Difference]
) -> Iterator[str]:
    if judged.reason:
        yield judged.reason
    if any(one.key is Key.QUERY for one in keys):
        yield f"makes version {endpoint.current_version + 1}"
    for one in chosen:
        if one.verdict is not Verdict.AHEAD:
            yield f"overwrites {one.key} ({one.verdict}): {one.reason}"


def _creation(judged: Judged, environment: str) -> Change:
    assert judged.loaded is not None, "what is only here is a definition"
    stated = dict(_first_settings(of_definition(judged.loaded, environment)))
    return Change(
        name=judged.name,
        action=Action.CREATE,
        keys=tuple(KeyChange(key=key, before=None, after=_after(key, stated[key])) for key in Key if key in stated),
        path=judged.loaded.path,
        line=judged.loaded.lines.get("name"),
        notes=("makes version 1", judged.reason) if judged.gone else ("makes version 1",),
    )


def _first_settings(stated: Meaning) -> Iterator[tuple[Key, Json]]:
    """Nothing is materialised where nothing is active, and overrides are kept with a table only."""
    has_table = stated.get(Key.ACTIVE) is not False and stated.get(Key.MATERIALIZATION) is True
    for key, value in stated.items():
        if has_table or key not in {Key.MATERIALIZATION, Key.BUCKET_OVERRIDES}:
            yield key, value


def _removals(judged: Judged, wishes: _Wishes) -> Iterator[Change]:
    removal, endpoint = judged.removal, judged.endpoint
    if endpoint is None or removal is None or judged.name not in wishes.prune:
        return
    if _is_written(removal, judged, wishes):
        yield Change(
            name=judged.name,
            action=Action.DEACTIVATE,
            keys=(KeyChange(key=Key.ACTIVE, before=True, after=False),),
            precondition=Precondition.of(endpoint, (Key.ACTIVE,)),
            notes=("callers get 404 from then on", removal.reason),
        )


def _left_alone(judged: Judged, wishes: _Wishes) -> Iterator[LeftAlone]:
    if judged.gone and not wishes.overwrite.everything:
        yield _left(judged, Verdict.CONFLICT, None, judged.reason, _ways_back(judged.name))
    for one in judged.differences:
        if not _is_written(one, judged, wishes):
            yield _left(judged, one.verdict, one.key, one.reason, one.fix or _ways_out(judged, one.verdict))
    removal = judged.removal
    if removal is not None and judged.name in wishes.prune and not _is_written(removal, judged, wishes):
        yield _left(judged, removal.verdict, Key.ACTIVE, removal.reason, f"endpoints-gitops deactivate {judged.name}")


def _left(judged: Judged, verdict: Verdict, key: Key | None, reason: str, fix: str) -> LeftAlone:
    """Who made a version is known; who changed a setting is not, only when the endpoint was last written to."""
    is_setting = judged.endpoint is not None and key is not Key.QUERY
    date = judged.endpoint.updated_at if judged.endpoint is not None and is_setting else judged.date
    return LeftAlone(
        name=judged.name,
        verdict=verdict,
        key=key,
        reason=reason,
        version=judged.version,
        author=None if is_setting else judged.author,
        date=date.isoformat() if date else None,
        fix=fix,
    )


def _ways_out(judged: Judged, verdict: Verdict) -> str:
    name = judged.name
    if verdict is Verdict.DRIFTED:
        return f"endpoints-gitops pull {name}"
    return (
        f"endpoints-gitops pull --theirs {name} takes the server's; endpoints-gitops adopt {name}, or "
        f"endpoints-gitops push --overwrite={name}@{judged.version} {name}, keeps the file's"
    )


def _ways_back(name: str) -> str:
    return f"endpoints-gitops push --overwrite {name} creates it again, at version 1; else remove the definition"


def _variables(
    variables: Iterable[VariableChange], changes: Sequence[Change], judged: Sequence[Judged], *, shared_variables: bool
) -> tuple[tuple[VariableChange, ...], list[str]]:
    """Missing ones that a query of this plan brings, and on request those that differ; the others as notes."""
    bringing = {change.name for change in changes if change.sends_query}
    names = {one.name for one in judged if one.loaded is not None}
    written: list[VariableChange] = []
    notes: list[str] = []
    for one in variables:
        if one.action is VariableAction.CREATE:
            written += [one] * (not bringing.isdisjoint(one.declared_by))
        elif not names.isdisjoint(one.declared_by):
            written += [one] * shared_variables
            notes += [] if shared_variables else [_left_variable(one)]
    return tuple(written), notes


def _left_variable(change: VariableChange) -> str:
    differing = ", ".join(change.before or ())
    return (
        f"the shared variable {change.code_name} has another {differing} than {change.where} says; it is left as it "
        f"is, as {', '.join(change.used_by)} use it: --shared-variables changes it for all of them"
    )
