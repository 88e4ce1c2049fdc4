"""What a pull decides about one name: a table, without server or files."""

from __future__ import annotations

import pytest

from endpoints_gitops.model.definition import Definition, LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.operations.deciding import How, Side, State, decide
from endpoints_gitops.operations.shared_settings import Settings
from endpoints_gitops.plan.judging import Difference, Judged, Presence, Verdict
from endpoints_gitops.plan.meaning import Key

LOADED = LoadedDefinition(path="a.yaml", definition=Definition(name="a", query="SELECT 1"), sql="SELECT 1")
ENDPOINT = Endpoint(id="1", name="a", query={"kind": "HogQLQuery", "query": "SELECT 2"}, tags=("x",), description="d")
ASK, THEIRS, MINE, GUESS = How(), How(side=Side.THEIRS), How(side=Side.MINE), How(guess_theirs=True)
AHEAD, DRIFTED, CONFLICT, UNKNOWN = "ahead", "drifted", "conflict", "unknown"


def difference(key: Key, verdict: str) -> Difference:
    known = Verdict(verdict) if verdict != UNKNOWN else Verdict.CONFLICT
    return Difference(key=key, file=1, server=2, verdict=known, reason="", is_known=verdict != UNKNOWN)


def both(**verdicts: str) -> Judged:
    found = tuple(difference(Key[key], verdict) for key, verdict in verdicts.items())
    return Judged(name="a", presence=Presence.BOTH, loaded=LOADED, endpoint=ENDPOINT, differences=found)


@pytest.mark.parametrize(
    ("judged", "how", "state", "taken", "kept"),
    [
        (both(), ASK, State.UNCHANGED, "", ""),
        (both(QUERY=DRIFTED), ASK, State.UPDATED, "QUERY", ""),
        (both(QUERY=DRIFTED), MINE, State.UPDATED, "QUERY", ""),
        (both(QUERY=AHEAD), ASK, State.AHEAD, "", ""),
        (both(QUERY=AHEAD), THEIRS, State.AHEAD, "", ""),
        (both(QUERY=AHEAD, TAGS=DRIFTED), ASK, State.UPDATED, "TAGS", ""),
        (both(QUERY=CONFLICT), ASK, State.CONFLICT, "", ""),
        (both(QUERY=CONFLICT), GUESS, State.CONFLICT, "", ""),
        (both(QUERY=CONFLICT), THEIRS, State.UPDATED, "QUERY", ""),
        (both(QUERY=CONFLICT), MINE, State.KEPT, "", "QUERY"),
        (both(QUERY=CONFLICT, TAGS=DRIFTED), ASK, State.CONFLICT, "TAGS", ""),
        (both(QUERY=CONFLICT, TAGS=DRIFTED), MINE, State.UPDATED, "TAGS", "QUERY"),
        (both(QUERY=UNKNOWN), ASK, State.UNDECIDED, "", ""),
        (both(QUERY=UNKNOWN), GUESS, State.UPDATED, "QUERY", ""),
        (both(QUERY=UNKNOWN), MINE, State.KEPT, "", "QUERY"),
        (both(QUERY=UNKNOWN, TAGS=CONFLICT), GUESS, State.CONFLICT, "QUERY", ""),
        (both(BUCKET_OVERRIDES=DRIFTED), ASK, State.UNCHANGED, "", ""),
        (Judged(name="a", presence=Presence.ONLY_THERE, endpoint=ENDPOINT), ASK, State.CREATED, "", ""),
        (Judged(name="a", presence=Presence.ONLY_HERE, loaded=LOADED), ASK, State.ONLY_HERE, "", ""),
        (Judged(name="a", presence=Presence.ONLY_HERE, loaded=LOADED, gone=True), THEIRS, State.GONE, "", ""),
        (Judged(name="a", presence=Presence.ONLY_HERE, loaded=LOADED, gone=True), MINE, State.KEPT, "", ""),
    ],
)
def test_table(judged, how, state, taken, kept):
    decision = decide(judged, how)
    assert decision.state is state
    assert decision.taken == {Key[key] for key in taken.split()}
    assert decision.kept == {Key[key] for key in kept.split()}


@pytest.mark.parametrize(
    ("verdict", "how", "state", "takes"),
    [
        (Verdict.DRIFTED, ASK, State.UPDATED, True),
        (Verdict.AHEAD, ASK, State.AHEAD, False),
        (Verdict.AHEAD, THEIRS, State.AHEAD, False),
        (Verdict.CONFLICT, ASK, State.UNDECIDED, False),
        (Verdict.CONFLICT, GUESS, State.UPDATED, True),
        (Verdict.CONFLICT, THEIRS, State.UPDATED, True),
        (Verdict.CONFLICT, MINE, State.KEPT, False),
    ],
)
def test_settings_of_shared_variables(verdict, how, state, takes):
    decision = decide(both(), how, Settings(names=("n",), verdict=verdict, reason=""))
    assert (decision.state, decision.takes_settings) == (state, takes)
