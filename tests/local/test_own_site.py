"""Pages of other sites cannot use the server; programs and the own page can."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import httpx
import pytest

from endpoints_gitops.local.engine.interface import QueryEngine
from endpoints_gitops.local.serve import RunningServer, running_server

FOLLOWED_LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
HOST_REFUSED = 'The host "{}" is not this machine. Use localhost or 127.0.0.1.'
ORIGIN_REFUSED = 'Pages of "{}" cannot use this server. Its own page and programs can.'
SITE_REFUSED = "Pages of other sites cannot use this server. Its own page and programs can."

ADMITTED: tuple[Mapping[str, str], ...] = (
    {},
    {"Host": "localhost"},
    {"Host": "LOCALHOST:{port}"},
    {"Host": "127.0.0.1:9"},
    {"Host": "127.1.2.3"},
    {"Host": "[::1]:{port}"},
    {"Host": "localhost:{port}", "Origin": "http://localhost:{port}"},
    {"Origin": "http://127.0.0.1:{port}"},
    {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    FOLLOWED_LINK,
)
REFUSED: tuple[tuple[Mapping[str, str], str], ...] = (
    *(
        ({"Host": host}, HOST_REFUSED.format(host.lower()))
        for host in (
            "evil.example",
            "Evil.example:{port}",
            "127.0.0.1.evil.example",
            "localhost.evil.example:{port}",
            "a.localhost",
            "localhost.",
            "evil@127.0.0.1",
            "localhost:x",
            "0.0.0.0",
            "10.0.0.7",
            "[::2]",
        )
    ),
    *(
        ({"Origin": origin}, ORIGIN_REFUSED.format(origin))
        for origin in (
            "http://evil.example",
            "https://127.0.0.1:{port}",
            "http://127.0.0.1",
            "http://127.0.0.1:1",
            "http://localhost:{port}",
            "http://127.0.0.1:{port}.evil.example",
            "null",
            "file://",
            "chrome-extension://abc",
        )
    ),
    ({"Host": "evil.example", "Origin": "http://evil.example"}, HOST_REFUSED.format("evil.example")),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, SITE_REFUSED),
    ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, SITE_REFUSED),
    ({**FOLLOWED_LINK, "Sec-Fetch-Dest": "iframe"}, SITE_REFUSED),
)


def filled(headers: Mapping[str, str], port: int) -> dict[str, str]:
    return {name: value.replace("{port}", str(port)) for name, value in headers.items()}


@pytest.fixture
def controlled(engine: QueryEngine) -> Iterator[RunningServer]:
    with running_server(engine=engine, control=True) as server:
        yield server


@pytest.mark.parametrize("headers", ADMITTED, ids=str)
def test_programs_and_the_own_page_are_answered(server: RunningServer, headers: Mapping[str, str]) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    sent = {"Authorization": f"Bearer {server.key}", **filled(headers, port)}
    answer = httpx.get(f"{server.url}/api/projects/1/endpoints/", headers=sent, verify=False)
    assert (answer.status_code, answer.json()["count"]) == (200, 0)


@pytest.mark.parametrize(("headers", "detail"), REFUSED, ids=str)
@pytest.mark.parametrize(("method", "path"), [("GET", "/api/projects/1/endpoints/"), ("DELETE", "/__requests__")])
def test_other_sites_are_refused(
    controlled: RunningServer, headers: Mapping[str, str], detail: str, method: str, path: str
) -> None:
    """With the right key, and on the routes that ask for none; such a request is not even logged."""
    port = urlsplit(controlled.url).port
    assert port is not None
    sent = {"Authorization": f"Bearer {controlled.key}", **filled(headers, port)}
    answer = httpx.request(method, f"{controlled.url}{path}", headers=sent, verify=False)
    assert answer.status_code == 403
    assert answer.json() == {
        "type": "authentication_error",
        "code": "permission_denied",
        "detail": detail.replace("{port}", str(port)),
        "attr": None,
    }
    assert controlled.requests.entries() == ()


def test_other_names_of_this_machine(server: RunningServer, connect: Callable[..., httpx.Client]) -> None:
    server.deployment.host_names.add("posthog.test")
    client = connect(server)
    for host, origin, status in (
        ("posthog.test", "http://posthog.test", 200),
        ("PostHog.test:8000", None, 200),
        ("posthog.test", "http://evil.example", 403),
        ("sub.posthog.test", None, 403),
        ("posthog.test.evil.example", None, 403),
    ):
        headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
        assert client.get("endpoints/", headers=headers).status_code == status, (host, origin)


def test_a_link_cannot_write(server: RunningServer) -> None:
    """A form of another site, sent by POST into a new tab, has Sec-Fetch headers like a followed link."""
    answer = httpx.post(f"{server.url}/api/projects/1/endpoints/", headers=FOLLOWED_LINK, verify=False)
    assert (answer.status_code, answer.json()["detail"]) == (403, SITE_REFUSED)


@pytest.mark.parametrize("origin", ["http://evil.example", "{own}"])
def test_no_preflight_is_granted(server: RunningServer, origin: str) -> None:
    """No answer has a header of CORS, so a browser does not send the request that it asked about."""
    headers = {
        "Origin": origin.replace("{own}", server.url),
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = httpx.options(f"{server.url}/api/projects/1/endpoints/", headers=headers, verify=False)
    assert answer.status_code == (403 if "evil" in origin else 401)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_http_1_0_without_a_host(server: RunningServer) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as plain:
        plain.sendall(f"GET /api/projects/@current/ HTTP/1.0\r\nAuthorization: Bearer {server.key}\r\n\r\n".encode())
        assert plain.recv(200).startswith(b"HTTP/1.1 200")


def test_own_page_below_a_prefix(engine: QueryEngine, connect: Callable[..., httpx.Client]) -> None:
    with running_server(engine=engine, prefix="/posthog") as server:
        origin = server.url.removesuffix("/posthog")
        assert connect(server).get("endpoints/", headers={"Origin": origin}).status_code == 200
