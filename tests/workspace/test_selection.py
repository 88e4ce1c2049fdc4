"""SELECTORs, and the endpoints of `manage` and `protect`."""

from __future__ import annotations

import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.endpoint import Endpoint
from endpoints_gitops.workspace.definitions import read_all
from endpoints_gitops.workspace.selection import managed, matches, select, select_names

FILES = {
    "revenue_by_plan.yaml": "name: revenue_by_plan\nquery: select 1\ntags: [billing, daily]\n",
    "odd.yaml": "name: revenue_total\nquery_file: sql/total.sql\n",
    "sql/total.sql": "select 2\n",
    "growth/mau.yml": "name: mau\nquery: select 3\nenvironments: {prod: {tags: [prod-only]}}\n",
}


@pytest.fixture
def folder(checkout, monkeypatch):
    checkout.commit(FILES)
    monkeypatch.chdir(checkout.top)
    return checkout.folder


def _names(folder, *selectors, **more):
    return [loaded.name for loaded in select(selectors, read_all(folder), folder=folder, **more)]


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        ([], ["mau", "revenue_total", "revenue_by_plan"]),
        (["mau"], ["mau"]),
        (["revenue_*"], ["revenue_total", "revenue_by_plan"]),
        (["m?u", "mau"], ["mau"]),
        (["tag:billing"], ["revenue_by_plan"]),
        (["endpoints/odd.yaml"], ["revenue_total"]),
        (["endpoints/sql/total.sql"], ["revenue_total"]),
        (["./endpoints/growth"], ["mau"]),
        (["endpoints"], ["mau", "revenue_total", "revenue_by_plan"]),
        (["revenue_by_plan", "mau"], ["mau", "revenue_by_plan"]),
    ],
)
def test_selectors(folder, selectors, names):
    assert _names(folder, *selectors) == names


def test_paths_are_relative_to_where_one_is(folder, monkeypatch):
    monkeypatch.chdir(folder / "growth")
    assert _names(folder, "mau.yml", "../odd.yaml") == ["mau", "revenue_total"]


def test_tags_of_the_environment(folder):
    assert _names(folder, "tag:prod-only", environment="prod") == ["mau"]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("maus", "there is no endpoint or definition 'maus'; did you mean 'mau'?"),
        ("x*", "no endpoint's name matches x*"),
        ("tag:biling", "no endpoint has the tag 'biling'; did you mean 'billing'?"),
        ("endpoints/od.yaml", "no definition is at endpoints/od.yaml; did you mean 'endpoints/odd.yaml'?"),
        ("odd.yaml", "no definition is at odd.yaml; did you mean 'endpoints/odd.yaml'?"),
        (".git", "there is no endpoint or definition '.git'"),
        ("", "there is no endpoint or definition ''"),
        ("tag:", "no endpoint has the tag ''"),
    ],
)
def test_a_selector_without_a_match_is_an_error(folder, selector, message):
    with pytest.raises(UsageError) as caught:
        _names(folder, "mau", selector)
    assert caught.value.message == message


CHANGES = [
    pytest.param({}, [], id="nothing"),
    pytest.param({"odd.yaml": FILES["odd.yaml"] + "description: x\n"}, ["revenue_total"], id="edited"),
    pytest.param({"sql/total.sql": "select 4"}, ["revenue_total"], id="the SQL beside it"),
    pytest.param({"new.yaml": "name: new\nquery: select 1\n"}, ["new"], id="untracked"),
    pytest.param({"odd.yaml": None, "moved.yaml": FILES["odd.yaml"]}, ["revenue_total"], id="moved"),
    pytest.param({"odd.yaml": None}, [], id="deleted"),
]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(("files", "names"), CHANGES)
def test_changed_since_a_commit(folder, checkout, files, names, committed):
    checkout.git("tag", "before")
    checkout.commit(files) if committed else checkout.write(files)
    assert _names(folder, "changed:before") == names


def test_a_link_that_leads_elsewhere_now_is_a_change(folder, checkout):
    checkout.write(
        {"../one.txt": FILES["growth/mau.yml"], "../two.txt": FILES["growth/mau.yml"], "growth/mau.yml": None}
    )
    (folder / "link.yaml").symlink_to("../one.txt")
    checkout.commit()
    (folder / "link.yaml").unlink()
    (folder / "link.yaml").symlink_to("../two.txt")
    assert _names(folder, "changed:HEAD") == _names(folder, "endpoints/link.yaml") == ["mau"]


def test_changed_since_something_that_is_not_there(folder):
    with pytest.raises(UsageError, match="there is no commit '--output=x'"):
        _names(folder, "changed:--output=x")


def test_changed_without_git(tmp_path, monkeypatch):
    (tmp_path / "endpoints").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="endpoints is not in a git repository"):
        _names(tmp_path / "endpoints", "changed:HEAD")


def _endpoint(name: str, *tags: str) -> Endpoint:
    return Endpoint(id=name, name=name, query={}, tags=tags)


def test_endpoints_without_a_definition_can_be_selected_too(folder):
    there = {"definitions": read_all(folder), "endpoints": [_endpoint("stranger"), _endpoint("mau", "server-tag")]}
    assert select_names(["str*"], folder=folder, **there) == {"stranger"}
    assert select_names(["tag:server-tag"], folder=folder, **there) == {"mau"}
    assert len(select_names([], folder=folder, **there)) == 4


@pytest.mark.parametrize(
    ("patterns", "name", "tags", "expected"),
    [
        (["*"], "x", (), True),
        ([], "x", (), False),
        (["a*", "x"], "x", (), True),
        (["X"], "x", (), False),
        (["tag:t"], "x", ("t",), True),
        (["tag:t*"], "x", ("t1",), False),
        (["t"], "x", ("t",), False),
    ],
)
def test_patterns(patterns, name, tags, expected):
    assert matches(patterns, name, tags) is expected


def test_managed_covers_what_the_definition_or_the_server_tags(folder):
    there = {"definitions": read_all(folder), "endpoints": [_endpoint("mau", "billing"), _endpoint("stranger")]}
    assert managed(["tag:billing"], **there) == {"mau", "revenue_by_plan"}
    assert managed(["*"], **there) == {"mau", "revenue_by_plan", "revenue_total", "stranger"}
