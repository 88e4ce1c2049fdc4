"""URLs of `serve --clickhouse`: what they name, and that no password is ever shown."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from endpoints_gitops.errors import UsageError
from endpoints_gitops.local.engine.clickhouse_url import PASSWORD_VARIABLE, parse_clickhouse_url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://a", ("http", "a", 8123, "default", "", None, "http://default@a:8123")),
        ("https://a/", ("https", "a", 8443, "default", "", None, "https://default@a:8443")),
        ("https://me@a:1/?cluster=b%20c", ("https", "a", 1, "me", "", "b c", "https://me@a:1")),
        ("http://me:p%2F%40%3A@[::1]:8123", ("http", "::1", 8123, "me", "p/@:", None, "http://me@[::1]:8123")),
        ("http://m%40e:@a", ("http", "a", 8123, "m@e", "", None, "http://m@e@a:8123")),
    ],
)
def test_url(written: str, meant: tuple[Any, ...]) -> None:
    url = parse_clickhouse_url(written, {})
    found = (url.scheme, url.host, url.port, url.user, url.password.reveal(), url.cluster, str(url))
    assert found == meant


def test_a_password_of_the_environment() -> None:
    environ = {PASSWORD_VARIABLE: "hidden"}
    assert parse_clickhouse_url("http://me@a", environ).password.reveal() == "hidden"
    assert parse_clickhouse_url("http://me:shown@a", environ).password.reveal() == "shown"


def test_a_password_is_not_shown() -> None:
    url = parse_clickhouse_url("http://me:hidden@a", {})
    assert "hidden" not in f"{url} {url!r} {url.password}"
    with pytest.raises(TypeError):
        pickle.dumps(url)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("a:8123", "must begin with http:// or https://"),
        ("clickhouse://me:hidden@a", "must begin with http:// or https://"),
        ("", "must begin with http:// or https://"),
        ("http://", "names no host"),
        ("http://me:hidden@", "names no host"),
        ("http://me:hidden@a:b", "wrong host or port"),
        ("http://me:hid/den@a", "wrong host or port"),
        ("http://me:hidden@a:99999", "wrong host or port"),
        ("http://[a", "wrong host or port"),
        ("http://me:hidden@a/database", "names a path"),
        ("http://me:hidden@a/#b", "names a path"),
        ("http://me:hidden@a/?password=hidden", "unknown parameter 'password'"),
        ("http://me:hidden@a/?cluster=", "one cluster"),
        ("http://me:hidden@a/?cluster=a&cluster=b", "one cluster"),
    ],
)
def test_wrong_urls(written: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_clickhouse_url(written, {})
    assert told in str(caught.value)
    assert "hid" not in f"{caught.value} {caught.value.fix}"
