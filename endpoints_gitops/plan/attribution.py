"""Which side changed each differing key: the file is ahead, the server drifted, or both and that is a conflict.

Each rule answers, or leaves the key to the next rule; what cannot be known is a conflict. A key is ahead only if the
file is known to replace something older: the server as our last pull or push left it, or as the history of the file had
it. A key has drifted if the server changed it and the file has nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from endpoints_gitops.advice import Advice, Command
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.plan.diff import (
    Attribution,
    DroppedKey,
    EndpointDiff,
    KeyDiff,
    Presence,
    key_diff,
)
from endpoints_gitops.plan.evidence import NoHistory, OwnWrites, Provenance, Recorded
from endpoints_gitops.plan.lineage import Lineage, State, align, is_default
from endpoints_gitops.plan.settings import SERVER_DEFAULTS, Key, contains, same

_UNCHANGED_FILE: Final = "edited on the server; the file has nothing new"
UNREAD: Final = NoHistory(reason="the history of the definition cannot be read", fix="git fsck")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attributed:
    """The attribution of one key, as `KeyDiff` has it."""

    attribution: Attribution
    reason: str
    fix: str = ""
    is_known: bool = True


def attribute(diff: EndpointDiff, evidence: Provenance) -> EndpointDiff:
    """The same endpoint with every difference attributed by what is known of it."""
    diff = replace(diff, evidence=evidence)
    match diff.presence:
        case Presence.BOTH:
            return _on_both_sides(diff)
        case Presence.ONLY_LOCAL:
            return _only_local(diff)
        case Presence.ONLY_REMOTE:
            return _only_remote(diff)


def needs_versions(diff: EndpointDiff) -> bool:
    """Whether the list of versions can decide more: the query differs and is not proven to be ahead, or a table is off
    and only the calls of its version tell whether it was idle.

    Where the list cannot prove anything, it still has the author and date of what is left alone.
    """
    return any(
        (difference.key is Key.QUERY and difference.attribution is not Attribution.AHEAD) or _may_be_idle(difference)
        for difference in diff.differences
    )


def is_decided_by_base(diff: EndpointDiff) -> bool:
    """Whether the server has what the merge base states of every differing key: only the branch changed them."""
    return all(_has_base(diff, difference.key) for difference in diff.differences if difference.follows is None)


def _has_base(diff: EndpointDiff, key: Key) -> bool:
    base, remote = diff.evidence.base, diff.remote_settings
    return key in base and key in remote and same(key, base[key], remote[key])


def _may_be_idle(difference: KeyDiff) -> bool:
    is_off = difference.key is Key.MATERIALIZATION and difference.local is True
    return is_off and difference.attribution in (Attribution.DRIFTED, Attribution.CONFLICT)


def _on_both_sides(diff: EndpointDiff) -> EndpointDiff:
    differences = {difference.key: difference for difference in diff.differences if difference.follows is None}
    attributions = {key: _of_key(diff, key) for key in differences}
    followers = _followers(diff, attributions)
    differences |= {key: _following(diff, key, leader) for key, (leader, _) in followers.items()}
    attributions |= {key: attributed for key, (_, attributed) in followers.items()}
    return replace(
        diff,
        differences=tuple(_with(differences[key], attributions[key]) for key in Key if key in attributions),
        note=_recreated(diff.evidence, diff.endpoint),
        dropped=tuple(_dropped(diff)),
    )


def _with(difference: KeyDiff, attributed: _Attributed) -> KeyDiff:
    return replace(
        difference,
        attribution=attributed.attribution,
        reason=attributed.reason,
        fix=attributed.fix,
        is_known=attributed.is_known,
    )


def _following(diff: EndpointDiff, key: Key, leader: Key) -> KeyDiff:
    assert diff.local is not None, "a file says what follows"
    remote = diff.remote_settings.get(key, SERVER_DEFAULTS.get(key))
    return replace(key_diff(key, diff.local, remote, diff.environment), follows=leader)


def _followers(diff: EndpointDiff, attributions: Mapping[Key, _Attributed]) -> dict[Key, tuple[Key, _Attributed]]:
    """Keys that the server takes with another key only, and that key: a table with activation, buckets with a table."""
    local = diff.local_settings
    followers: dict[Key, tuple[Key, _Attributed]] = {}
    table, active = attributions.get(Key.MATERIALIZATION), attributions.get(Key.ACTIVE)
    if active and local[Key.ACTIVE] is True and local.get(Key.MATERIALIZATION) is True:
        table = replace(active, reason=f"comes with {Key.ACTIVE}: {active.reason}", fix="")
        followers[Key.MATERIALIZATION] = (Key.ACTIVE, table)
    if table and local[Key.MATERIALIZATION] is True and local.get(Key.BUCKET_OVERRIDES):
        buckets = replace(table, reason=f"comes with {Key.MATERIALIZATION}: {table.reason}")
        followers[Key.BUCKET_OVERRIDES] = (Key.MATERIALIZATION, buckets)
    return followers


def _dropped(diff: EndpointDiff) -> Iterator[DroppedKey]:
    remote = diff.remote_settings
    for key in diff.unmanaged:
        last = next(
            (past for past in diff.evidence.commits if past.settings is not None and key in past.settings), None
        )
        if last is not None:
            yield DroppedKey(key=key, remote=remote[key], commit=last.commit)


def _recreated(evidence: Provenance, endpoint: Endpoint | None) -> str:
    record = evidence.record
    if record is None or endpoint is None or record.endpoint_id == endpoint.id:
        return ""
    return "the endpoint was deleted and recreated since this checkout last pulled or pushed it"


def _only_local(diff: EndpointDiff) -> EndpointDiff:
    record = diff.evidence.record
    if record is not None:
        note = f"the server had version {record.version} when this checkout last pulled or pushed it; it was deleted"
    elif diff.evidence.is_pinned:
        note = "a lock pins a version of this endpoint, and the endpoint is gone"
    else:
        note = "the server has no such endpoint: it is created, at version 1"
    return replace(diff, is_missing=record is not None or diff.evidence.is_pinned, note=note)


def _only_remote(diff: EndpointDiff) -> EndpointDiff:
    endpoint = diff.endpoint
    attributed = _removal(diff, endpoint) if endpoint is not None and endpoint.is_active else None
    removal = None
    if attributed is not None:
        removal = _with(KeyDiff(key=Key.ACTIVE, local=False, remote=True), attributed)
    return replace(diff, removal=removal, note=_recreated(diff.evidence, endpoint))


def _removal(diff: EndpointDiff, endpoint: Endpoint) -> _Attributed | None:
    """The attribution of pruning: ahead if the endpoint is as this folder defined it; None where no commit did."""
    last = next((past for past in diff.evidence.history or () if past.settings is not None), None)
    if last is None or last.settings is None or diff.remote is None:
        return None
    remote = diff.remote.settings
    known = (last.settings, diff.base) if diff.record is not None else (last.settings,)
    changed = [
        key
        for key in Key
        if key in remote and any(key in state and not same(key, state[key], remote[key]) for state in known)
    ]
    if _recreated(diff.evidence, endpoint):
        return _conflict("no file defines it any more, and it was recreated since")
    if changed:
        return _conflict(f"no file defines it any more, but the server changed since one did: {', '.join(changed)}")
    return _ahead(f"no file defines it any more; commit {last.commit[:7]} was the last")


def _of_key(diff: EndpointDiff, key: Key) -> _Attributed:
    """The attribution of a key that both sides state and in which they differ."""
    attributed = _adopted(diff, key)
    if attributed is not None:
        return attributed
    if _has_base(diff, key):
        return _ahead("the server has what the merge base states")
    attributed = _by_trusted_record(diff, key) or _without_record(diff, key)
    return _idled(diff) if key is Key.MATERIALIZATION and _has_idled(diff, attributed) else attributed


def _described(diff: EndpointDiff) -> Endpoint:
    """The answer with the most about the current version: its entry in the list of versions, where that was read."""
    described = diff.current_version or diff.endpoint
    assert described is not None, "both sides are there"
    return described


def _has_idled(diff: EndpointDiff, attributed: _Attributed) -> bool:
    """Whether the server itself switched off the table that the file states (docs/server.md#tables-that-idle).

    A table that the file began to state after that, or after the last write to the server, was never sent.
    """
    now = diff.evidence.now
    if now is None or diff.local_settings[Key.MATERIALIZATION] is not True or not _described(diff).has_idled(now):
        return False
    if attributed.attribution is not Attribution.AHEAD:
        return True
    if diff.lineage is None:
        return False
    began, idles_at = _began_at(diff, diff.lineage, Key.MATERIALIZATION), _described(diff).idles_at
    was_sent = not began.is_later_than(diff.updated_at) and diff.updated_at is not None
    return was_sent and (idles_at is None or not began.is_later_than(idles_at))


def _by_trusted_record(diff: EndpointDiff, key: Key) -> _Attributed | None:
    attributed, record = _by_record(diff, key), diff.record
    if attributed is None or record is None:
        return None
    proves = attributed.attribution is not Attribution.AHEAD or not diff.evidence.is_tracked
    return attributed if proves else _as_safe_as_a_clone(diff, key, attributed, record)


def _without_record(diff: EndpointDiff, key: Key) -> _Attributed:
    for rule in (_by_defaults, _by_versions, _by_commits):
        attributed = rule(diff, key)
        if attributed is not None:
            return attributed
    return _unattributable(diff, key)


def _as_safe_as_a_clone(diff: EndpointDiff, key: Key, attributed: _Attributed, record: Recorded) -> _Attributed:
    """The attribution by the record, if a fresh clone of HEAD would be ahead too; else that of the clone.

    The record belongs to the checkout and not to the branch, so alone it proves nothing about a definition that
    commits have. Two things count that no clone has: what this checkout's own push wrote at this same commit, and an
    edit on top of a pull that no commit has yet, as long as the file still contains what was pulled.
    """
    if _is_kept(diff, key, record):
        return attributed
    here = _written_at_head(diff, record)
    if here is not None and key in here.pulled and not _contains_the_pull(diff, key, here):
        reason = f"the file no longer contains the {key} that this checkout pulled, and no commit has it"
        return _Attributed(attribution=Attribution.CONFLICT, reason=reason, fix=_commit_first(diff), is_known=False)
    if here is not None and _is_base(diff, key, here):
        return attributed
    if diff.lineage is None:
        return attributed if _is_in_a_visible_commit(diff, key) else _unattributable(diff, key)
    if _is_proven(diff, diff.lineage, key, record):
        return attributed
    fresh = _without_record(replace(diff, evidence=replace(diff.evidence, record=None)), key)
    if fresh.attribution is Attribution.AHEAD:
        return attributed
    is_pulled = record.own is not None and key in record.own.pulled and fresh.attribution is Attribution.CONFLICT
    return replace(fresh, fix=_commit_first(diff)) if is_pulled else fresh


def _commit_first(diff: EndpointDiff) -> str:
    name = diff.name
    return Advice(
        "commit the pull first: ",
        Command("pull", "--theirs", name),
        ", git commit, and edit again; or ",
        Command("adopt", name),
        " keeps the file's",
    )


def _adopted(diff: EndpointDiff, key: Key) -> _Attributed | None:
    """Ahead where the file supersedes the current version: the whole file was reviewed against that version.

    A query that changes makes another version. Settings do not, so for them `supersedes` no longer counts as soon as
    the server was written to after its commit, by the push of that commit or by another client.
    """
    supersedes = diff.loaded.definition.supersedes if diff.loaded else None
    if supersedes is None or supersedes != diff.version:
        return None
    answered = diff.lineage.answered(supersedes) if diff.lineage is not None else None
    is_spent = answered is not None and not answered.may_be_later_than(diff.updated_at)
    if key is not Key.QUERY and is_spent:
        return None
    return _ahead(f"the file supersedes version {supersedes}, which is current")


def _unattributable(diff: EndpointDiff, key: Key) -> _Attributed:
    why = diff.evidence.without_history or UNREAD
    reason = f"cannot tell whether the file or the server changed {key}: {why.reason}"
    return _Attributed(attribution=Attribution.CONFLICT, reason=reason, fix=why.fix, is_known=False)


def _by_record(diff: EndpointDiff, key: Key) -> _Attributed | None:
    """The attribution by what the last pull or push left; None where both sides never agreed on this key."""
    record = diff.record
    if record is None or key not in record.file:
        return None
    if key in record.server and same(key, diff.remote_settings[key], record.server[key]):
        if _is_outdated(diff, key, record):
            return _unknown("the file is older than what this checkout last pulled or pushed")
        return _ahead(f"the server has what the last pull or push left; changed by {_origin(diff, key)}")
    if diff.lineage is not None and (explained := _moved_along(diff, diff.lineage, key, record)):
        return explained
    was_ahead = key in record.server and not same(key, record.file[key], record.server[key])  # by `pull --mine`
    if same(key, diff.local_settings[key], record.file[key]) and not was_ahead:
        return _drifted(_UNCHANGED_FILE)
    return _conflict(f"edited on the server, and the file changed too, by {_origin(diff, key)}")


def _is_kept(diff: EndpointDiff, key: Key, record: Recorded) -> bool:
    """Whether the user saw the server's value and kept the file's (`pull --mine`)."""
    server, file = record.server.get(key), record.file[key]
    return key in record.server and not same(key, file, server) and same(key, diff.local_settings[key], file)


def _written_at_head(diff: EndpointDiff, record: Recorded) -> OwnWrites | None:
    own = record.own
    return own if own is not None and own.commit == diff.evidence.head else None


def _is_base(diff: EndpointDiff, key: Key, here: OwnWrites) -> bool:
    """Whether the server has what this checkout pushed or pulled at this commit; for a query, in that same version."""
    server, record = diff.remote_settings[key], diff.record
    if key in here.pushed and same(key, here.pushed[key], server):
        return key is not Key.QUERY or here.version == diff.version
    pulled = key in here.pulled and same(key, here.pulled[key], server)
    is_current = record is not None and record.version == diff.version
    return pulled and (key is not Key.QUERY or is_current)


def _contains_the_pull(diff: EndpointDiff, key: Key, here: OwnWrites) -> bool:
    committed = next((past.settings for past in diff.evidence.commits if past.settings is not None), {})
    return contains(committed.get(key), here.pulled[key], diff.local_settings[key])


def _is_in_a_visible_commit(diff: EndpointDiff, key: Key) -> bool:
    """Whether a commit of a shallow clone has what the server has, so that the record counts."""
    states = (past.settings for past in diff.evidence.commits if past.settings is not None)
    return any(key in state and same(key, state[key], diff.remote_settings[key]) for state in states)


def _is_proven(diff: EndpointDiff, lineage: Lineage, key: Key, record: Recorded) -> bool:
    """Whether the record proves what a fresh clone cannot know: the server has what the file stated in a commit, and
    this checkout was the last to write it, or read it before the file changed.
    """
    if key in record.kept:
        return False
    index, began = lineage.latest(key, diff.remote_settings[key]), lineage.beginning(key, diff.local_settings[key])
    if key is not Key.QUERY:
        return index is not None and _is_last_writer(diff, record)
    version_id = diff.endpoint.current_version_id if diff.endpoint else None
    is_seen = record.version_id is not None and record.version_id == version_id
    is_later = lineage.states[began].may_be_later_than(record.agreed_at(key))
    is_ours = record.own is not None and record.own.version == diff.version
    return index == began - 1 and index >= 0 and (is_ours or (is_seen and is_later))


def _is_last_writer(diff: EndpointDiff, record: Recorded) -> bool:
    written = record.own.updated_at if record.own else None
    return written is not None and written == diff.updated_at


def _is_outdated(diff: EndpointDiff, key: Key, record: Recorded) -> bool:
    """Whether the file is older than the last pull or push (`git checkout .`, another branch).

    An old value shows that, unless history shows that the file returned to it later, from what the server has. So does
    a commit from before the record in a history that never had what the server has.
    """
    file, lineage = diff.local_settings[key], diff.lineage
    if same(key, file, record.file[key]):
        return False
    is_old_value = any(same(key, file, old) for old in record.superseded.get(key, ()))
    if lineage is None:
        return is_old_value
    is_behind = lineage.latest(key, diff.remote_settings[key]) is not None
    agreed_at = record.agreed_at(key)
    is_newer = agreed_at is None or _began_at(diff, lineage, key).may_be_later_than(agreed_at)
    return not (is_behind and is_newer) if is_old_value else not (is_behind or is_newer)


def _moved_along(diff: EndpointDiff, lineage: Lineage, key: Key, record: Recorded) -> _Attributed | None:
    """Ahead where the server followed the history of the file: a colleague pushed commits that are here now."""
    if key is Key.QUERY:
        return _along_versions(diff, lineage)
    server = diff.remote_settings[key]
    if key not in record.server:
        return None
    start = lineage.latest_before(record.agreed_at(key), key, record.server[key])
    if start is None:
        return _if_older(diff, lineage, lineage.latest(key, server))
    index = lineage.latest(key, server, after=start)
    return None if index is None else _ahead(f"the server has what {lineage.states[index].label} had pushed")


def _by_defaults(diff: EndpointDiff, key: Key) -> _Attributed | None:
    """The attribution of a key that the file begins to manage: ahead of the default, else a conflict."""
    began = _began(diff, key)
    if began is None:
        return None
    if is_default(key, diff.remote_settings[key]):
        return _ahead(f"{began}, and the server has the default")
    return _conflict(f"{began}, and the server has something else than the default")


def _began(diff: EndpointDiff, key: Key) -> str | None:
    """Since when the file manages the key, if it stated one value and none before."""
    record, lineage = diff.record, diff.lineage
    if lineage is None:
        is_new = record is not None and key in record.server and key not in record.file
        return f"the file begins to manage {key}" if is_new else None
    index = lineage.beginning(key, diff.local_settings[key])
    state = lineage.states[index]
    if lineage.is_new:
        return "the file is new"
    if index > 0:
        managed = key in lineage.states[index - 1].settings
        return None if managed else f"the file begins to manage {key} with {state.label}"
    if key is not Key.QUERY and state.is_later_than(diff.updated_at):
        return f"the server was last written to before {state.label} began the file"
    return None


def _by_versions(diff: EndpointDiff, key: Key) -> _Attributed | None:
    if key is not Key.QUERY or diff.lineage is None:
        return None
    explained = _along_versions(diff, diff.lineage)
    if explained is not None:
        return explained
    if diff.evidence.versions is None:
        return _unknown("edited on the server; its versions are not known")
    last = align(diff.lineage, diff.evidence.versions).last
    if last is None:
        return _unknown("edited on the server, and no commit of the file had any of its queries")
    if diff.lineage.says(last, key, diff.local_settings[key]):
        return _drifted(_UNCHANGED_FILE)
    return _conflict(f"edited on the server, and the file changed too, by {_origin(diff, key)}")


def _along_versions(diff: EndpointDiff, lineage: Lineage) -> _Attributed | None:
    """Ahead where the current version came from a state of the file that the file has left behind."""
    if diff.evidence.versions is None:
        return None
    aligned = align(lineage, diff.evidence.versions)
    if aligned.current is None:
        return None
    state, began = lineage.states[aligned.current], _began_at(diff, lineage, Key.QUERY)
    made = diff.current_version.version_created_at if diff.current_version else None
    if aligned.is_doubtful or (aligned.is_repeated and not began.may_be_later_than(made)):
        return _unknown(
            f"the current version brings back a query that {state.label} had, perhaps over a newer one: "
            f"cannot tell whether {began.label} knew of that"
        )
    return _ahead(f"the server still has what {state.label} had; changed by {began.label}")


def _by_commits(diff: EndpointDiff, key: Key) -> _Attributed | None:
    """The attribution by the times of commits, as settings leave no versions."""
    lineage = diff.lineage
    if lineage is None:
        return None
    server = diff.remote_settings[key]
    index = lineage.latest(key, server)
    older = _if_older(diff, lineage, lineage.latest_without(key, server) if index is None else index)
    if older is not None:
        return older
    if lineage.beginning(key, diff.local_settings[key]) == 0:
        return _drifted("edited on the server; the file never changed it")
    return _conflict(f"edited on the server, and the file changed it too, by {_origin(diff, key)}")


def _if_older(diff: EndpointDiff, lineage: Lineage, index: int | None) -> _Attributed | None:
    """Ahead where the server has what a state of the file said and was not written to after the next one."""
    if index is None:
        return None
    left = lineage.states[index + 1]
    if not left.may_be_later_than(diff.updated_at):
        return None
    return _ahead(f"the server still has what {left.label} changed")


def _began_at(diff: EndpointDiff, lineage: Lineage, key: Key) -> State:
    return lineage.states[lineage.beginning(key, diff.local_settings[key])]


def _origin(diff: EndpointDiff, key: Key) -> str:
    return "an edit of the file" if diff.lineage is None else _began_at(diff, diff.lineage, key).label


def _ahead(reason: str) -> _Attributed:
    return _Attributed(attribution=Attribution.AHEAD, reason=reason)


def _idled(diff: EndpointDiff) -> _Attributed:
    from endpoints_gitops.contract.idling import since, table_fix

    endpoint = _described(diff)
    reason = f"S115 the server switched the table off by itself: {since(endpoint)}"
    return _Attributed(attribution=Attribution.IDLED, reason=reason, fix=table_fix(endpoint))


def _drifted(reason: str) -> _Attributed:
    return _Attributed(attribution=Attribution.DRIFTED, reason=reason)


def _conflict(reason: str) -> _Attributed:
    return _Attributed(attribution=Attribution.CONFLICT, reason=reason)


def _unknown(reason: str) -> _Attributed:
    return _Attributed(attribution=Attribution.CONFLICT, reason=reason, is_known=False)
