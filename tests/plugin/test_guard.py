"""While a run replays, no library in it can reach the configured hosts."""

from __future__ import annotations

import socket

import pytest

HOST = "posthog.quill.example"
SUITE = """
def test_recorded(endpoints):
    endpoints("revenue", month="2026-07")
"""
TRIES = {
    "urllib": f"urllib.request.urlopen('https://{HOST}/', timeout=5)",
    "httpx": f"httpx.get('https://{HOST}/', timeout=5)",
    "asyncio, which passes bytes": f"asyncio.run(opened('{HOST}'))",
    "capitals and a dot": f"socket.getaddrinfo('{HOST.upper()}.', 443)",
    "bytes": f"socket.getaddrinfo(b'{HOST}', 443)",
    "gethostbyname": f"socket.gethostbyname('{HOST}')",
    "gethostbyname_ex": f"socket.gethostbyname_ex('{HOST}')",
    "gethostbyaddr": f"socket.gethostbyaddr('{HOST}')",
    "connect": f"on_a_socket(lambda s: s.connect(('{HOST}', 443)))",
    "connect_ex": f"on_a_socket(lambda s: s.connect_ex(('{HOST}', 443)))",
    "sendto": f"on_a_socket(lambda s: s.sendto(b'x', ('{HOST}', 443)), socket.SOCK_DGRAM)",
    "sendmsg": f"on_a_socket(lambda s: s.sendmsg([b'x'], [], 0, ('{HOST}', 443)), socket.SOCK_DGRAM)",
    "another thread": f"in_a_thread(lambda: socket.getaddrinfo('{HOST}', 443))",
}
HEAD = """
import asyncio, socket, threading, urllib.request
import httpx
import pytest

def on_a_socket(use, kind=socket.SOCK_STREAM, family=socket.AF_INET):
    with socket.socket(family, kind) as made:
        use(made)

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
    """An app with a recording, whose configuration names a host that must not be reached."""
    return _guarded(app)


@pytest.fixture
def guarded_once(app_once):
    return _guarded(app_once)


def _guarded(app):
    app.locks(app.PIN)
    app.has_recorded(app.PIN, month="2026-07")
    app.suite(SUITE)
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
        "  why        the app called PostHog directly, which bypasses the recordings\n"
        "  instead    use the fixture endpoints_env: it points the app's settings at endpoints_server\n"
        "  next       pytest --endpoints=live test_app.py::test_0"
    )


@pytest.mark.parametrize("code", TRIES.values(), ids=TRIES)
def test_a_swallowed_refusal_is_raised_at_the_end(guarded_once, code):
    guarded_once.suite(HEAD + f"\ndef test_it():\n    swallowed(lambda: {code})\n")
    result = guarded_once.pytest()
    result.assert_outcomes(passed=1, errors=1)
    assert f"{HOST}: the network was used while replaying" in result.outlines


PROXY = """
import contextlib, ssl

@pytest.fixture
def proxy():
    # A proxy that keeps what it is sent.
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(0.2)
                    with contextlib.suppress(OSError):
                        received.append(connection.recv(65536))
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], received
        server.shutdown(socket.SHUT_RDWR)
        thread.join()

def say(port, *packets):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for packet in packets:
            connection.sendall(packet)

async def say_async(port, packet):
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        writer.write(packet)
        await writer.drain()

async def ask_async(port, url):
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}") as client:
        await client.get(url)

def ask_urllib(port, url):
    handler = urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{port}", "https": f"http://127.0.0.1:{port}"})
    urllib.request.build_opener(handler).open(urllib.request.Request(url, headers={"Authorization": "Bearer x"}))
"""
PROXIED = {
    "urllib, http": f"ask_urllib(port, 'http://{HOST}/run')",
    "urllib, https": f"ask_urllib(port, 'https://{HOST}/run')",
    "httpx, http": f"httpx.get('http://{HOST}/', proxy=f'http://127.0.0.1:{{port}}')",
    "httpx, https": f"httpx.get('https://{HOST}/', proxy=f'http://127.0.0.1:{{port}}')",
    "httpx, async": f"asyncio.run(ask_async(port, 'https://{HOST}/'))",
    "CONNECT, capitals and a dot": f"say(port, b'CONNECT {HOST.upper()}.:443 HTTP/1.1\\r\\n\\r\\n')",
    "asyncio": f"asyncio.run(say_async(port, b'CONNECT {HOST}:443 HTTP/1.1\\r\\n\\r\\n'))",
    "SOCKS 5": f"say(port, b'\\5\\1\\0\\3' + bytes([{len(HOST)}]) + b'{HOST}' + b'\\1\\xbb')",
    "SOCKS 4a": f"say(port, b'\\4\\1\\1\\xbb\\0\\0\\0\\1me\\0{HOST}\\0')",
}


def test_a_proxied_request_is_judged_by_its_target_and_nothing_is_sent(guarded_once):
    tests = "".join(
        f"\ndef test_{number}(proxy):\n    port, received = proxy\n    swallowed(lambda: {code})\n"
        f"    assert b''.join(received) == b''\n"
        for number, code in enumerate(PROXIED.values())
    )
    guarded_once.suite(HEAD + PROXY + tests)
    result = guarded_once.pytest()
    result.assert_outcomes(passed=len(PROXIED), errors=len(PROXIED))
    why = "  why        the app called PostHog through the proxy at 127.0.0.1, which bypasses the recordings"
    assert why in result.outlines


def test_a_proxied_request_to_another_host_is_allowed(guarded_once):
    guarded_once.suite(
        HEAD
        + PROXY
        + f"""
def test_it(proxy):
    port, received = proxy
    say(port, b"CONNECT example.com:443 HTTP/1.1\\r\\nHost: {HOST}\\r\\n\\r\\n")
    say(port, b"GET /run HTTP/1.1\\r\\nHost: {HOST}\\r\\n\\r\\n")
    swallowed(lambda: httpx.get("http://example.com/", proxy=f"http://127.0.0.1:{{port}}"))
    while len(received) < 3:
        threading.Event().wait(0.01)
    assert [b"example.com" in said for said in received] == [True, False, True]
"""
    )
    guarded_once.pytest().assert_outcomes(passed=1)


BY_ADDRESS = {
    "connect": "on_a_socket(lambda s: s.connect(('192.0.2.7', 443)))",
    "connect_ex": "on_a_socket(lambda s: s.connect_ex(('192.0.2.7', 443)))",
    "create_connection": "socket.create_connection(('192.0.2.7', 443), timeout=1)",
    "another spelling": "on_a_socket(lambda s: s.connect(('3221225991', 443)))",
    "in IPv6": "on_a_socket(lambda s: s.connect(('::ffff:192.0.2.7', 443)), family=socket.AF_INET6)",
    "sendto": "on_a_socket(lambda s: s.sendto(b'x', ('192.0.2.7', 443)), socket.SOCK_DGRAM)",
    "asyncio": "asyncio.run(opened('192.0.2.7'))",
    "httpx": "httpx.get('http://192.0.2.7/', timeout=1)",
}


@pytest.mark.parametrize("is_configured", [True, False], ids=["the host is an address", "the address of the host"])
def test_a_connection_to_an_ip_address_of_the_host_is_refused(guarded_once, is_configured):
    if is_configured:
        path = guarded_once.folder / "endpoints.toml"
        path.write_text(path.read_text(encoding="utf-8").replace(HOST, "192.0.2.7"), encoding="utf-8")
    resolver = f"""
@pytest.fixture(autouse=True)
def resolver(monkeypatch):
    # Answers without the audit event of the real one.
    real = socket.getaddrinfo
    entry = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: entry if host == {HOST!r} else real(host, *a, **k))
"""
    tests = "".join(
        f"\ndef test_{number}():\n    swallowed(lambda: {code})\n" for number, code in enumerate(BY_ADDRESS.values())
    )
    guarded_once.suite(HEAD + resolver + tests)
    result = guarded_once.pytest("-W", "error")
    result.assert_outcomes(passed=len(BY_ADDRESS), errors=len(BY_ADDRESS))
    assert "192.0.2.7: the network was used while replaying" in result.outlines


def test_an_address_that_another_name_resolved_to_is_allowed(guarded_once):
    """Hosts behind one content delivery network share addresses."""
    guarded_once.suite(
        HEAD
        + """
from pytest_endpoints_gitops import sockets

def test_it(monkeypatch):
    entry = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", sockets._remembering(lambda host, *rest: entry))
    socket.getaddrinfo("example.com", 443)
    with pytest.raises(OSError):
        on_a_socket(lambda s: s.sendto(b"x" * 70000, ("192.0.2.7", 9)), socket.SOCK_DGRAM)
"""
    )
    guarded_once.pytest().assert_outcomes(passed=1)


def test_the_methods_of_sockets_are_restored_after_the_run(guarded_once):
    before = (socket.socket.send, socket.socket.sendmsg, socket.getaddrinfo)
    guarded_once.suite(SUITE)
    guarded_once.pytest().assert_outcomes(passed=1)
    assert (socket.socket.send, socket.socket.sendmsg, socket.getaddrinfo) == before


def test_other_hosts_and_loopback_are_allowed(guarded_once):
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
def test_only_modes_that_call_the_server_allow_it(guarded_once, mode, outcome):
    """Where the guard allows the look-up, the resolver fails, since the host does not exist."""
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


def test_the_guard_ends_with_the_run(guarded_once):
    """The audit hook stays for the rest of the process, and refuses nothing."""
    guarded_once.suite(SUITE)
    guarded_once.pytest().assert_outcomes(passed=1)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(HOST, 443)


def test_a_forked_process_is_guarded(guarded_once):
    """A program that the app starts is not guarded: it does not have the hook of this process."""
    guarded_once.suite(
        HEAD
        + f"""
import os

def test_it():
    child = os.fork()
    if child == 0:
        try:
            socket.getaddrinfo({HOST!r}, 443)
        except pytest.fail.Exception:
            os._exit(7)
        except OSError:
            os._exit(8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    )
    guarded_once.pytest().assert_outcomes(passed=1)


def test_a_destructor_that_sends_ends_with_its_test(guarded_once):
    """The refused bytes stay in the writer, which sends them again when the traceback of the failure goes."""
    guarded_once.suite(
        HEAD
        + f"""
def test_it():
    listener = socket.create_server(("127.0.0.1", 0))
    connection = socket.create_connection(listener.getsockname())
    writer = connection.makefile("wb")
    swallowed(lambda: (writer.write(b"GET http://{HOST}/ HTTP/1.1\\r\\n\\r\\n"), writer.flush()))
"""
    )
    ended = guarded_once.pytester.runpytest_subprocess("-p", "no:randomly", "-W", "ignore", timeout=60)
    ended.assert_outcomes(passed=1, errors=2)


PROGRAM = """
import json, os, urllib.request
url = "{POSTHOG_HOST}/api/projects/{POSTHOG_PROJECT_ID}/endpoints/revenue/run?version=1".format(**os.environ)
headers = {"Authorization": "Bearer " + os.environ["POSTHOG_API_KEY"], "Content-Type": "application/json"}
body = json.dumps({"variables": {"month": "2026-07"}}).encode()
print(urllib.request.urlopen(urllib.request.Request(url, body, headers)).status)
"""


def test_a_program_that_a_test_starts_inherits_the_address_of_the_server(guarded_once):
    """It has no guard, and does not need one with the fixture `endpoints_env`."""
    guarded_once.write("program.py", PROGRAM)
    guarded_once.suite(
        "import subprocess, sys\n"
        "def test_it(endpoints_env):\n"
        "    assert subprocess.check_output([sys.executable, 'program.py'], text=True) == '200\\n'\n"
    )
    guarded_once.pytest().assert_outcomes(passed=1)
