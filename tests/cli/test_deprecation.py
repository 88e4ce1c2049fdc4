"""The key `deprecation` is seen by authors in check, list, get and plan, and by apps in their lock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.local.serve import RunningServer, running_server

NOON = "T12:00:00+00:00"
NOTICE = "deprecation: {since: 2026-01-01, sunset: 2026-06-30, replaced_by: new, reason: it counts refunds}\n"


class Day:
    """The clock of the command line and of the server, at noon of a day that tests choose."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def set(self, day: str) -> None:
        self.now = datetime.fromisoformat(f"{day}{NOON}")


@pytest.fixture
def clock() -> Day:
    return Day()


@pytest.fixture
def server(engine, clock) -> Iterator[RunningServer]:
    with running_server(engine=engine, clock=clock) as running:
        yield running


def yaml(name: str, more: str = "") -> str:
    return f"name: {name}\nquery: SELECT 1 AS one\n{more}"


@pytest.fixture
def pushed(cli, checkout):
    """`old`, which is deprecated, and `new`."""
    checkout.commit({"old.yaml": yaml("old", NOTICE), "new.yaml": yaml("new")})
    assert cli("push", "--yes").code == 0


def codes(ran) -> list[tuple[str, str]]:
    return [(item["code"], item["severity"]) for item in ran.json["items"] if "code" in item]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-06-15", []),
        ("2026-06-16", [("A114", "warn")]),
        ("2026-06-29", [("A114", "warn")]),
        ("2026-06-30", [("A111", "warn")]),
        ("2026-07-01", [("A111", "warn")]),
    ],
)
def test_check_knows_the_date_and_not_the_traffic(cli, checkout, clock, day, expected):
    checkout.write({"old.yaml": yaml("old", NOTICE), "new.yaml": yaml("new")})
    clock.set(day)
    for words in ((), ("endpoints/old.yaml",), ("--no-cache",)):  # the second run is from the cache
        ran = cli("check", *words, "--format", "json")
        assert (ran.code, codes(ran)) == (0, expected), ran.out
    text = cli("check").out
    assert not expected or f"endpoints/old.yaml:3:1: {expected[0][0]} old: sunset 2026-06-30, " in text


def test_a_kept_result_is_judged_by_the_new_date(cli, checkout, clock):
    checkout.write({"old.yaml": yaml("old", NOTICE), "new.yaml": yaml("new")})
    assert codes(cli("check", "--format", "json")) == []
    clock.set("2026-06-30")
    assert codes(cli("check", "--format", "json")) == [("A111", "warn")]


def test_check_knows_the_policy_and_the_replacement(cli, checkout):
    checkout.write({"old.yaml": yaml("old", NOTICE.replace("new", "nwe")), "new.yaml": yaml("new")})
    ran = cli("check", "endpoints/old.yaml")
    assert "A115 old is replaced by 'nwe', which no file here defines; did you mean 'new'? [warn]" in ran.out
    path = checkout.top / "endpoints.toml"
    path.write_text(path.read_text() + "[deprecation]\nminimum_days = 181\nwarn_days = 180\n")
    ran = cli("check", "--format", "json")
    assert (ran.code, codes(ran)) == (1, [("A108", "error"), ("A114", "warn"), ("A115", "warn")])


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("warn_days = -1", "warn_days must be a whole number from 0 to 3650"),
        ('idle_days = "30"', "idle_days must be a whole number"),
        ("warn_day = 3", "did you mean 'warn_days'?"),
    ],
)
def test_a_mistake_in_the_policy_is_reported(cli, checkout, line, mistake):
    path = checkout.top / "endpoints.toml"
    path.write_text(path.read_text() + f"[deprecation]\n{line}\n")
    ran = cli("check")
    assert (ran.code, "endpoints.toml:7:" in ran.err) == (2, True), ran.err
    assert mistake in ran.err


def test_a_sunset_before_its_announcement_is_a_mistake(cli, checkout):
    checkout.write({"old.yaml": yaml("old", "deprecation: {since: 2026-06-30, sunset: 2026-06-29}\n")})
    ran = cli("check")
    assert (ran.code, "sunset 2026-06-29 is before since 2026-06-30" in ran.out) == (1, True), ran.out


@pytest.mark.usefixtures("pushed")
class TestLive:
    @pytest.mark.parametrize(
        ("called", "code", "expected"),
        [
            (None, 0, [("A111", "info")]),
            ("2026-05-31", 0, [("A111", "info")]),
            ("2026-06-02", 1, [("A110", "error")]),
        ],
    )
    def test_the_server_knows_the_last_call(self, cli, client, clock, server, called, code, expected):
        if called:
            clock.set(called)
            client.run("old")
        clock.set("2026-07-01")
        server.requests.clear()
        ran = cli("check", "--live", "--format", "json")
        assert (ran.code, codes(ran)) == (code, expected), ran.out
        lists = [entry for entry in server.requests.entries(methods={"GET"}) if "/endpoints" in entry.path]
        assert len(lists) == 1
        ran = cli("plan", "--format", "json")
        (old,) = [item for item in ran.json["items"] if item["name"] == "old"]
        assert [(finding["code"], finding["severity"]) for finding in old["findings"]] == expected

    def test_nothing_is_asked_before_the_sunset(self, cli, server):
        server.requests.clear()
        assert cli("check", "--live").code == 0
        assert server.requests.entries(methods={"GET"}) == ()

    def test_what_cannot_be_asked_is_unknown(self, cli, server, clock):
        clock.set("2026-07-01")
        server.faults.add(Fault(effect=Effect.HTML, path="*/endpoints", nth=1, status=200))
        ran = cli("check", "--live", "--format", "json")
        assert (ran.code, codes(ran)) == (4, [("A111", "warn")])

    def test_list_and_get_show_it(self, cli, clock):
        clock.set("2026-06-20")
        shown = cli("list")
        assert "sunset" in shown.out.splitlines()[0]
        assert "2026-06-30, in 10 days" in next(line for line in shown.out.splitlines() if line.startswith("old"))
        items = {item["name"]: item["deprecation"] for item in cli("list", "--format", "json").json["items"]}
        told = {
            "since": "2026-01-01",
            "sunset": "2026-06-30",
            "replaced_by": "new",
            "reason": "it counts refunds",
            "days_left": 10,
        }
        assert items == {"old": told, "new": None}
        text = cli("get", "old").out
        for line in (
            "deprecated      since 2026-01-01, sunset 2026-06-30, in 10 days",
            "replaced by     new",
            "reason          it counts refunds",
        ):
            assert f"  {line}\n" in text
        assert cli("get", "old", "--format", "json").json["items"][0]["deprecation"] == told
        assert cli("get", "new", "--format", "json").json["items"][0]["deprecation"] is None

    def test_list_works_beside_a_broken_file_and_says_what_it_does_not_know(self, cli, checkout):
        checkout.write({"broken.yaml": "name: [\ndeprecation: {}\n"})
        ran = cli("list")
        assert (ran.code, "old" in ran.out) == (0, True)
        assert "a deprecation may be missing: endpoints/broken.yaml" in ran.err


def test_a_list_without_deprecations_has_no_column_for_them(cli, create):
    create("plain")
    assert "sunset" not in cli("list").out


class TestApp:
    """The app that pins `old`, beside the definitions."""

    @pytest.fixture(autouse=True)
    def locked(self, cli, uses, pushed):  # noqa: ARG002 - `pushed` works by being there
        uses(old='"*"', new='"*"')
        assert cli("lock").code == 0

    def test_the_lock_has_the_notice(self, cli, checkout, pins):
        notice = pins()["old"].deprecation
        assert notice.as_json() == {
            "since": "2026-01-01",
            "sunset": "2026-06-30",
            "replaced_by": "new",
            "reason": "it counts refunds",
        }
        assert pins()["new"].deprecation is None
        checkout.write({"old.yaml": yaml("old", "deprecation: {since: 2026-01-01, sunset: 2026-09-30}\n")})
        assert "changed  old@1 (test)  deprecated: sunset 2026-09-30" in cli("lock").out
        checkout.write({"old.yaml": yaml("old")})
        assert "changed  old@1 (test)  no longer deprecated" in cli("lock").out
        assert pins()["old"].deprecation is None

    def test_a_snippet_says_it_on_stderr(self, cli):
        ran = cli("snippet", "old")
        assert ran.err == "note: old@1 is deprecated: sunset 2026-06-30; use new instead (it counts refunds)\n"
        assert ran.out.startswith("curl ")

    def test_a_notice_stays_where_the_definition_is_elsewhere(self, cli, checkout, pins):
        checkout.write({"old.yaml": None})
        assert cli("lock").code == 0
        assert pins()["old"].deprecation is not None

    @pytest.mark.parametrize(
        ("day", "code", "severity"), [("2026-06-15", 0, "warn"), ("2026-06-16", 1, "error"), ("2026-07-01", 1, "error")]
    )
    @pytest.mark.parametrize("words", [("lock", "--check"), ("lock", "--verify"), ("outdated",), ("upgrade",)])
    def test_apps_are_warned(self, cli, clock, words, day, code, severity):
        clock.set(day)
        ran = cli(*words)
        assert ran.code == code, ran.out + ran.err
        assert "P105 old@1 is deprecated: sunset 2026-06-30, " in ran.out
        assert "fix: use new instead" in ran.out
        found = [
            item.get("deprecated") or item
            for item in cli(*words, "--format", "json").json["items"]
            if "P105" in (item.get("code"), (item.get("deprecated") or {}).get("code"))
        ]
        assert [(item["endpoint"], item["severity"]) for item in found] == [("old", severity)]

    def test_an_upgrade_brings_the_notice_along(self, cli, checkout, edit, pins):
        checkout.write({"old.yaml": yaml("old", NOTICE.replace("06-30", "09-30"))})
        edit("old", "SELECT 2 AS one, 3 AS two")
        assert cli("upgrade", "old").code == 0
        assert (pins()["old"].version, str(pins()["old"].deprecation.sunset)) == (2, "2026-09-30")


def test_breaking_knows_the_date(cli, checkout, clock):
    checkout.commit({"old.yaml": yaml("old", NOTICE), "new.yaml": yaml("new")})
    checkout.write({"old.yaml": None})
    for day, code, expected in (("2026-06-29", 1, ("A106", "error")), ("2026-06-30", 0, ("A101", "warn"))):
        clock.set(day)
        ran = cli("breaking", "--against", "HEAD", "--format", "json")
        assert (ran.code, codes(ran)) == (code, [expected]), ran.out


def test_a_plan_that_deactivates_too_early_says_so(cli, checkout, clock, pushed):  # noqa: ARG001 - works by being there
    checkout.commit({"old.yaml": yaml("old", NOTICE + "active: false\n")})
    for day, expected in (("2026-06-29", ["A106"]), ("2026-06-30", ["A103", "A111"])):
        clock.set(day)
        (old,) = [item for item in cli("plan", "--format", "json").json["items"] if item["name"] == "old"]
        assert [finding["code"] for finding in old["findings"]] == expected
    assert clock.now - datetime(2026, 1, 1, tzinfo=UTC) > timedelta(days=180)
