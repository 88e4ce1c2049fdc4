"""Nothing reaches the configured hosts while a run replays, whichever library tries."""

from __future__ import annotations

import socket

import pytest

HOST = "posthog.quill.example"
SUITE = """
def test_recorded(endpoints):
    endpoints("revenue")
"""
TRIES = {
    "urllib": f"urllib.request.urlopen('https://{HOST}/', timeout=5)",
    "httpx": f"httpx.get('https://{HOST}/', timeout=5)",
    "asyncio, which passes bytes": f"asyncio.run(opened('{HOST}'))",
    "capitals and a dot": f"socket.getaddrinfo('{HOST.upper()}.', 443)",
    "bytes": f"socket.getaddrinfo(b'{HOST}', 443)",
    "gethostbyname": f"socket.gethostbyname('{HOST}')",
    "another thread": f"in_a_thread(lambda: socket.getaddrinfo('{HOST}', 443))",
}
HEAD = """
import asyncio, socket, threading, urllib.request
import httpx
import pytest

async def opened(host):
    await asyncio.open_connection(host, 443)

def in_a_thread(work):
    thread = threading.Thread(target=lambda: swallowed(work))
    thread.start()
    thread.join()

def swallowed(work):
    try:
        work()
    except BaseException:
        pass
"""


@pytest.fixture
def guarded(app):
    """Recorded from a real server; then the configuration names a host that must not be reached."""
    return _guarded(app)


@pytest.fixture
def guarded_once(app_once):
    return _guarded(app_once)


def _guarded(app):
    app.pinned()
    app.suite(SUITE)
    app.record()
    path = app.folder / "endpoints.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(app.server.url, f"https://{HOST}"), encoding="utf-8")
    return app


def test_the_host_is_refused_and_named_with_the_test(guarded):
    tests = "\n".join(f"\ndef test_{number}():\n    {code}\n" for number, code in enumerate(TRIES.values()))
    guarded.suite(HEAD + tests)
    result = guarded.pytest()
    thread = list(TRIES).index("another thread")
    result.assert_outcomes(failed=len(TRIES) - 1, passed=1, errors=1)
    assert guarded.failure(result, HOST).replace(f"test_{thread}", "test_0") == (
        f"{HOST}: the network was used while replaying\n"
        "  by         test_app.py::test_0\n"
        "  why        the app asked PostHog itself, past the recordings\n"
        "  instead    take the fixture endpoints_env: it points the app's settings at endpoints_server\n"
        "  next       pytest --endpoints=live test_app.py::test_0"
    )


@pytest.mark.parametrize("code", TRIES.values(), ids=TRIES)
def test_what_the_app_swallows_is_raised_at_the_end(guarded_once, code):
    guarded_once.suite(HEAD + f"\ndef test_it():\n    swallowed(lambda: {code})\n")
    result = guarded_once.pytest()
    result.assert_outcomes(passed=1, errors=1)
    assert f"{HOST}: the network was used while replaying" in result.outlines


def test_other_hosts_and_loopback_are_left_alone(guarded_once):
    guarded_once.suite(
        HEAD
        + """
def test_it():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    assert socket.getaddrinfo("localhost", 80)
    with pytest.raises(OSError):
        socket.getaddrinfo("nobody.invalid", 443)
"""
    )
    guarded_once.pytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(("mode", "outcome"), [("live", "passed"), ("local", "failed"), ("replay", "failed")])
def test_modes_that_call_may_call(guarded_once, mode, outcome):
    """What is not refused here is refused by the resolver, as no such host is there."""
    guarded_once.suite(
        HEAD
        + f"""
@pytest.mark.endpoints(mode="{mode}")
def test_it():
    with pytest.raises(OSError):
        socket.getaddrinfo("{HOST}", 443)
"""
    )
    guarded_once.pytest().assert_outcomes(**{outcome: 1})


def test_it_leaves_with_the_run(guarded_once):
    """The hook stays for the rest of the process, and refuses nothing any more."""
    guarded_once.suite(SUITE)
    guarded_once.pytest().assert_outcomes(passed=1)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HOST, 443)
