"""What a pull decides about one name: a table, without server or files."""

from __future__ import annotations

import pytest

from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.pull.decide import Prefer, PullState, PullStrategy, VariableDiff, decide
from endpoints_gitops.plan.diff import Attribution, EndpointDiff, KeyDiff, Revision, ServerRevision
from endpoints_gitops.plan.settings import Key

LOADED = LoadedDefinition(path="a.yaml", definition=Definition(name="a", query="SELECT 1"), sql="SELECT 1")
ENDPOINT = Endpoint(id="1", name="a", query={"kind": "HogQLQuery", "query": "SELECT 2"}, tags=("x",), description="d")
LOCAL, REMOTE = Revision.local(LOADED, None), ServerRevision.of(ENDPOINT)
ASK, THEIRS, MINE, GUESS = (
    PullStrategy(),
    PullStrategy(prefer=Prefer.REMOTE),
    PullStrategy(prefer=Prefer.LOCAL),
    PullStrategy(guess_remote=True),
)
AHEAD, DRIFTED, CONFLICT, UNKNOWN = "ahead", "drifted", "conflict", "unknown"


def difference(key: Key, verdict: str) -> KeyDiff:
    known = Attribution(verdict) if verdict != UNKNOWN else Attribution.CONFLICT
    return KeyDiff(key=key, local=1, remote=2, attribution=known, reason="", is_known=verdict != UNKNOWN)


def both(**verdicts: str) -> EndpointDiff:
    found = tuple(difference(Key[key], verdict) for key, verdict in verdicts.items())
    return EndpointDiff(name="a", local=LOCAL, remote=REMOTE, differences=found)


@pytest.mark.parametrize(
    ("diff", "strategy", "state", "taken", "kept"),
    [
        (both(), ASK, PullState.UNCHANGED, "", ""),
        (both(QUERY=DRIFTED), ASK, PullState.UPDATED, "QUERY", ""),
        (both(QUERY=DRIFTED), MINE, PullState.UPDATED, "QUERY", ""),
        (both(QUERY=AHEAD), ASK, PullState.AHEAD, "", ""),
        (both(QUERY=AHEAD), THEIRS, PullState.AHEAD, "", ""),
        (both(QUERY=AHEAD, TAGS=DRIFTED), ASK, PullState.UPDATED, "TAGS", ""),
        (both(QUERY=CONFLICT), ASK, PullState.CONFLICT, "", ""),
        (both(QUERY=CONFLICT), GUESS, PullState.CONFLICT, "", ""),
        (both(QUERY=CONFLICT), THEIRS, PullState.UPDATED, "QUERY", ""),
        (both(QUERY=CONFLICT), MINE, PullState.KEPT, "", "QUERY"),
        (both(QUERY=CONFLICT, TAGS=DRIFTED), ASK, PullState.CONFLICT, "TAGS", ""),
        (both(QUERY=CONFLICT, TAGS=DRIFTED), MINE, PullState.UPDATED, "TAGS", "QUERY"),
        (both(QUERY=UNKNOWN), ASK, PullState.UNDECIDED, "", ""),
        (both(QUERY=UNKNOWN), GUESS, PullState.UPDATED, "QUERY", ""),
        (both(QUERY=UNKNOWN), MINE, PullState.KEPT, "", "QUERY"),
        (both(QUERY=UNKNOWN, TAGS=CONFLICT), GUESS, PullState.CONFLICT, "QUERY", ""),
        (both(BUCKET_OVERRIDES=DRIFTED), ASK, PullState.UNCHANGED, "", ""),
        (EndpointDiff(name="a", remote=REMOTE), ASK, PullState.CREATED, "", ""),
        (EndpointDiff(name="a", local=LOCAL), ASK, PullState.ONLY_LOCAL, "", ""),
        (EndpointDiff(name="a", local=LOCAL, is_missing=True), THEIRS, PullState.GONE, "", ""),
        (EndpointDiff(name="a", local=LOCAL, is_missing=True), MINE, PullState.KEPT, "", ""),
    ],
)
def test_table(diff, strategy, state, taken, kept):
    decision = decide(diff, strategy)
    assert decision.state is state
    assert decision.taken == {Key[key] for key in taken.split()}
    assert decision.kept == {Key[key] for key in kept.split()}


@pytest.mark.parametrize(
    ("verdict", "strategy", "state", "takes"),
    [
        (Attribution.DRIFTED, ASK, PullState.UPDATED, True),
        (Attribution.AHEAD, ASK, PullState.AHEAD, False),
        (Attribution.AHEAD, THEIRS, PullState.AHEAD, False),
        (Attribution.CONFLICT, ASK, PullState.UNDECIDED, False),
        (Attribution.CONFLICT, GUESS, PullState.UPDATED, True),
        (Attribution.CONFLICT, THEIRS, PullState.UPDATED, True),
        (Attribution.CONFLICT, MINE, PullState.KEPT, False),
    ],
)
def test_settings_of_shared_variables(verdict, strategy, state, takes):
    decision = decide(both(), strategy, VariableDiff(names=("n",), attribution=verdict, reason=""))
    assert (decision.state, decision.takes_variables) == (state, takes)
