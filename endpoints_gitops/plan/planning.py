"""Make a plan from diffs: it writes what is ahead or may be overwritten, and leaves the rest alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.errors import UsageError
from endpoints_gitops.plan.changes import ChangeAction, EndpointChange, KeyChange, LeftAlone, Plan, Precondition
from endpoints_gitops.plan.diff import Attribution, EndpointDiff, KeyDiff, Presence
from endpoints_gitops.plan.settings import Key, Settings, completed, line_of
from endpoints_gitops.plan.variables import VariableAction, VariableChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwrite:
    """What may be overwritten: everything in conflict or drifted, or single names while that version is current."""

    everything: bool = False
    versions: Mapping[str, int] = field(default_factory=dict)

    def covers(self, diff: EndpointDiff) -> bool:
        """Whether the differences of this endpoint may be written whatever their attribution."""
        if self.everything:
            return True
        return diff.endpoint is not None and self.versions.get(diff.name) == diff.endpoint.current_version


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What `plan` and `push` do only on request."""

    overwrite: Overwrite = field(default_factory=Overwrite)
    prune: bool = False
    allow_cosmetic: bool = False
    shared_variables: bool = False


def make_plan(
    diffs: Iterable[EndpointDiff],
    variables: Iterable[VariableChange],
    *,
    host: str,
    project_id: int,
    environment: str,
    options: PlanOptions | None = None,
    prunable: Collection[str] = (),
) -> Plan:
    """The plan for these differences, which are attributed.

    `prunable` has the names that `options.prune` may deactivate: defined once and now no more, not protected, not
    renamed from. `variables` may be of more definitions than `diffs`. Raises UsageError where `options.overwrite` names
    what is not among `diffs`.
    """
    options = options or PlanOptions()
    diffs = sorted(diffs, key=lambda diff: diff.name)
    _refuse_unknown(options.overwrite, diffs)
    prunable = prunable if options.prune else ()
    changes: list[EndpointChange] = []
    left_alone: list[LeftAlone] = []
    for diff in diffs:
        overwrites = options.overwrite.covers(diff)
        match diff.presence:
            case Presence.BOTH:
                changes += _update(diff, overwrites=overwrites, allow_cosmetic=options.allow_cosmetic)
            case Presence.ONLY_LOCAL if not diff.is_missing or options.overwrite.everything:
                changes.append(_creation(diff))
            case Presence.ONLY_REMOTE if diff.name in prunable and _is_written(diff.removal, overwrites=overwrites):
                changes.append(_removal(diff))
        if not overwrites:
            left_alone += _left_alone(diff, prunable)
    written, notes = _variables(variables, changes, diffs, shared_variables=options.shared_variables)
    return Plan(
        host=host,
        project_id=project_id,
        environment=environment,
        variables=written,
        changes=tuple(changes),
        left_alone=tuple(left_alone),
        cosmetic=tuple(diff.name for diff in diffs if diff.is_cosmetic and not options.allow_cosmetic),
        notes=(*notes, *_stale_overwrites(options.overwrite, diffs)),
    )


def _refuse_unknown(overwrite: Overwrite, diffs: Sequence[EndpointDiff]) -> None:
    unknown = sorted(overwrite.versions.keys() - {diff.name for diff in diffs})
    if unknown:
        raise UsageError(
            f"--overwrite names {', '.join(unknown)}, which is not among what is compared here",
            fix=Advice(Command("diff"), " shows what differs; the names are those of the definitions"),
            code="usage.overwrite",
        )


def _stale_overwrites(overwrite: Overwrite, diffs: Sequence[EndpointDiff]) -> Iterator[str]:
    for diff in diffs:
        named = overwrite.versions.get(diff.name)
        if named is not None and not overwrite.covers(diff):
            now = f"version {diff.endpoint.current_version} is current" if diff.endpoint else "the endpoint is gone"
            yield f"{diff.name}: nothing is overwritten, as version {named} was named and {now}"


def _is_written(difference: KeyDiff | None, *, overwrites: bool) -> bool:
    return difference is not None and (overwrites or difference.attribution is Attribution.AHEAD)


def _update(diff: EndpointDiff, *, overwrites: bool, allow_cosmetic: bool) -> Iterator[EndpointChange]:
    local, remote = diff.local, diff.remote
    if local is None or local.loaded is None or remote is None:
        return
    written = [difference for difference in diff.differences if _is_written(difference, overwrites=overwrites)]
    keys = [
        KeyChange(
            key=difference.key,
            before=difference.remote,
            after=completed(difference.local, difference.remote) if difference.key is Key.QUERY else difference.local,
            overwrites=None if difference.attribution is Attribution.AHEAD else difference.attribution,
        )
        for difference in written
    ]
    if diff.is_cosmetic and allow_cosmetic:
        before = remote.settings[Key.QUERY]
        after = completed(local.settings[Key.QUERY], before)
        keys.insert(0, KeyChange(key=Key.QUERY, before=before, after=after))
    if not keys:
        return
    line = written[0].line if written else None
    notes = [diff.note] if diff.note else []
    if any(key_change.key is Key.QUERY for key_change in keys):
        notes.append(f"makes version {(remote.version or 0) + 1}")
    notes += [
        f"overwrites {difference.key} ({difference.attribution}): {diff.explanation(difference)}"
        for difference in written
        if difference.attribution is not Attribution.AHEAD
    ]
    yield EndpointChange(
        name=diff.name,
        action=ChangeAction.UPDATE,
        keys=tuple(keys),
        precondition=Precondition.of(remote, (key_change.key for key_change in keys)),
        path=local.loaded.path,
        line=line or line_of(Key.QUERY, local.loaded, diff.environment),
        notes=tuple(notes),
    )


def _creation(diff: EndpointDiff) -> EndpointChange:
    loaded = diff.loaded
    assert loaded is not None, "only a definition is created on the server"
    stated = _first_settings(diff.local_settings)
    return EndpointChange(
        name=diff.name,
        action=ChangeAction.CREATE,
        keys=tuple(
            KeyChange(key=key, before=None, after=completed(stated[key]) if key is Key.QUERY else stated[key])
            for key in Key
            if key in stated
        ),
        path=loaded.path,
        line=loaded.lines.get("name"),
        notes=("makes version 1", diff.note) if diff.is_missing else ("makes version 1",),
    )


def _first_settings(stated: Settings) -> Settings:
    """The settings of a new endpoint: a table only where it is active, and overrides only with a table."""
    has_table = stated.get(Key.ACTIVE) is not False and stated.get(Key.MATERIALIZATION) is True
    left_out = () if has_table else (Key.MATERIALIZATION, Key.BUCKET_OVERRIDES)
    return {key: value for key, value in stated.items() if key not in left_out}


def _removal(diff: EndpointDiff) -> EndpointChange:
    assert diff.remote is not None and diff.removal is not None, "only an endpoint of the server is deactivated"  # noqa: PT018
    return EndpointChange(
        name=diff.name,
        action=ChangeAction.DEACTIVATE,
        keys=(KeyChange(key=Key.ACTIVE, before=True, after=False),),
        precondition=Precondition.of(diff.remote, (Key.ACTIVE,)),
        notes=("callers get 404 from then on", diff.removal.reason),
    )


def _left_alone(diff: EndpointDiff, prunable: Collection[str]) -> Iterator[LeftAlone]:
    name = diff.name
    if diff.is_missing:
        fix = Advice(
            Command("push", "--overwrite", name), " creates it again, at version 1; else remove the definition"
        )
        yield _left(diff, Attribution.CONFLICT, None, diff.note, fix)
    for difference in diff.differences:
        attribution = difference.attribution or Attribution.CONFLICT
        if attribution is not Attribution.AHEAD:
            yield _left(diff, attribution, difference.key, difference.reason, difference.fix or _fix(diff, attribution))
    removal = diff.removal
    if removal is not None and removal.attribution and name in prunable and not _is_written(removal, overwrites=False):
        fix = Advice(Command("deactivate", name))
        yield _left(diff, removal.attribution, Key.ACTIVE, removal.reason, fix)


def _left(diff: EndpointDiff, attribution: Attribution, key: Key | None, reason: str, fix: str) -> LeftAlone:
    """The difference with its author and date. A version has both; of a setting only the date of the last write is
    known.
    """
    is_setting = diff.endpoint is not None and key is not Key.QUERY
    date = diff.updated_at if is_setting else diff.date
    return LeftAlone(
        name=diff.name,
        attribution=attribution,
        key=key,
        reason=reason,
        version=diff.version,
        author=None if is_setting else diff.author,
        date=date.isoformat() if date else None,
        fix=fix,
    )


def _fix(diff: EndpointDiff, attribution: Attribution) -> str:
    name = diff.name
    if attribution is Attribution.DRIFTED:
        return Advice(Command("pull", name))
    return Advice(
        Command("pull", "--theirs", name),
        " takes the server's; ",
        Command("adopt", name),
        ", or ",
        Command("push", f"--overwrite={name}@{diff.version}", name),
        ", keeps the file's",
    )


def _variables(
    variables: Iterable[VariableChange],
    changes: Sequence[EndpointChange],
    diffs: Sequence[EndpointDiff],
    *,
    shared_variables: bool,
) -> tuple[tuple[VariableChange, ...], list[str]]:
    """The changes of shared variables: new ones for queries of this plan, and on request differing ones, else as
    notes.
    """
    bringing = {change.name for change in changes if change.sends_query}
    names = {diff.name for diff in diffs if diff.loaded is not None}
    written: list[VariableChange] = []
    notes: list[str] = []
    for change in variables:
        if change.action is VariableAction.CREATE:
            written += [change] * (not bringing.isdisjoint(change.declared_by))
        elif not names.isdisjoint(change.declared_by):
            written += [change] * shared_variables
            notes += [] if shared_variables else [_left_variable(change)]
    return tuple(written), notes


def _left_variable(change: VariableChange) -> str:
    differing = ", ".join(change.before or ())
    return (
        f"the shared variable {change.code_name} has another {differing} than {change.where} says; it is left as it "
        f"is, as {', '.join(change.used_by)} use it: --shared-variables changes it for all of them"
    )
