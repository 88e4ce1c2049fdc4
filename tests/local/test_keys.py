"""Permissions: 401, 403 and 404 in the server's order, with its texts."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from endpoints_gitops.local.serve import RunningServer

QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS one"}
SECRET = "This action does not support project secret API key access"
EVERY_ACTION = (
    ("GET", "endpoints/"),
    ("POST", "endpoints/"),
    ("GET", "endpoints/e/"),
    ("PUT", "endpoints/e/"),
    ("PATCH", "endpoints/e/"),
    ("DELETE", "endpoints/e/"),
    ("GET", "endpoints/e/versions/"),
    ("GET", "endpoints/e/openapi.json"),
    ("GET", "endpoints/e/logs/"),
    ("GET", "endpoints/e/materialization_status/"),
    ("POST", "endpoints/e/materialization_preview/"),
    ("POST", "endpoints/last_execution_times/"),
    ("GET", "insight_variables/"),
    ("POST", "query/"),
)
WHO = ("personal_api_keys/@current", "users/@me", "organizations/@current", "projects")


def detail(answer: httpx.Response) -> tuple[int, str]:
    assert answer.json()["type"] == "authentication_error"
    return answer.status_code, answer.json()["detail"]


@pytest.mark.parametrize("authorization", [None, "", "Basic abc", "Bearer"])
def test_nobody(server: RunningServer, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = httpx.get(f"{server.url}/api/projects/1/endpoints/", headers=headers, verify=False)
    assert detail(answer) == (401, "Authentication credentials were not provided.")
    assert answer.json()["code"] == "not_authenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", ["phx_wrong", "phs_wrong", "nonsense"])
def test_unknown_key(server: RunningServer, connect: Callable[..., httpx.Client], key: str) -> None:
    answer = connect(server, key).get("endpoints/")
    assert answer.status_code == 401
    assert answer.json()["code"] == "authentication_failed"


@pytest.mark.parametrize(("method", "path"), EVERY_ACTION)
def test_project_secret_key_only_runs(
    server: RunningServer, connect: Callable[..., httpx.Client], method: str, path: str
) -> None:
    answer = connect(server, server.project_secret_key).request(method, path)
    assert detail(answer) == (403, SECRET)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_project_secret_key_runs(server: RunningServer, connect: Callable[..., httpx.Client], method: str) -> None:
    connect(server).post("endpoints/", json={"name": "e", "query": QUERY})
    runner = connect(server, server.project_secret_key)
    assert runner.request(method, "endpoints/e/run").json()["results"] == [[1]]
    connect(server).patch("endpoints/e/", json={"is_active": False})
    assert runner.request(method, "endpoints/e/run").status_code == 404


def test_project_secret_key_needs_its_scope(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    answer = connect(server, server.issue_key(secret=True)).post("endpoints/e/run")
    assert detail(answer) == (403, "API key missing required scope 'endpoint:read'")


def test_project_secret_key_stays_at_home(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    elsewhere = server.add_project("Another")
    answer = connect(server, server.project_secret_key, elsewhere).post("endpoints/e/run")
    assert detail(answer) == (403, f"API key does not have access to the requested project: ID {elsewhere}.")


def test_key_in_the_body_is_none(server: RunningServer) -> None:
    url = f"{server.url}/api/projects/1/endpoints/e/run"
    sent = {"secret_api_key": server.project_secret_key}
    assert httpx.post(url, json=sent, verify=False).status_code == 401
    assert httpx.post(f"{url}?personal_api_key={server.project_secret_key}", verify=False).status_code == 401


@pytest.mark.parametrize(
    ("scopes", "method", "path", "missing"),
    [
        (("endpoint:read",), "POST", "endpoints/", "endpoint:write"),
        (("endpoint:read",), "PATCH", "endpoints/e/", "endpoint:write"),
        (("endpoint:read",), "DELETE", "endpoints/e/", "endpoint:write"),
        (("query:read",), "GET", "endpoints/", "endpoint:read"),
        (("query:read",), "POST", "endpoints/e/run", "endpoint:read"),
        (("endpoint:write",), "GET", "insight_variables/", "insight_variable:read"),
        (("insight_variable:read",), "POST", "insight_variables/", "insight_variable:write"),
    ],
)
def test_missing_scope(
    server: RunningServer,
    connect: Callable[..., httpx.Client],
    scopes: tuple[str, ...],
    method: str,
    path: str,
    missing: str,
) -> None:
    answer = connect(server, server.issue_key(*scopes)).request(method, path, json={})
    assert detail(answer) == (403, f"API key missing required scope '{missing}'")


def test_writing_implies_reading(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    assert connect(server, server.issue_key("endpoint:write")).get("endpoints/").status_code == 200
    assert connect(server, server.readonly_key).get("insight_variables/").status_code == 200
    assert connect(server, server.readonly_key).post("endpoints/", json={}).status_code == 403


def test_key_of_other_projects(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    elsewhere = server.add_project("Another")
    answer = connect(server, server.issue_key("*", scoped_projects=(elsewhere,))).get("endpoints/")
    assert detail(answer) == (403, "API key does not have access to the requested project: ID 1.")


@pytest.mark.parametrize("project", ["99", "abc", "0", "-1", "9" * 40, "@mine"])
def test_unknown_project(server: RunningServer, connect: Callable[..., httpx.Client], project: str) -> None:
    answer = connect(server, project=project).get("endpoints/")
    assert answer.status_code == 404
    assert answer.json() == {
        "type": "invalid_request",
        "code": "not_found",
        "detail": "Project not found.",
        "attr": None,
    }


def test_projects_keep_apart(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    elsewhere = server.add_project("Another")
    connect(server, project=elsewhere).post("endpoints/", json={"name": "theirs", "query": QUERY})
    ours = connect(server)
    assert ours.get("endpoints/theirs/").status_code == 404
    assert ours.get("endpoints/").json()["count"] == 0
    assert ours.post("endpoints/", json={"name": "theirs", "query": QUERY}).status_code == 201


@pytest.mark.parametrize("base", ["projects/1", "environments/1", "projects/@current"])
def test_both_prefixes_and_the_current_project(server: RunningServer, base: str) -> None:
    headers = {"Authorization": f"Bearer {server.key}"}
    assert httpx.get(f"{server.url}/api/{base}/endpoints/", headers=headers, verify=False).json()["count"] == 0


def test_who_is_asking(server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {server.readonly_key}"}
    told = [httpx.get(f"{server.url}/api/{path}/", headers=headers, verify=False).json() for path in WHO]
    key, user, organization, projects = told
    assert "endpoint:read" in key["scopes"]
    assert (key["scoped_teams"], key["scoped_organizations"], key["user_id"]) == ([], [], 1)
    assert user["email"] == "author@example.com"
    assert user["team"] == {"id": 1, "name": "Local project"}
    assert organization["projects"] == projects["results"] == [user["team"]]


def test_organization_and_project_by_id(server: RunningServer) -> None:
    def asked(path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {server.readonly_key}"}
        return httpx.get(f"{server.url}/api/{path}/", headers=headers, verify=False)

    organization = asked("organizations/@current").json()
    assert asked(f"organizations/{organization['id']}").json() == organization
    assert organization["is_ai_data_processing_approved"] is False
    missing = asked("organizations/018f0000-0000-7000-8000-00000000000f")
    assert (missing.status_code, missing.json()["detail"]) == (404, "Not found.")
    project = asked("projects/1").json()
    assert asked("projects/@current").json() == asked("environments/1").json() == project
    assert (project["id"], project["name"], project["organization"]) == (1, "Local project", organization["id"])
    other = asked("projects/2")
    assert (other.status_code, other.json()["detail"]) == (404, "Project not found.")


@pytest.mark.parametrize("path", [*WHO, "projects/1"])
def test_project_secret_key_has_no_user(server: RunningServer, path: str) -> None:
    headers = {"Authorization": f"Bearer {server.project_secret_key}"}
    assert httpx.get(f"{server.url}/api/{path}/", headers=headers, verify=False).status_code == 403


@pytest.mark.parametrize(
    ("path", "scope"),
    list(zip((*WHO[1:], "projects/1"), ("user", "organization", "project", "project"), strict=True)),
)
def test_who_needs_scopes(server: RunningServer, path: str, scope: str) -> None:
    headers = {"Authorization": f"Bearer {server.issue_key('endpoint:read')}"}
    answer = httpx.get(f"{server.url}/api/{path}/", headers=headers, verify=False)
    assert detail(answer) == (403, f"API key missing required scope '{scope}:read'")
    own = httpx.get(f"{server.url}/api/{WHO[0]}/", headers=headers, verify=False)
    assert own.json()["scopes"] == ["endpoint:read"]


def test_only_hashes_are_kept(server: RunningServer) -> None:
    kept = {each.hash for each in server.store.keys.select()}
    assert kept.isdisjoint({server.key, server.readonly_key, server.project_secret_key})
