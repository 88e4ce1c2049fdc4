"""The address of a server: anything else is one clear mistake."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoints_gitops.api.connection import Connection
from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.origin import Origin, host_mistake
from endpoints_gitops.model.secret import Secret

SAME = [
    ("https://us.posthog.com", "https://us.posthog.com"),
    ("HTTPS://US.PostHog.com:443/prefix/", "https://us.posthog.com"),
    ("http://posthog:80", "http://posthog"),
    ("http://posthog:8000/ph", "http://posthog:8000"),
    ("https://[::1]:8000", "https://[::1]:8000"),
    ("https://[0:0::1]", "https://[::1]"),
    ("https://bücher.example", "https://xn--bcher-kva.example"),
    ("https://a_b.example", "https://a_b.example"),
    ("https://x:", "https://x"),
]


@pytest.mark.parametrize(("address", "origin"), SAME)
def test_case_default_ports_and_prefixes_do_not_count(address, origin):
    assert str(Origin.of(address)) == origin


MISTAKES = [
    ("", "such as"),
    ("us.posthog.com", "such as"),
    ("ftp://us.posthog.com", "such as"),
    ("https://", "such as"),
    ("https://[::1", "such as"),
    ("https://eu..posthog.com", "empty part"),
    ("https://.posthog.com", "empty part"),
    ("https://posthog.com.", "empty part"),
    (f"https://{'a' * 64}.posthog.com", "at most 253 characters, and at most 63"),
    (f"https://{'a.' * 127}com", "at most 253 characters"),
    ("https://x:0", "from 1 to 65535"),
    ("https://x:65536", "from 1 to 65535"),
    ("https://x:-1", "from 1 to 65535"),
    (f"https://x:{'9' * 5000}", "from 1 to 65535"),
    ("https://x:٣", "from 1 to 65535"),
    ("https://user:secret@x", "without user"),
    ("https://x?", "question mark"),
    ("https://x#", "question mark"),
    ("https://us.posthog.com\\@evil.test", "backslash"),
    ("https://us.posthog.com\n.evil.test", "unprintable"),
    ("https://x y", "space"),
    ("https://x\x00y", "unprintable"),
    ("https://ｐosthog.com", "IDNA"),
    ("https://☃.example", "IDNA"),
    ("https://us.posthog.com;x", "letters, digits"),
    ("https://us.posthog.com%2eevil.test", "letters, digits"),
    ("https://127.1", "not a valid IP address"),
    ("https://2130706433", "not a valid IP address"),
    ("https://999.1.1.1", "not a valid IP address"),
    ("https://[fe80::1%25eth0]", "not a valid IP address"),
    ("https://[::1]1", "port is a number"),
    ("http://[::1]A", "port is a number"),
    ("http://[::1]80:80", "port is a number"),
]


@pytest.mark.parametrize(("address", "said"), MISTAKES)
def test_each_mistake_is_named(address, said):
    assert said in (host_mistake(address) or "no mistake")
    with pytest.raises(UsageError, match="host "):
        Connection(host=address, project_id=1, key=Secret("phx_k"))


def test_what_is_this_machine_and_what_is_posthog():
    loopback = ["http://localhost:1", "http://127.8.0.1", "https://[::1]"]
    others = ["http://0.0.0.0", "http://localhost.evil.test", "http://127.0.0.1.evil.test", "http://10.0.0.1"]
    assert [Origin.of(one).is_loopback for one in (*loopback, *others)] == [True] * 3 + [False] * 4
    posthog = ["https://posthog.com", "https://eu.posthog.com:8443"]
    others = [
        "http://us.posthog.com",
        "https://evilposthog.com",
        "https://posthog.com.evil.test",
        "https://pоsthog.com",
    ]
    assert [Origin.of(one).is_posthog for one in (*posthog, *others)] == [True] * 2 + [False] * 4


PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["http://", "https://", "posthog.com", "127.0.0.1", "[::1]", ":", "@", "/", "..", "xn--", "%", "ß", "\u202e"]
    ),
)


@given(st.lists(PIECES, max_size=6).map("".join))
def test_any_text_is_an_address_that_can_be_asked_or_one_mistake(text):
    """What is accepted, the HTTP client reads as the same server."""
    mistake = host_mistake(text)
    if mistake is not None:
        assert "\n" not in mistake
        return
    origin, url = Origin.of(text), httpx.URL(text)
    assert (url.scheme, url.raw_host.decode()) == (origin.scheme, origin.name)
    assert (url.port or {"http": 80, "https": 443}[url.scheme]) == origin.port
