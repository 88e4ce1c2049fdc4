"""Whose change it is: every row of the table, on real git, against a real server, through the command line.

Each story is played in one checkout; then a push is run from there, from a fresh clone, or from a shallow one. Every
step is an hour after the one before, on every clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer, running_server

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
HERE, FRESH, SHALLOW, NO_GIT = "same checkout", "fresh clone", "shallow clone", "no git"


def sql(number: int) -> str:
    return f"SELECT event, count() AS c{number} FROM events GROUP BY event"


def definition(number: int = 1, name: str = "daily", **keys: Any) -> str:
    lines = [f"name: {name}", f"query: {sql(number)}"]
    return "\n".join([*lines, *(f"{key}: {json.dumps(value)}" for key, value in keys.items())]) + "\n"


class Clock:
    def __init__(self) -> None:
        self.hours = 0

    def __call__(self) -> datetime:
        return START + timedelta(hours=self.hours, minutes=30)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(engine, clock) -> Iterator[RunningServer]:
    with running_server(engine=engine, clock=clock) as running:
        yield running


class Story:
    """One checkout, its server, and somebody who edits there. Each method is a step, or reads what came of them."""

    def __init__(self, checkout, make_checkout, make_cli, server, clock) -> None:
        self.checkout, self.server, self.clock = checkout, server, clock
        self.make_checkout, self.make_cli = make_checkout, make_cli
        self.here = make_cli(checkout.top)
        self.clones = 0

    def commit(self, content: str | None, file: str = "daily.yaml") -> None:
        self.tick()
        self.checkout.commit({file: content})

    def write(self, content: str | None, file: str = "daily.yaml") -> None:
        self.tick()
        self.checkout.write({file: content})

    def git(self, *words: str) -> None:
        self.tick()
        self.checkout.hours = self.clock.hours
        self.checkout.git(*words)

    def push(self, *words: str) -> None:
        self.tick()
        ran = self.here("push", "--yes", *words)
        assert ran.code == 0, ran.err

    def pull(self, *words: str) -> None:
        self.tick()
        ran = self.here("pull", "--yes", *words)
        assert ran.code == 0, ran.err

    def colleague_pushes(self, *words: str) -> None:
        self.tick()
        ran = self.clone()("push", "--yes", *words)
        assert ran.code == 0, ran.err

    def edited(self, body: Mapping[str, Any], name: str = "daily") -> None:
        self.tick()
        self.ask("PATCH", f"endpoints/{name}/", body)

    def deleted(self, name: str = "daily") -> None:
        self.tick()
        self.ask("DELETE", f"endpoints/{name}/")

    def tick(self) -> None:
        self.clock.hours += 1
        self.checkout.hours = self.clock.hours - 1

    def clone(self, *options: str) -> Callable[..., Any]:
        self.clones += 1
        top = self.checkout.top.parent / f"clone-{self.clones}"
        self.checkout.git("clone", "--quiet", *options, f"file://{self.checkout.top}", str(top))
        return self.make_cli(top)

    def without_git(self) -> Callable[..., Any]:
        top = self.checkout.top.parent / "copy"
        (top / "endpoints").mkdir(parents=True)
        for file in self.checkout.folder.iterdir():
            (top / "endpoints" / file.name).write_bytes(file.read_bytes())
        return self.make_cli(top)

    def at(self, place: str) -> Callable[..., Any]:
        self.tick()
        places = {FRESH: self.clone, SHALLOW: lambda: self.clone("--depth", "1"), NO_GIT: self.without_git}
        return places.get(place, lambda: self.here)()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = httpx.request(
            method,
            f"{self.server.url}/api/projects/1/{path}",
            headers={"Authorization": f"Bearer {self.server.colleague_key}"},
            json=body,
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def endpoint(self, name: str = "daily") -> Any:
        return self.ask("GET", f"endpoints/{name}/")


@pytest.fixture
def story(checkout, make_checkout, make_cli, server, clock) -> Story:
    return Story(checkout, make_checkout, make_cli, server, clock)


def query(number: int) -> dict[str, Any]:
    return {"query": {"kind": "HogQLQuery", "query": sql(number)}}


def pushed(story: Story, number: int = 1, **keys: Any) -> None:
    story.commit(definition(number, **keys))
    story.push()


def edit(number: int = 2, **keys: Any) -> Callable[[Story], None]:
    return lambda story: (pushed(story), story.commit(definition(number, **keys)))[-1]


def at_a_colleagues(story: Story) -> None:
    story.commit(definition(1))
    story.colleague_pushes()
    story.commit(definition(2))


def pulled_then_edited(story: Story) -> None:
    pushed(story)
    story.edited(query(7))
    story.pull()
    story.git("commit", "--quiet", "--all", "--message", "pulled")
    story.commit(definition(2))


def colleague_pushed_later_commits(story: Story) -> None:
    """Our record is of version 1; what the server has came through git, not through us."""
    pushed(story)
    story.commit(definition(5))
    story.colleague_pushes()
    story.commit(definition(2))


def reverted(story: Story) -> None:
    pushed(story, 2)
    pushed(story, 1)
    story.git("revert", "--no-edit", "HEAD")


def half_pushed(story: Story) -> None:
    pushed(story)
    story.commit(definition(1, name="other"), "other.yaml")
    story.push()
    story.checkout.write({"other.yaml": definition(2, name="other")})
    story.commit(definition(2))
    story.colleague_pushes("other")


def with_default(default: str) -> str:
    text = "SELECT count() AS c FROM events WHERE event = {variables.kind}"
    variables = [{"name": "kind", "type": "String", "default": default}]
    return f"name: daily\nquery: {json.dumps(text)}\nvariables: {json.dumps(variables)}\n"


def new_default(story: Story) -> None:
    story.commit(with_default("$pageview"))
    story.push()
    story.commit(with_default("$pageleave"))


def new_file(story: Story) -> None:
    pushed(story, 2)
    story.commit(definition(1, name="other"), "other.yaml")


def edited_there(story: Story) -> None:
    pushed(story)
    story.edited(query(9))


def put_back(story: Story) -> None:
    pushed(story, 1)
    pushed(story, 2)
    story.edited(query(1))


def then(first: Callable[[Story], None], *contents: str) -> Callable[[Story], None]:
    def played(story: Story) -> None:
        first(story)
        for content in contents:
            story.commit(content)

    return played


def setting(
    keys: Mapping[str, Any], body: Mapping[str, Any], after: Mapping[str, Any] | None
) -> Callable[[Story], None]:
    """Pushed with some keys, one of them changed on the server, and the file edited to `after`."""

    def played(story: Story) -> None:
        pushed(story, **keys)
        story.edited(body)
        if after is not None:
            story.commit(definition(**after))

    return played


def begins_to_manage(body: Mapping[str, Any] | None) -> Callable[[Story], None]:
    def played(story: Story) -> None:
        pushed(story)
        if body is not None:
            story.edited(body)
        story.commit(definition(description="Ours"))

    return played


def squashed(story: Story) -> None:
    pushed(story, 1)
    pushed(story, 3)
    story.git("reset", "--quiet", "--soft", "HEAD~1")
    story.commit(definition(2))


def gone(story: Story) -> None:
    pushed(story)
    story.deleted()


def checked_out_again(story: Story) -> None:
    pushed(story)
    story.edited(query(7))
    story.pull()
    story.git("checkout", "--quiet", ".")


def on_an_older_branch(story: Story) -> None:
    pushed(story)
    story.git("checkout", "--quiet", "-b", "newer")
    story.edited(query(7))
    story.pull()
    story.git("commit", "--quiet", "--all", "--message", "pulled")
    story.git("checkout", "--quiet", "main")


def pushed_from_the_shallow_clone(story: Story) -> None:
    """There is a record then, and it is enough."""
    pushed(story)
    story.here = story.clone("--depth", "1")
    story.push()
    story.tick()
    story.checkout.top.parent.joinpath("clone-1/endpoints/daily.yaml").write_text(definition(2))


def query_of(text: str) -> dict[str, Any]:
    return {"query": {"kind": "HogQLQuery", "query": text}}


def file_of(text: str, **keys: Any) -> str:
    lines = ["name: daily", f"query: {json.dumps(text)}", *(f"{key}: {json.dumps(keys[key])}" for key in keys)]
    return "\n".join(lines) + "\n"


OURS = "SELECT event, count() AS c FROM events GROUP BY event"
THEIRS = "SELECT event, count() AS c FROM events WHERE event != 'test' GROUP BY event"
BOTH = "SELECT event, count() AS c FROM events WHERE event != 'test' GROUP BY event LIMIT 5"
NEITHER = "SELECT event, count() AS c FROM events GROUP BY event LIMIT 5"


def pulled(*steps: Callable[[Story], None]) -> Callable[[Story], None]:
    """A colleague's edit was pulled and is not committed; then come the steps."""

    def played(story: Story) -> None:
        story.commit(file_of(OURS))
        story.push()
        story.edited(query_of(THEIRS))
        story.pull()
        for step in steps:
            step(story)

    return played


def git(*words: str) -> Callable[[Story], None]:
    return lambda story: story.git(*words)


def commits(content: str) -> Callable[[Story], None]:
    return lambda story: story.commit(content)


def writes(content: str) -> Callable[[Story], None]:
    return lambda story: story.write(content)


def pulled_on_another_branch(story: Story) -> None:
    story.commit(file_of(OURS))
    story.push()
    story.edited(query_of(THEIRS))
    story.git("checkout", "--quiet", "-b", "take-the-fix")
    story.pull()
    story.git("commit", "--quiet", "--all", "--message", "take the fix")
    story.git("checkout", "--quiet", "main")
    story.git("checkout", "--quiet", "-b", "feature")
    story.commit(file_of(NEITHER))


def merged_after_it_was_pulled_on_another_branch(story: Story) -> None:
    pulled_on_another_branch(story)
    story.tick()
    story.checkout.merge("take-the-fix", {"daily.yaml": file_of(BOTH)})


def pushed_uncommitted_then_edited_again(story: Story) -> None:
    pushed(story)
    story.write(definition(5))
    story.push()
    story.write(definition(2))


def pushed_uncommitted_then_another_commit(story: Story) -> None:
    pushed(story)
    story.write(definition(5))
    story.push()
    story.commit(definition(2))


def pulled_into_a_file_that_no_commit_has(story: Story) -> None:
    """A new file: what the pull brought is the base."""
    story.ask("POST", "endpoints/", {"name": "daily", **query(7)})
    story.pull()
    story.write(definition(2))


def on_another_branch_with_a_shared_record(story: Story) -> None:
    """A shallow checkout of main left a record; the next job has another branch, and the state folder of the first."""
    pushed(story)
    story.here = story.clone("--depth", "1")
    story.push()
    top = str(story.checkout.top.parent / "clone-1")
    story.git("checkout", "--quiet", "-b", "other")
    story.commit(definition(2))
    story.checkout.git("-C", top, "fetch", "--quiet", "--depth", "1", "origin", "other")
    story.checkout.git("-C", top, "checkout", "--quiet", "FETCH_HEAD")


WRITES, DRIFTED, CONFLICT = "writes", "drifted", "conflict"


@dataclass(frozen=True)
class Row:
    what: str
    play: Callable[[Story], None]
    verdict: str
    places: tuple[str, ...] = (HERE, FRESH)
    sql: int | None = None
    """The query that the server has after a push that writes."""
    text: str | None = None
    default: str | None = None
    fix: bool = False
    """Whether the conflict in the same checkout says to commit the pull first."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else it has then, and after one that writes another key than the drifted one."""


ON = {"materialization": {"enabled": True}}
ROWS = [
    Row("file edited", edit(), WRITES, sql=2),
    Row("file edited, pushed before by a colleague", at_a_colleagues, WRITES, sql=2),
    Row("file edited after a pull", pulled_then_edited, WRITES, sql=2),
    Row("file edited after later pushes of a colleague", colleague_pushed_later_commits, WRITES, sql=2),
    Row("git revert", reverted, WRITES, sql=2),
    Row("an earlier push went half-way", half_pushed, WRITES, sql=2),
    Row("new variable default", new_default, WRITES, default="$pageleave"),
    Row("new file", new_file, WRITES, (HERE, FRESH, SHALLOW, NO_GIT), sql=2),
    Row("query edited there", edited_there, DRIFTED),
    Row("query edited on both sides", then(edited_there, definition(2)), CONFLICT),
    Row("older query put back there", put_back, DRIFTED),
    Row("older query put back there, file edited", then(put_back, definition(3)), CONFLICT),
    *(
        row
        for what, keys, body, other in (
            ("deactivated", {"active": True}, {"is_active": False}, None),
            ("description", {"description": "Ours"}, {"description": "Theirs"}, {"description": "Mine"}),
            ("freshness", {"data_freshness": "1hour"}, {"data_freshness_seconds": 900}, {"data_freshness": "6hour"}),
            ("materialisation", ON, {"is_materialized": False}, None),
        )
        for row in (
            Row(f"{what} changed there", setting(keys, body, None), DRIFTED),
            Row(
                f"{what} changed there, another key edited",
                setting(keys, body, {**keys, "tags": ["new"]}),
                "rest",
                settings={"tags": ["new"]},
            ),
            *([Row(f"{what} changed on both sides", setting(keys, body, other), CONFLICT)] if other else []),
        )
    ),
    Row("a key begins to be managed, default there", begins_to_manage(None), WRITES, settings={"description": "Ours"}),
    Row("a key begins to be managed, another value there", begins_to_manage({"description": "Theirs"}), CONFLICT),
    Row("a squash dropped what the server has", squashed, CONFLICT, (FRESH,)),
    Row("ours is gone", gone, CONFLICT, (HERE,)),
    Row("gone, and nobody knows it was ours", gone, WRITES, (FRESH,), sql=1),
    Row("an older checkout, by git checkout", checked_out_again, CONFLICT, (HERE,)),
    Row("an older checkout, by branch", on_an_older_branch, CONFLICT, (HERE,)),
    Row("a colleague's version pulled on another branch", pulled_on_another_branch, CONFLICT),
    Row("that branch was merged", merged_after_it_was_pulled_on_another_branch, WRITES, text=BOTH),
    Row("pulled, not committed, edited on top", pulled(writes(file_of(BOTH))), WRITES, (HERE,), text=BOTH),
    Row(
        "pulled, not committed, another key edited",
        pulled(writes(file_of(THEIRS, description="Ours"))),
        WRITES,
        (HERE,),
        text=THEIRS,
        settings={"description": "Ours"},
    ),
    Row(
        "pulled, not committed, edited so that it is lost",
        pulled(writes(file_of(NEITHER))),
        CONFLICT,
        (HERE,),
        fix=True,
    ),
    Row("pulled, `git checkout .`, edited", pulled(git("checkout", "."), writes(file_of(NEITHER))), CONFLICT, (HERE,)),
    Row("pulled, `git checkout .`, committed", pulled(git("checkout", "."), commits(file_of(NEITHER))), CONFLICT),
    Row("pulled, `git stash`, edited", pulled(git("stash"), writes(file_of(NEITHER))), CONFLICT, (HERE,), fix=True),
    Row("pulled, `git reset --hard`", pulled(git("reset", "--hard"), commits(file_of(NEITHER))), CONFLICT, fix=True),
    Row("pulled and edited in one commit", pulled(commits(file_of(BOTH))), CONFLICT, fix=True),
    Row("pulled, committed, edited", pulled(commits(file_of(THEIRS)), commits(file_of(NEITHER))), WRITES, text=NEITHER),
    Row("pushed, not committed, edited again", pushed_uncommitted_then_edited_again, WRITES, (HERE,), sql=2),
    Row("pushed, not committed, another commit", pushed_uncommitted_then_another_commit, CONFLICT),
    Row("a new file that was pulled", pulled_into_a_file_that_no_commit_has, WRITES, (HERE,), sql=2),
    Row("shallow, with the record of a branch", on_another_branch_with_a_shared_record, CONFLICT, (HERE,)),
    Row("nothing to tell by", edit(), CONFLICT, (SHALLOW, NO_GIT)),
    Row("shallow, with a record", pushed_from_the_shallow_clone, WRITES, (HERE,), sql=2),
]


@pytest.mark.parametrize(
    ("row", "place"), [pytest.param(row, place, id=f"{row.what}, {place}") for row in ROWS for place in row.places]
)
def test_push_writes_or_skips_each_case_of_the_table(story, row, place):
    row.play(story)
    before = None if row.play is gone else story.endpoint()
    cli = story.at(place)
    story.server.requests.clear()
    ran = cli("push", "--yes", "--format", "json")
    told = json.dumps(ran.json, indent=1) + ran.err
    assert ran.code == (6 if row.verdict == CONFLICT else 0), told
    if row.verdict in {WRITES, "rest"}:
        assert story.server.requests.writes(), told
        after = story.endpoint()
        assert row.sql is None or after["query"]["query"] == sql(row.sql)
        assert row.text is None or after["query"]["query"] == row.text
        variables = after["query"]["variables"] or {}
        assert row.default is None or [one["value"] for one in variables.values()] == [row.default]
        assert {key: after[key] for key in row.settings} == row.settings
        assert cli("push", "--yes", "--format", "json").json["summary"]["updated"] == 0
    else:
        assert story.server.requests.writes() == (), told
        assert before is None or story.endpoint() == before
    assert not row.fix or place != HERE or "commit the pull first" in told, told
    if row.verdict == CONFLICT and place in {SHALLOW, NO_GIT}:
        assert ("fetch-depth: 0" if place == SHALLOW else "git init") in told
    if row.verdict in {DRIFTED, "rest"}:
        assert ran.json["summary"]["drifted"] == 1, told
        assert cli("diff").code == 1
        assert cli("push", "--yes", "--fail-on-drift").code == 6


@pytest.mark.parametrize(
    ("words", "wins"),
    [
        ([], False),
        (["--overwrite"], True),
        (["--overwrite=daily@2"], True),
        (["--overwrite=daily@1"], False),
    ],
)
def test_a_conflict_names_the_author_and_is_overwritten_only_on_request(story, words, wins):
    then(edited_there, definition(2))(story)
    ran = story.at(HERE)("push", "--yes", "--format", "json", *words)
    assert (ran.code, story.endpoint()["query"]["query"]) == ((0, sql(2)) if wins else (6, sql(9)))
    if not wins:
        (left,) = ran.json["items"][0]["left_alone"]
        assert (left["version"], left["author"], left["verdict"]) == (2, "colleague@example.com", "conflict")
        assert left["date"].startswith("2026-07-01")
        assert "pull --theirs daily" in left["fix"]
        assert story.here("push", "--yes").code == 6, "a conflict that was told once is one still"


def test_an_overwrite_is_shown_in_the_plan(story):
    then(edited_there, definition(2))(story)
    shown = story.at(HERE)("plan", "--overwrite").out
    assert "overwrites query (conflict)" in shown


@pytest.mark.parametrize("said", ["daily", "daily@", "daily@x", "@2", "nobody@2"])
def test_overwrite_refuses_unknown_names(story, said):
    edited_there(story)
    before = story.endpoint()
    ran = story.at(HERE)("push", "--yes", f"--overwrite={said}")
    assert (ran.code, story.endpoint()) == (2, before)
    assert "--overwrite" in ran.err


def test_adopt_resolves_a_conflict(story):
    then(edited_there, definition(2, supersedes=2))(story)
    assert story.at(FRESH)("push", "--yes").code == 0
    assert story.endpoint()["query"]["query"] == sql(2)
    story.edited(query(8))
    story.commit(definition(4, supersedes=2))
    assert story.here("push", "--yes").code == 6, "it answered version 2 and no other"
