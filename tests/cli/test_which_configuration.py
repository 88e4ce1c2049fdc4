"""Whose definitions a command works on: those of the configuration beside them, never those of another project."""

from __future__ import annotations

import pytest

ONE = "name: one\nquery: SELECT 1 AS n\n"


def settings(host: str, **keys: str) -> str:
    said = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return f'{said}[environments.test]\nhost = "{host}"\nproject_id = 1\nkey = "env:ENDPOINTS_TEST_KEY"\n'


@pytest.fixture
def mono(make_cli, checkout, server):
    """A repository with two projects: the one at the top belongs to nobody here, the one below is the server's."""
    run = make_cli(checkout.top)
    below = checkout.top / "svc"
    (below / "endpoints").mkdir(parents=True)
    (below / "endpoints" / "one.yaml").write_text(ONE)
    (below / "endpoints.toml").write_text(settings(server.url))
    (checkout.top / "endpoints.toml").write_text(settings("http://127.0.0.1:9"))
    checkout.commit({"top.yaml": "name: top\nquery: SELECT 1 AS n\n"})
    return run


def names(client) -> list[str]:
    return [one.name for one in client.list_endpoints()]


@pytest.mark.parametrize(
    "words",
    [
        ["--dir", "svc/endpoints"],
        ["--dir", "svc/endpoints/"],
        ["--dir", "./svc/../svc/endpoints"],
        ["--config", "svc/endpoints.toml"],
        ["--config", "svc"],
        ["--config", "svc", "--dir", "svc/endpoints"],
    ],
)
def test_the_configuration_beside_the_folder_decides(mono, client, words):
    assert mono("push", "--yes", *words).code == 0
    assert names(client) == ["one"]


@pytest.mark.parametrize("variable", ["DIR", "CONFIG"])
def test_variables_name_folder_and_configuration_too(mono, client, variable):
    path = {"DIR": "svc/endpoints", "CONFIG": "svc/endpoints.toml"}[variable]
    assert mono("push", "--yes", env={f"ENDPOINTS_GITOPS_{variable}": path}).code == 0
    assert names(client) == ["one"]


def test_the_option_wins_over_the_variable(mono, client):
    ran = mono("push", "--yes", "--config", "svc", env={"ENDPOINTS_GITOPS_CONFIG": "endpoints.toml"})
    assert (ran.code, names(client)) == (0, ["one"])


def test_manage_and_protect_of_that_configuration_count(mono, checkout, server, client):
    path = checkout.top / "svc" / "endpoints.toml"
    path.write_text('manage = ["other"]\n' + settings(server.url))
    assert mono("push", "--yes", "--dir", "svc/endpoints").code == 0
    assert names(client) == []


@pytest.mark.parametrize("command", ["push", "plan", "diff", "pull"])
@pytest.mark.parametrize("words", [["--config", "endpoints.toml", "--dir", "svc/endpoints"], []])
def test_a_folder_is_never_used_with_the_configuration_of_another(mono, checkout, server, command, words):
    """Neither where the command line says so, nor where a configuration does."""
    if not words:
        (checkout.top / "endpoints.toml").write_text(settings(server.url, dir="svc/endpoints"))
    ran = mono(command, "--yes", *words) if command != "diff" else mono(command, *words)
    assert ran.code == 2
    assert (
        "the definitions in svc/endpoints belong to svc/endpoints.toml, but this command would use endpoints."
        in ran.err
    )
    assert "add --config svc/endpoints.toml" in ran.err
    assert server.requests.entries() == ()


def test_variables_of_posthog_cli_do_not_mix_configurations(make_cli, checkout, server, client):
    run = make_cli(checkout.top)
    (checkout.top / "endpoints.toml").unlink()
    checkout.write({"one.yaml": ONE, "endpoints.toml": settings("http://127.0.0.1:9")})
    variables = {"API_KEY": server.key, "PROJECT_ID": "1", "HOST": server.url}
    ran = run("push", "--yes", env={f"POSTHOG_CLI_{name}": value for name, value in variables.items()})
    assert (ran.code, names(client)) == (2, [])


def test_an_ambiguous_configuration_is_refused(mono, checkout, server):
    """The working folder has one, the folder named has another above it, and neither names the folder."""
    (checkout.top / "shared").mkdir()
    (checkout.top / "shared" / "two.yaml").write_text("name: two\nquery: SELECT 1 AS n\n")
    (checkout.top / "endpoints.toml").write_text(settings(server.url))
    below = checkout.top / "svc"
    ran = mono("check", "--dir", "shared")
    assert ran.code == 0, "the one at the top is meant: the command runs there"
    ran = mono("check", "--dir", "../shared", cwd=below)
    assert (ran.code, "add --config" in ran.err) == (0, False), "the one at the top is beside the folder"
    (checkout.top / "shared" / "deep" / "er").mkdir(parents=True)
    ran = mono("check", "--dir", "../shared/deep/er", cwd=below)
    assert (ran.code, "add --config" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere.toml", "nowhere.toml does not exist"), ("svc/endpoints", "svc/endpoints has no configuration")],
)
def test_a_missing_configuration_is_refused(mono, path, message):
    ran = mono("check", "--config", path)
    assert (ran.code, message in ran.err) == (2, True)


def test_advice_repeats_the_configuration(mono, client):
    mono("push", "--yes", "--config", "svc")
    client.update_endpoint("one", {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS n"}})
    assert "endpoints-gitops pull one --config svc" in mono("plan", "--config", "svc").out


def test_commands_in_a_saved_plan_repeat_the_configuration(mono, checkout, client):
    mono("push", "--yes", "--config", "svc")
    client.update_endpoint("one", {"query": {"kind": "HogQLQuery", "query": "SELECT 2 AS n"}})
    (checkout.top / "svc" / "endpoints" / "one.yaml").write_text(ONE.replace("SELECT 1", "SELECT 3"))
    assert mono("plan", "--config", "svc", "-o", "plan.json").code == 6
    (error,) = mono("push", "--yes", "--config", "svc", "--plan", "plan.json", "--format", "json").json["errors"]
    assert error["fix"].startswith("endpoints-gitops pull --theirs one --config svc takes the server's; ")
