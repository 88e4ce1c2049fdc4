"""The consumers' registry: what its entries do to the findings of an author's change."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from endpoints_gitops.codecs.consumers import write_registry
from endpoints_gitops.model.consumers import ConsumerRegistry, RegisteredConsumer, RegisteredEnvironment, RegisteredUse

BEFORE = "SELECT event, count() AS n FROM events GROUP BY event ORDER BY n DESC, event LIMIT 10"
AFTER = BEFORE.replace("event, count()", "event AS evt, count()", 1)


def yaml(name: str, sql: str) -> str:
    return f"name: {name}\nquery: {json.dumps(sql)}\n"


@pytest.fixture
def changed(cli, checkout, client):
    """An endpoint that is committed and pushed; then its author renames a column. Returns its id."""
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    assert cli("push", "--yes").code == 0
    checkout.write({"one.yaml": yaml("one", AFTER)})
    return client.get_endpoint("one").id


@pytest.fixture
def register(checkout, server):
    """Writes a registry in which apps use `one`: `register(billing=RegisteredUse(…))`."""

    def write(path: str = "consumers.json", project: int | None = None, **uses: RegisteredUse) -> Path:
        consumers = [
            RegisteredConsumer(
                name=name,
                source=f"../{name}",
                collected=date(2026, 7, 1),
                environments=(
                    RegisteredEnvironment(
                        name="live", host=server.url, project_id=project or server.project_id, uses=(use,)
                    ),
                ),
            )
            for name, use in uses.items()
        ]
        file = checkout.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(write_registry(ConsumerRegistry().with_consumers(consumers)))
        return file

    return write


def pinned(endpoint_id: str, version: int = 1, **more: object) -> RegisteredUse:
    return RegisteredUse(name="one", version=version, endpoint_id=endpoint_id, **more)


UNPINNED = RegisteredUse(name="one")
WHAT = {"breaking": ("breaking", "--against", "live"), "plan": ("plan",), "diff": ("diff", "--against", "HEAD")}


def renamed(ran) -> tuple[str, list[str]]:
    """The severity of the renamed column, and whom it hits."""
    items = ran.json["items"]
    found = [item for item in items if item.get("code") == "C102"]
    found += [item for one in items for item in one.get("findings", ()) if item["code"] == "C102"]
    return found[0]["severity"], found[0]["callers"]


@pytest.mark.parametrize("words", WHAT.values(), ids=WHAT)
def test_a_finding_is_lowered_while_every_known_caller_is_pinned(cli, changed, register, words):
    def judged(**uses: RegisteredUse) -> tuple[str, list[str]]:
        register(**uses)
        return renamed(cli(*words, "--format", "json"))

    assert renamed(cli(*words, "--format", "json")) == ("error", []), "somebody may call it"
    assert judged(billing=pinned(changed)) == ("warn", [])
    assert judged(billing=pinned(changed), portal=UNPINNED) == ("error", ["portal"])
    assert judged(portal=RegisteredUse(name="one", columns=("n",))) == ("info", [])
    read_in_tests = RegisteredUse(name="one", columns=("n",), columns_tested=("event",))
    assert judged(portal=read_in_tests) == ("error", ["portal"])
    if words[0] != "diff":
        assert judged(billing=pinned("another-endpoint")) == ("error", ["billing"]), "its pin cannot be run"
        assert judged(billing=pinned(changed, version=9)) == ("error", ["billing"])


@pytest.mark.parametrize("words", WHAT.values(), ids=WHAT)
def test_consumers_of_another_project_do_not_count(cli, changed, register, words):
    register(project=77, billing=pinned(changed))
    assert renamed(cli(*words, "--format", "json")) == ("error", [])


@pytest.mark.parametrize("registry", ["consumers.json", "data/consumers.json"])
@pytest.mark.usefixtures("changed")
def test_the_app_beside_the_definitions_counts_once_when_it_is_collected(cli, checkout, uses, registry):
    (checkout.top / "data").mkdir()
    uses(one='"*"')
    options = {"env": {"ENDPOINTS_GITOPS_CONSUMERS": str(checkout.top / registry)}}
    ran = cli("consumers", "collect", ".", **options)
    assert ran.code == 0
    assert "it is the app beside the definitions, which counts once" in ran.out
    (use,) = cli("consumers", "who", "one", "--format", "json", **options).json["items"]
    assert use["consumer"] == "endpoints.toml"
    ran = cli("breaking", "--against", "HEAD", "--format", "json", **options)
    assert renamed(ran) == ("error", ["endpoints.toml"])


def test_the_app_beside_the_definitions_counts_too(cli, changed, register, uses):
    uses(one='"*"')
    register(billing=pinned(changed))
    assert renamed(cli("breaking", "--against", "HEAD", "--format", "json")) == ("error", ["endpoints.toml"])
    assert cli("lock").code == 0
    assert renamed(cli("breaking", "--against", "HEAD", "--format", "json")) == ("warn", [])


@pytest.mark.parametrize("words", [*WHAT.values(), ("push", "--yes")], ids=[*WHAT, "push"])
@pytest.mark.parametrize("is_empty", [False, True])
def test_a_corrupt_registry_is_an_error(cli, changed, checkout, register, words, is_empty):
    path = register(billing=pinned(changed))
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    if is_empty:
        checkout.write({"one.yaml": yaml("one", BEFORE)})
    ran = cli(*words, "--format", "json")
    assert ran.code == 2
    (error,) = ran.json["errors"]
    assert error["code"] == "consumers.invalid"
    assert error["where"].startswith("consumers.json:")
    assert "the block of 'billing' does not match its digest" in error["message"]


def configure(checkout, line: str) -> None:
    path = checkout.top / "endpoints.toml"
    path.write_text(f"{line}\n{path.read_text()}")


def test_the_configuration_names_the_registry(cli, changed, checkout, register):
    configure(checkout, 'consumers = "shared/apps.json"')
    ran = cli("breaking", "--against", "HEAD", "--format", "json")
    assert ran.code == 2
    (error,) = ran.json["errors"]
    assert "the consumers' registry shared/apps.json does not exist" in error["message"]
    assert error["fix"] == "endpoints-gitops consumers collect SOURCE"
    path = register("shared/apps.json", billing=pinned(changed))
    assert renamed(cli("breaking", "--against", "HEAD", "--format", "json"))[0] == "warn"
    variable = {"ENDPOINTS_GITOPS_CONSUMERS": "elsewhere.json"}
    assert cli("breaking", "--against", "HEAD", env=variable).code == 2
    path.rename(checkout.top / "elsewhere.json")
    assert renamed(cli("breaking", "--against", "HEAD", "--format", "json", env=variable))[0] == "warn"


def test_a_registry_outside_of_the_repository_is_refused(cli, checkout):
    checkout.commit({"one.yaml": yaml("one", BEFORE)})
    configure(checkout, 'consumers = "../apps.json"')
    ran = cli("breaking", "--against", "HEAD")
    assert ran.code == 2
    assert "is outside of the repository" in ran.err


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"\xff")])
def test_a_registry_that_is_no_file_is_an_error(cli, changed, checkout, make):  # noqa: ARG001 - the change to judge
    make(checkout.top / "consumers.json")
    assert cli("breaking", "--against", "HEAD").code == 2


SHOWN = {
    "breaking": ("breaking", "--against", "HEAD"),
    "diff": ("diff", "--against", "HEAD"),
    "plan": ("plan",),
    "push": ("push", "--yes"),
}


@pytest.mark.parametrize("words", SHOWN.values(), ids=SHOWN)
def test_the_callers_stand_below_the_findings(cli, checkout, changed, register, words):
    register(billing=pinned(changed, columns=("n", "event")), portal=RegisteredUse(name="one", reads="position"))
    ran = cli(*words)
    lines = [line.strip() for line in (ran.out + ran.err).splitlines()]
    start = lines.index("callers of one:")
    assert re.fullmatch(
        r"billing: version 1, reads n, event, last seen (\d+ days ago|2026-07-01) \(test\)\n"
        r"portal: unpinned, reads by position, last seen (\d+ days ago|2026-07-01) \(test\)",
        "\n".join(lines[start + 1 : start + 3]),
    )
    if words[0] != "push":
        (item,) = cli("review", "--against", "HEAD", "--offline", "--format", "json").json["items"]
        assert item["details"]["pinned by"].startswith("billing: version 1, reads n, event, last seen ")
        assert item["details"]["used without a pin by"].startswith("portal (reads by position, last seen ")
    checkout.write({"one.yaml": yaml("one", AFTER if words[0] == "push" else BEFORE)})
    ran = cli(*words)
    assert "callers of" not in ran.out + ran.err, "where there is nothing to find"
