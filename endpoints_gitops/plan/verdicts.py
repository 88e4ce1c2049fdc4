"""Whose change one differing key is. Each rule answers, or leaves it to the next; who cannot tell says conflict.

Written is only what is known to replace something older: the server as our last pull or push left it, or as the history
of the file once had it. What moved on the server while the file has nothing new is drift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final

from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.plan.alignment import align
from endpoints_gitops.plan.evidence import Evidence, NoHistory, OwnWrites, Recorded
from endpoints_gitops.plan.lineage import Lineage, State, is_default
from endpoints_gitops.plan.meaning import Key, Meaning, contains, same

UNREAD: Final = NoHistory(reason="the history of the definition cannot be read", fix="git fsck")


class Verdict(StrEnum):
    """Whose change a difference is."""

    AHEAD = "ahead"
    DRIFTED = "drifted"
    CONFLICT = "conflict"
    IDLED = "idled"
    """The server switched an unused table off by itself: nobody's change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A verdict and why. `fix` is there where something else helps than deciding for one side.

    `is_known` is False of a conflict that only says that nobody can tell: a pull asks a person then.
    """

    verdict: Verdict
    reason: str
    fix: str = ""
    is_known: bool = True


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file and an endpoint of one name, with everything that is known of them."""

    file: Meaning
    server: Meaning
    endpoint: Endpoint
    evidence: Evidence
    supersedes: int | None = None

    @cached_property
    def record(self) -> Recorded | None:
        """The record, if it is of this very endpoint and not of one that had its name."""
        record = self.evidence.record
        return record if record is not None and record.endpoint_id == self.endpoint.id else None

    @cached_property
    def lineage(self) -> Lineage | None:
        return Lineage.of(self.evidence, self.file)

    @property
    def version(self) -> EndpointVersion | None:
        """The current version, as far as the versions were asked for."""
        number = self.endpoint.current_version
        return next((one for one in self.evidence.versions or () if one.version == number), None)

    def find(self, key: Key) -> Finding:
        """The verdict on a key that both state and in which they differ."""
        finding = self._adopted(key)
        if finding is not None:
            return finding
        finding = self._find_by_record(key) or self._find_without_record(key)
        return _idled(self) if key is Key.MATERIALIZATION and self._has_idled(finding) else finding

    @property
    def described(self) -> Endpoint:
        """The answer that says most of the current version: its own calls, where the versions were asked for."""
        return self.version or self.endpoint

    def _has_idled(self, finding: Finding) -> bool:
        """Whether the table that the file says was switched off by the server (docs/server.md#tables-that-idle).

        What the file began to say later than that, or than the last write to the server, is a wish that was not sent.
        """
        now = self.evidence.now
        if now is None or self.file[Key.MATERIALIZATION] is not True or not self.described.has_idled(now):
            return False
        if finding.verdict is not Verdict.AHEAD:
            return True
        if self.lineage is None:
            return False
        began, idles_at = _began_at(self, self.lineage, Key.MATERIALIZATION), self.described.idles_at
        was_sent = not began.is_later_than(self.endpoint.updated_at) and self.endpoint.updated_at is not None
        return was_sent and (idles_at is None or not began.is_later_than(idles_at))

    def _find_by_record(self, key: Key) -> Finding | None:
        finding, record = _by_record(self, key), self.record
        if finding is None or record is None:
            return None
        proves = finding.verdict is not Verdict.AHEAD or not self.evidence.is_tracked
        return finding if proves else self._as_safe_as_a_clone(key, finding, record)

    def _find_without_record(self, key: Key) -> Finding:
        for rule in (_by_defaults, _by_versions, _by_commits):
            finding = rule(self, key)
            if finding is not None:
                return finding
        return self._unknown(key)

    def _as_safe_as_a_clone(self, key: Key, finding: Finding, record: Recorded) -> Finding:
        """The finding that the record gave, if a fresh clone of HEAD would say "ahead" too; else what that one says.

        The record belongs to the checkout and not to the branch, so alone it proves nothing about a definition that
        commits hold. Two things count as they do in no clone: what this checkout's own push wrote at this same commit,
        and an edit on top of a pull that no commit holds yet, as long as the file still contains what was pulled.
        """
        if _is_kept(self, key, record):
            return finding
        here = _written_at_head(self, record)
        if here is not None and key in here.pulled and not _contains_the_pull(self, key, here):
            reason = f"the file no longer contains the {key} that this checkout pulled, and no commit has it"
            return Finding(verdict=Verdict.CONFLICT, reason=reason, fix=self._commit_first(), is_known=False)
        if here is not None and _is_base(self, key, here):
            return finding
        if self.lineage is None:
            return finding if _is_in_a_visible_commit(self, key) else self._unknown(key)
        if _is_proven(self, self.lineage, key, record):
            return finding
        fresh = replace(self, evidence=replace(self.evidence, record=None))._find_without_record(key)
        if fresh.verdict is Verdict.AHEAD:
            return finding
        is_pulled = record.own is not None and key in record.own.pulled and fresh.verdict is Verdict.CONFLICT
        return replace(fresh, fix=self._commit_first()) if is_pulled else fresh

    def _commit_first(self) -> str:
        name = self.endpoint.name
        return (
            f"commit the pull first: endpoints-gitops pull --theirs {name}, git commit, and edit again; or "
            f"endpoints-gitops adopt {name} keeps the file's"
        )

    def _adopted(self, key: Key) -> Finding | None:
        """`supersedes` answers for all keys: reviewed was the whole file, against the endpoint at that version.

        A query that changes makes another version. Settings do not, so for them the answer is spent as soon as the
        server was written to after its commit: be it by the push of that answer, or by somebody whom nobody reviewed.
        """
        if self.supersedes is None or self.supersedes != self.endpoint.current_version:
            return None
        answered = self.lineage.answered(self.supersedes) if self.lineage is not None else None
        is_spent = answered is not None and not answered.may_be_later_than(self.endpoint.updated_at)
        if key is not Key.QUERY and is_spent:
            return None
        return _ahead(f"the file supersedes version {self.supersedes}, which is current")

    def _unknown(self, key: Key) -> Finding:
        why = self.evidence.without_history or UNREAD
        reason = f"cannot tell whether the file or the server changed {key}: {why.reason}"
        return Finding(verdict=Verdict.CONFLICT, reason=reason, fix=why.fix, is_known=False)


def _by_record(case: Case, key: Key) -> Finding | None:
    """The record knows what the last pull or push left; None where it never saw the two agree on this key."""
    record = case.record
    if record is None or key not in record.file:
        return None
    if key in record.server and same(key, case.server[key], record.server[key]):
        if _is_outdated(case, key, record):
            return _unknown(f"the file is older than what this checkout last pulled or pushed: {_what(case, key)}")
        return _ahead(f"the server has what the last pull or push left; changed by {_origin(case, key)}")
    if case.lineage is not None and (explained := _moved_along(case, case.lineage, key, record)):
        return explained
    was_ahead = key in record.server and not same(key, record.file[key], record.server[key])  # by `pull --mine`
    if same(key, case.file[key], record.file[key]) and not was_ahead:
        return _drifted(f"{_edited(case, key)}; the file has nothing new")
    return _conflict(f"{_edited(case, key)}, and the file changed too, by {_origin(case, key)}")


def _is_kept(case: Case, key: Key, record: Recorded) -> bool:
    """Whether the user saw what the server has and kept what the file says (`pull --mine`)."""
    server, file = record.server.get(key), record.file[key]
    return key in record.server and not same(key, file, server) and same(key, case.file[key], file)


def _written_at_head(case: Case, record: Recorded) -> OwnWrites | None:
    own = record.own
    return own if own is not None and own.commit == case.evidence.head else None


def _is_base(case: Case, key: Key, here: OwnWrites) -> bool:
    """Whether the server has what this checkout pushed or pulled at this commit; a query in that very version."""
    server, record = case.server[key], case.record
    if key in here.pushed and same(key, here.pushed[key], server):
        return key is not Key.QUERY or here.version == case.endpoint.current_version
    pulled = key in here.pulled and same(key, here.pulled[key], server)
    is_current = record is not None and record.version == case.endpoint.current_version
    return pulled and (key is not Key.QUERY or is_current)


def _contains_the_pull(case: Case, key: Key, here: OwnWrites) -> bool:
    committed = next((past.meaning for past in case.evidence.commits if past.meaning is not None), {})
    return contains(committed.get(key), here.pulled[key], case.file[key])


def _is_in_a_visible_commit(case: Case, key: Key) -> bool:
    """In a shallow clone the record is believed where a commit that is there had what the server has."""
    states = (past.meaning for past in case.evidence.commits if past.meaning is not None)
    return any(key in state and same(key, state[key], case.server[key]) for state in states)


def _is_proven(case: Case, lineage: Lineage, key: Key, record: Recorded) -> bool:
    """Whether the record proves what a fresh clone would have to ask for, or cannot know: the server has what the file
    said in a commit, and this checkout was the last to write it, or saw it before the file changed.
    """
    if key in record.kept:
        return False
    place, began = lineage.latest(key, case.server[key]), lineage.beginning(key, case.file[key])
    if key is not Key.QUERY:
        return place is not None and _is_last_writer(case, record)
    is_seen = record.version_id is not None and record.version_id == case.endpoint.current_version_id
    is_later = lineage.states[began].may_be_later_than(record.agreed_at(key))
    is_ours = record.own is not None and record.own.version == case.endpoint.current_version
    return place == began - 1 and place >= 0 and (is_ours or (is_seen and is_later))


def _is_last_writer(case: Case, record: Recorded) -> bool:
    written = record.own.updated_at if record.own else None
    return written is not None and written == case.endpoint.updated_at


def _is_outdated(case: Case, key: Key, record: Recorded) -> bool:
    """Whether the file is one that a pull or push had left behind (`git checkout .`, another branch).

    An old value says so, unless history shows that the file came back to it later, from what the server has. So does a
    commit from before the record in a history that never saw what the server has.
    """
    file, lineage = case.file[key], case.lineage
    if same(key, file, record.file[key]):
        return False
    is_old_value = any(same(key, file, old) for old in record.superseded.get(key, ()))
    if lineage is None:
        return is_old_value
    is_behind = lineage.latest(key, case.server[key]) is not None
    agreed_at = record.agreed_at(key)
    is_newer = agreed_at is None or _began_at(case, lineage, key).may_be_later_than(agreed_at)
    return not (is_behind and is_newer) if is_old_value else not (is_behind or is_newer)


def _moved_along(case: Case, lineage: Lineage, key: Key, record: Recorded) -> Finding | None:
    """The server moved along the history of the file: a colleague pushed commits that are here by now."""
    if key is Key.QUERY:
        return _along_versions(case, lineage)
    server = case.server[key]
    if key not in record.server:
        return None
    start = lineage.latest_before(record.agreed_at(key), key, record.server[key])
    if start is None:
        return _if_older(case, lineage, lineage.latest(key, server))
    place = lineage.latest(key, server, after=start)
    return None if place is None else _ahead(f"the server has what {lineage.states[place].label} had pushed")


def _by_defaults(case: Case, key: Key) -> Finding | None:
    """A key that the file only now begins to manage: written over the default, never over somebody's value."""
    began = _began(case, key)
    if began is None:
        return None
    if is_default(key, case.server[key]):
        return _ahead(f"{began}, and the server has the default")
    return _conflict(f"{began}, and the server has something else than the default")


def _began(case: Case, key: Key) -> str | None:
    """Since when the file manages the key, if it has had one value for it and none before."""
    record, lineage = case.record, case.lineage
    if lineage is None:
        is_new = record is not None and key in record.server and key not in record.file
        return f"the file begins to manage {key}" if is_new else None
    place = lineage.beginning(key, case.file[key])
    state = lineage.states[place]
    if lineage.is_new:
        return "the file is new"
    if place > 0:
        managed = key in lineage.states[place - 1].meaning
        return None if managed else f"the file begins to manage {key} with {state.label}"
    if key is not Key.QUERY and state.is_later_than(case.endpoint.updated_at):
        return f"the server was last written to before {state.label} began the file"
    return None


def _by_versions(case: Case, key: Key) -> Finding | None:
    if key is not Key.QUERY or case.lineage is None:
        return None
    explained = _along_versions(case, case.lineage)
    if explained is not None:
        return explained
    if case.evidence.versions is None:
        return _unknown(f"{_edited(case, key)}; its versions are not known")
    last = align(case.lineage, case.evidence.versions).last
    if last is None:
        return _unknown(f"{_edited(case, key)}, and no commit of the file had any of its queries")
    if case.lineage.says(last, key, case.file[key]):
        return _drifted(f"{_edited(case, key)}; the file has nothing new")
    return _conflict(f"{_edited(case, key)}, and the file changed too, by {_origin(case, key)}")


def _along_versions(case: Case, lineage: Lineage) -> Finding | None:
    """Ahead where the current version came from a state of the file that the file has left behind."""
    if case.evidence.versions is None:
        return None
    aligned = align(lineage, case.evidence.versions)
    if aligned.current is None:
        return None
    state, began = lineage.states[aligned.current], _began_at(case, lineage, Key.QUERY)
    made = case.version.version_created_at if case.version else None
    if aligned.is_doubtful or (aligned.is_repeated and not began.may_be_later_than(made)):
        return _unknown(
            f"version {case.endpoint.current_version} brings back a query that {state.label} had, perhaps over a newer "
            f"one: it cannot be told whether {began.label} knew of that"
        )
    return _ahead(f"the server still has what {state.label} had; changed by {began.label}")


def _by_commits(case: Case, key: Key) -> Finding | None:
    """Settings leave no versions: only times tell."""
    lineage = case.lineage
    if lineage is None:
        return None
    server = case.server[key]
    place = lineage.latest(key, server)
    older = _if_older(case, lineage, lineage.latest_without(key, server) if place is None else place)
    if older is not None:
        return older
    if lineage.beginning(key, case.file[key]) == 0:
        return _drifted(f"{_edited(case, key)}; the file never changed it")
    return _conflict(f"{_edited(case, key)}, and the file changed it too, by {_origin(case, key)}")


def _if_older(case: Case, lineage: Lineage, place: int | None) -> Finding | None:
    """Ahead where the server has what a state of the file said and was not written to after the next one."""
    if place is None:
        return None
    left = lineage.states[place + 1]
    if not left.may_be_later_than(case.endpoint.updated_at):
        return None
    return _ahead(f"the server still has what {left.label} changed")


def _began_at(case: Case, lineage: Lineage, key: Key) -> State:
    return lineage.states[lineage.beginning(key, case.file[key])]


def _origin(case: Case, key: Key) -> str:
    return "an edit of the file" if case.lineage is None else _began_at(case, case.lineage, key).label


def _edited(case: Case, key: Key) -> str:
    """Who changed what on the server, as far as it is known."""
    if key is not Key.QUERY:
        when = f" (last written to {case.endpoint.updated_at:%Y-%m-%d})" if case.endpoint.updated_at else ""
        return f"{key} is another on the server{when}"
    version = case.version
    by = f" by {version.version_created_by.label}" if version and version.version_created_by else ""
    when = f", {version.version_created_at:%Y-%m-%d}" if version and version.version_created_at else ""
    return f"edited on the server as version {case.endpoint.current_version}{by}{when}"


def _what(case: Case, key: Key) -> str:
    if key is Key.QUERY:
        return f"the server has version {case.endpoint.current_version}"
    return f"the server has another {key}"


def _ahead(reason: str) -> Finding:
    return Finding(verdict=Verdict.AHEAD, reason=reason)


def _idled(case: Case) -> Finding:
    from endpoints_gitops.contract.idling import since, way_back

    endpoint = case.described
    reason = f"S115 the server switched the table off by itself: {since(endpoint)}"
    return Finding(verdict=Verdict.IDLED, reason=reason, fix=way_back(endpoint))


def _drifted(reason: str) -> Finding:
    return Finding(verdict=Verdict.DRIFTED, reason=reason)


def _conflict(reason: str) -> Finding:
    return Finding(verdict=Verdict.CONFLICT, reason=reason)


def _unknown(reason: str) -> Finding:
    return Finding(verdict=Verdict.CONFLICT, reason=reason, is_known=False)
