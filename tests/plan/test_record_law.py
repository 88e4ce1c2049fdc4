"""The law of the record, on generated histories in real git: it never lets a push write what a fresh clone of the same
HEAD, with the same file, would call a conflict; and no edit of a colleague's is lost.

The server is a list of versions; every step is an hour after the one before. Each edit, ours and a colleague's, adds a
line with a mark, so that a text tells which edits are in it.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from endpoints_gitops.codecs.definition import read_definition
from endpoints_gitops.model.definition import LoadedDefinition
from endpoints_gitops.model.endpoint import Endpoint, EndpointVersion
from endpoints_gitops.operations.pull.decide import Prefer, PullStrategy, decide
from endpoints_gitops.plan.diff import Attribution, EndpointDiff
from endpoints_gitops.plan.evidence import PastSettings, Provenance, Recorded
from endpoints_gitops.plan.settings import Key, definition_settings
from endpoints_gitops.workspace.git import dirty, repository
from endpoints_gitops.workspace.history import history

NAME = "signups"
FILE = f"{NAME}.yaml"
LINES = 4
"""An edit goes to one of so many places, so that edits of both sides meet and miss each other."""


def text_of(marks: tuple[str, ...]) -> str:
    """Each place has its marks, in order of their number."""
    places = [[f"  '{mark}' AS {mark}," for mark in marks if int(mark[-1]) == place] for place in range(LINES)]
    lines = [line for place, some in enumerate(places) for line in (f"  '{place}' AS p{place},", *some)]
    return "\n".join(["SELECT", *lines, "  1 AS one"])


def marks_in(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"AS ([ab]\d+_\d)", text))


def file_of(text: str) -> str:
    indented = text.replace("\n", "\n  ")
    return f"name: {NAME}\nquery: |-\n  {indented}\n"


def read(content: str) -> LoadedDefinition:
    return read_definition(FILE, content.encode(), lambda _: b"")


@dataclass
class World:
    """One checkout, the server, and what the record of the checkout is."""

    checkout: Any
    make: Any
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    versions: list[EndpointVersion] = field(default_factory=list)
    record: Recorded | None = None
    hour: int = 0
    own_push: tuple[str, int] | None = None
    """The HEAD at which this checkout last wrote a version, and that version."""

    @property
    def path(self) -> Any:
        return self.checkout.folder / FILE

    @property
    def file(self) -> str | None:
        return self.path.read_text() if self.path.exists() else None

    @property
    def server(self) -> str:
        return str(self.versions[-1].query["query"])

    def git(self, *words: str) -> bool:
        """Whether git could do it; what it cannot do is no step."""
        self.checkout.hours = self.hour
        try:
            self.checkout.git(*words)
        except subprocess.CalledProcessError:
            return False
        return True

    def adds_version(self, text: str) -> None:
        self.versions.append(self.make.version(len(self.versions) + 1, text, self.hour + 0.5))

    def endpoint(self) -> Endpoint:
        number = len(self.versions)
        return self.make.endpoint(
            query=self.server, current_version=number, current_version_id=f"v{number}", updated_at=None
        )

    def head(self) -> str:
        return str(self.checkout.git("rev-parse", "HEAD"))

    def diff(self, record: Recorded | None) -> tuple[EndpointDiff, Provenance]:
        loaded = read(self.file or "")
        found = repository(self.checkout.folder)
        assert found is not None
        states = history(found, self.checkout.folder, [NAME], lambda one: definition_settings(one, None))[NAME]
        evidence = Provenance(
            record=record,
            history=tuple(
                PastSettings(
                    settings=one.settings, committed_at=one.committed_at, commit=one.commit, readable=one.readable
                )
                for one in states
            ),
            versions=tuple(reversed(self.versions)),
            head=found.head,
            is_dirty=bool(dirty(found, self.checkout.folder)),
        )
        return self.make.diff(loaded, self.endpoint(), evidence, None), evidence

    def remembers(self, **keys: Any) -> None:
        self.record = self.make.recorded(
            self.record,
            endpoint=self.endpoint(),
            file=definition_settings(read(self.file or ""), None),
            at=self.make.version(1, "A", self.hour + 0.75).version_created_at,
            **keys,
        )


def attribution_of(diff: EndpointDiff) -> Attribution | None:
    return next((one.attribution for one in diff.differences if one.key is Key.QUERY), None)


def edit(world: World) -> None:
    if world.file is not None:
        text = str(read(world.file).sql)
        number = next(world.numbers)
        world.path.write_text(file_of(with_mark(text, f"a{number}_{number % LINES}")))


def with_mark(text: str, mark: str) -> str:
    """Behind the other marks of its place."""
    lines = text.split("\n")
    places = [at for at, line in enumerate(lines) if line.endswith((f"AS p{mark[-1]},", f"_{mark[-1]},"))]
    at = places[-1] + 1 if places else 1
    return "\n".join([*lines[:at], f"  '{mark}' AS {mark},", *lines[at:]])


def colleague(world: World) -> None:
    number = next(world.numbers)
    world.adds_version(with_mark(world.server, f"b{number}_{number % LINES}"))


def puts_back(world: World) -> None:
    """A colleague makes an older query the newest."""
    if len(world.versions) > 1:
        world.adds_version(str(world.versions[-2].query["query"]))


def commit(world: World) -> None:
    world.git("commit", "--quiet", "--all", "--message", "edit")


def branch(world: World) -> None:
    world.git("checkout", "--quiet", "-b", f"branch-{next(world.numbers)}")


def switch(world: World) -> None:
    branches = world.checkout.git("branch", "--format=%(refname:short)").split()
    here = world.checkout.git("branch", "--show-current")
    others = [one for one in branches if one != here]
    if others:
        world.git("checkout", "--quiet", others[world.hour % len(others)])


def merge(world: World) -> None:
    branches = world.checkout.git("branch", "--format=%(refname:short)").split()
    world.git("merge", "--quiet", "--no-edit", branches[world.hour % len(branches)]) or world.git("merge", "--abort")


def stash(world: World) -> None:
    world.git("stash", "--quiet")


def unstash(world: World) -> None:
    """Where it meets a conflict, the work tree stays as HEAD has it."""
    world.git("stash", "pop", "--quiet") or world.git("checkout", "--quiet", "--force", "HEAD")


def discard(world: World) -> None:
    world.git("checkout", "--quiet", ".")


def reset(world: World) -> None:
    world.git("reset", "--quiet", "--hard", "HEAD~1")


def pull(world: World, strategy: PullStrategy = PullStrategy()) -> None:  # noqa: B008 - a frozen value
    if world.file is None:
        return
    diff, evidence = world.diff(world.record)
    decision = decide(diff, strategy)
    if decision.undecided:
        return
    before = definition_settings(read(world.file), None)
    if decision.taken:
        world.path.write_text(file_of(world.server))
    world.remembers(file_before=before, head=evidence.head, pulled=decision.taken)


def pull_theirs(world: World) -> None:
    pull(world, PullStrategy(prefer=Prefer.REMOTE))


def push(world: World) -> None:
    """The law: what the record lets through is what a fresh clone would write, or one of the exceptions."""
    if world.file is None:
        return
    diff, evidence = world.diff(world.record)
    verdict = attribution_of(diff)
    if verdict is None:
        world.remembers()
        return
    if verdict is not Attribution.AHEAD:
        return
    fresh = attribution_of(world.diff(None)[0])
    theirs, ours = marks_in(world.server), marks_in(world.file)
    is_own = world.own_push == (evidence.head, len(world.versions))
    seen = {
        mark for past in evidence.history or () if past.settings for mark in marks_in(str(past.settings[Key.QUERY]))
    }
    lost = {mark for mark in theirs - ours if mark.startswith("b")} - seen
    if evidence.is_tracked:
        assert not lost, "a colleague's edit is gone, and no commit of this history ever had it"
        assert fresh is Attribution.AHEAD or is_own or theirs <= ours, f"a fresh clone says {fresh}"
    before = world.endpoint()
    world.adds_version(str(read(world.file).sql))
    world.own_push = (world.head(), len(world.versions))
    world.remembers(server_before={Key.QUERY: before.query}, head=evidence.head, pushed=[Key.QUERY])


STEPS: tuple[Callable[[World], None], ...] = (
    edit,
    edit,
    commit,
    push,
    push,
    pull,
    pull_theirs,
    colleague,
    colleague,
    puts_back,
    branch,
    switch,
    merge,
    stash,
    unstash,
    discard,
    reset,
)


def play(world: World, steps: list[Callable[[World], None]]) -> None:
    text = text_of(())
    world.checkout.commit({FILE: file_of(text)})
    world.adds_version(text)
    world.remembers()
    for step in (*steps, push):
        world.hour += 1
        step(world)


@pytest.fixture
def worlds(make, make_checkout) -> Callable[[], World]:
    numbers = itertools.count()
    return lambda: World(checkout=make_checkout(f"history-{next(numbers)}"), make=make)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=4, max_size=14))
def test_no_history_makes_a_record_less_safe_than_a_fresh_clone(worlds, steps):
    play(worlds(), steps)


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ([colleague, branch, pull, commit, switch, branch, edit, commit], Attribution.CONFLICT),
        ([colleague, pull, discard, edit], Attribution.CONFLICT),
        ([colleague, pull, stash, edit, commit], Attribution.CONFLICT),
        ([colleague, pull, commit, reset, edit], Attribution.CONFLICT),
        ([colleague, pull, edit], Attribution.AHEAD),
        ([colleague, pull, edit, push, discard, edit], Attribution.CONFLICT),
        ([edit, push, edit], Attribution.AHEAD),
        ([edit, push, edit, commit], Attribution.CONFLICT),
        ([edit, commit, push, edit, commit], Attribution.AHEAD),
    ],
)
def test_histories_that_went_wrong_or_must_go_on(worlds, steps, verdict):
    world = worlds()
    text = text_of(())
    world.checkout.commit({FILE: file_of(text)})
    world.adds_version(text)
    world.remembers()
    for step in steps:
        world.hour += 1
        step(world)
    assert attribution_of(world.diff(world.record)[0]) is verdict
