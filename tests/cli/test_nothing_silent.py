"""What a push leaves alone is named: keys and files that are gone, definitions outside `manage`."""

from __future__ import annotations

import pytest

SQL = "SELECT count() AS n FROM events"


def yaml(name: str, **keys: str) -> str:
    return "".join(f"{key}: {value}\n" for key, value in {"name": name, "query": SQL, **keys}.items())


KEYS = {
    "active": ("false", False),
    "description": ("Ours", "Ours"),
    "tags": ("[web]", ["web"]),
    "data_freshness": ("1hour", 3600),
}


@pytest.mark.parametrize(("key", "said", "value"), [(key, *both) for key, both in KEYS.items()])
def test_a_key_that_the_file_no_longer_manages_is_named(cli, checkout, client, key, said, value):
    base = checkout.commit({"st.yaml": yaml("st")})
    assert cli("push", "--yes").code == 0
    commit = checkout.commit({"st.yaml": yaml("st", **{key: said})})
    assert cli("push", "--yes").code == 0
    checkout.git("revert", "--no-edit", "HEAD")
    told = f"st: {key} was managed until {commit[:7]}; the server keeps "
    before = client.get_endpoint("st")
    for words in (("plan",), ("diff",), ("push", "--yes"), ("breaking", "--against", "live")):
        ran = cli(*words, "--format", "json")
        assert ran.code == 0, ran.err
        assert told in ran.err
        (item,) = [item for item in ran.json["items"] if "dropped_key" in item.values()]
        assert (item["key"], item["server"], item["commit"]) == (key, value, commit)
        assert ran.json["summary"]["dropped_keys"] == 1
    assert told in cli("breaking", "--against", f"{commit}..HEAD").err
    assert told not in cli("breaking", "--against", base).err
    assert client.get_endpoint("st") == before


def test_a_key_that_is_at_its_default_again_is_not_named(cli, checkout, client):
    checkout.commit({"st.yaml": yaml("st", active="false")})
    assert cli("push", "--yes").code == 0
    checkout.commit({"st.yaml": yaml("st")})
    assert "st: active was managed until" in cli("plan").err
    client.update_endpoint("st", {"is_active": True})
    assert "managed until" not in cli("plan").err


@pytest.fixture
def removed(cli, checkout):
    """The files of `b` and of `safe`, which is protected, are gone."""
    checkout.commit({f"{name}.yaml": yaml(name) for name in ("a", "b", "safe")})
    assert cli("push", "--yes").code == 0
    checkout.commit({"b.yaml": None, "safe.yaml": None})
    settings = checkout.top / "endpoints.toml"
    settings.write_text('protect = ["safe"]\n' + settings.read_text())


@pytest.mark.usefixtures("removed")
def test_an_endpoint_without_a_file_is_counted_with_a_command(cli, create):
    create("stranger")
    for words in (("plan",), ("diff",), ("push", "--yes")):
        ran = cli(*words, "--format", "json")
        assert "1 endpoint is active and defined by no file any more: b; endpoints-gitops push --prune" in ran.err
        assert "1 endpoint is protected and defined by no file any more: safe; endpoints-gitops deactivate" in ran.err
        assert (ran.json["summary"]["orphans"], ran.json["summary"]["protected_orphans"]) == (1, 1)
        assert "stranger" not in ran.err.replace("only there", "")


@pytest.mark.usefixtures("removed")
def test_pruned_endpoints_are_not_reported_again(cli, checkout, client):
    assert cli("push", "--prune", "--yes").code == 0
    client.delete_endpoint("safe")
    ran = cli("diff", "--format", "json")
    assert (ran.code, ran.json["summary"]["pruned"]) == (0, 1), ran.out
    ran = cli("pull", "--yes", "--format", "json")
    assert (ran.code, ran.json["summary"]["pruned"]) == (0, 1)
    assert not (checkout.folder / "b.yaml").exists()
    assert cli("pull", "b").code == 0
    assert (checkout.folder / "b.yaml").exists(), "it was asked for by its name"


def test_a_definition_outside_manage_is_named(cli, checkout, client):
    checkout.commit({"a.yaml": yaml("a"), "b.yaml": yaml("b")})
    settings = checkout.top / "endpoints.toml"
    settings.write_text('manage = ["a"]\n' + settings.read_text())
    for words in (("plan",), ("push", "--yes"), ("diff",), ("pull",)):
        assert "1 definition is outside of `manage` and never pushed: b; change `manage`" in cli(*words).err
    assert [endpoint.name for endpoint in client.list_endpoints()] == ["a"]
