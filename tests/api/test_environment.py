"""Proxies and certificates from environment variables: a mistake is one error that names the variable."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from endpoints_gitops.api import errors
from endpoints_gitops.api.client import AsyncClient, Client
from endpoints_gitops.api.connection import Connection
from endpoints_gitops.errors import MissingExtra, UsageError
from endpoints_gitops.extras import install_advice
from endpoints_gitops.model.secret import Secret

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def to(host="https://ph.test", **more):
    return Connection(**{"host": host, "project_id": 1, "key": Secret("phx_k"), "max_wait": 0.2} | more)


def by_threads():
    with Client(to()) as client:
        return client.get_endpoint("e")


def by_loop():
    async def call():
        async with AsyncClient(to()) as client:
            return await client.get_endpoint("e")

    return asyncio.run(call())


MISTAKES = [
    ("HTTPS_PROXY", "http://proxy:99999", "from 1 to 65535"),
    ("https_proxy", "http://a..b:8080", "empty part"),
    ("ALL_PROXY", "http://", "such as"),
    ("ALL_PROXY", "http://[::1", "not the address of a proxy"),
    ("HTTP_PROXY", f"http://{'a' * 64}:1", "at most 253"),
    ("HTTPS_PROXY", "ftp://proxy:21", "other than http, https, socks5, socks5h"),
    ("all_proxy", "socks4://proxy:1080", "other than http"),
    ("NO_PROXY", "a,http://[::1", "not a list of host names"),
    ("no_proxy", "[::1", "not a list of host names"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem", "which is not a file"),
    ("SSL_CERT_FILE", __file__, "names unreadable certificates"),
    ("SSL_CERT_FILE", str(Path(__file__).parent), "which is not a file"),
    ("SSL_CERT_DIR", "/nowhere/certs", "which is not a folder"),
    ("SSL_CERT_DIR", f"{Path(__file__).parent}:/nowhere", "which is not a folder"),
]


@pytest.mark.parametrize("call", [by_threads, by_loop])
@pytest.mark.parametrize(("variable", "value", "said"), MISTAKES)
def test_a_mistake_names_its_variable(monkeypatch, call, variable, value, said):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"the environment variable {variable} ") as caught:
        call()
    assert said in str(caught.value)
    assert caught.value.fix == f"unset {variable}"


@pytest.mark.parametrize("value", ["socks5://proxy:1080", "socks5h://user:secret@proxy:1080"])
def test_a_socks_proxy_needs_an_extra(monkeypatch, value):
    monkeypatch.setenv("ALL_PROXY", value)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(
        MissingExtra, match="the SOCKS proxy in ALL_PROXY needs socksio, which is not installed"
    ) as caught:
        by_threads()
    assert caught.value.fix == install_advice("socks")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("call", [by_threads, by_loop])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_reached_is_named(monkeypatch, call, variable):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv(variable, f"http://user:secret@127.0.0.1:{port}")
    with pytest.raises(errors.Unreachable) as caught:
        call()
    assert f"https://ph.test: the proxy http://127.0.0.1:{port} ({variable}) cannot be used: " in caught.value.message
    assert "secret" not in str(caught.value)


def test_a_host_in_no_proxy_is_not_reported_as_behind_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "localhost,192.168.0.0/16,.test,::1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "unknown")))
    with pytest.raises(errors.HostWrong) as caught:
        by_threads()
    assert "proxy" not in caught.value.message


@pytest.mark.parametrize("variable", VARIABLES)
def test_plain_http_to_this_machine_does_not_care(connection, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://[::1")
    with Client(connection()) as client:
        assert client.list_endpoints() == ()
