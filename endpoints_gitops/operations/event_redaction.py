"""Redact copied events: personal values by the names of their properties, ids by a hash, addresses inside of texts.

The hash is salted with a secret that is never stored, so that an id cannot be found by hashing guesses. Equal values
have equal hashes within one copy, wherever they stand, so that joins and counts of distinct values hold.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from endpoints_gitops.errors import UsageError
from endpoints_gitops.model.redaction import redacted_value
from endpoints_gitops.model.uuids import is_uuid

REDACTED: Final = "redacted"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IDS: Final = _words(
    "distinct_id person_id uuid user_id userid device_id $session_id $window_id $device_id $user_id $anon_distinct_id "
    "$identified_id $groups $group_key $group_0 $group_1 $group_2 $group_3 $group_4"
)
"""Names whose values are hashed, in lower case."""
_PRIVATE: Final = _words(
    "email mail name firstname lastname fullname surname username nickname login phone mobile telephone "
    "fax address street city zip zipcode postal postcode latitude longitude lat lng birthday birthdate dob ssn iban "
    "card ip password passwd secret token apikey authorization cookie message comment"
)
"""Words in the names of properties whose values are replaced."""
_PRIVATE_NAMES: Final = _words(
    "$el_text $elements $elements_chain $ai_input $ai_output $ai_output_choices $ai_input_state $ai_output_state "
    "$search_query"
)
"""Properties of PostHog that hold text of pages and people."""
_PUBLIC_NAMES: Final = _words("$os_name $app_name $screen_name $geoip_country_name $geoip_continent_name $lib_name")
"""Properties of PostHog that have such a word in their name and do not describe a person."""
_PRIVATE_PREFIXES: Final = ("$survey_response", "$geoip_subdivision_2")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_EMAIL: Final = re.compile(r"(?<![\w.+%-])[\w.+%-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_IPV4: Final = re.compile(r"(?<![\w/.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w.-])")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9a-fA-F:]{2,39}(?![\w:])")
_KEY: Final = re.compile(r"ph[xsa]_[A-Za-z0-9]{6,}")
_PARAMETER: Final = re.compile(r"(?<=[?&#;])([^=&#;\s?]+)=([^&#;\s]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionRules:
    """What a user adds to the rules, and takes out of them, by name. `salt` is that of the hashes."""

    replaced: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedRows:
    """The rows, and the names whose values were replaced and hashed."""

    rows: Sequence[dict[str, Any]]
    replaced: tuple[str, ...]
    hashed: tuple[str, ...]


def redact_events(rows: Sequence[dict[str, Any]], rules: RedactionRules) -> RedactedRows:
    """The rows without personal values, as far as names and shapes tell. Raises UsageError for a rule of a name that no
    row has, which may be misspelled, and for two rules of one name.
    """
    names = sorted(set(_names(list(rows))))
    unknown = sorted({*rules.replaced, *rules.kept} - set(names))
    if unknown:
        message = f"no copied event has {', '.join(map(repr, unknown))}: a rule of --redact or --keep has no effect"
        raise UsageError(message, fix="correct the name, or omit the rule", code="usage.redaction")
    both = sorted(rules.kept.intersection(rules.replaced))
    if both:
        message = f"--redact and --keep both name {', '.join(map(repr, both))}"
        raise UsageError(message, fix="omit one of the two", code="usage.redaction")
    hashes = _Hashes(rules.salt)
    redact: dict[str, Any] = {}
    for name in names:
        if name in rules.replaced:
            redact[name] = rules.replaced[name]
        elif name not in rules.kept and name.lower() in IDS:
            redact[name] = hashes.of_value
        elif name not in rules.kept and is_private(name):
            redact[name] = hashes.instead
    ids = set() if "distinct_id" in rules.kept else {str(row["distinct_id"]) for row in rows}
    mask = _Mask(hashes, ids)
    shown = [mask.masked(row, kept=rules.kept) for row in redacted_value(list(rows), redact)]
    return RedactedRows(
        rows=shown,
        replaced=tuple(name for name, instead in redact.items() if instead != hashes.of_value),
        hashed=tuple(name for name, instead in redact.items() if instead == hashes.of_value),
    )


def is_private(name: str) -> bool:
    """Whether a property of this name is likely to hold something about a person, or a secret."""
    if name in _PUBLIC_NAMES:
        return False
    if name in _PRIVATE_NAMES or name.startswith(_PRIVATE_PREFIXES):
        return True
    words = [word.lower() for word in _WORD.findall(name)]
    pairs = [first + second for first, second in pairwise(words)]
    return any(word in _PRIVATE or word.removesuffix("s") in _PRIVATE for word in [*words, *pairs])


def _names(value: object) -> Iterator[str]:
    """The names of all columns and keys, at any depth."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


class _Hashes:
    """Replacements of values that keep their shape: a UUID, an e-mail address, a number or a text."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._made: set[str] = set()  # hashes, which stay as they are where they are met again

    def of_value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """The hash of an id; of each value inside of an object or list."""
        if isinstance(value, Mapping):
            return {key: self.of_value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of_value(item) for item in value]
        if isinstance(value, bool) or value is None or value == "":
            return value
        digest = self._digest(str(value))
        if isinstance(value, int | float):
            return int.from_bytes(digest[:4])
        if value in self._made:
            return value
        if _EMAIL.fullmatch(value):
            made = f"person-{digest.hex()[:12]}@example.com"
        elif is_uuid(value):
            made = str(uuid.UUID(bytes=digest[:16], version=4))
        else:
            made = f"id-{digest.hex()[:16]}"
        self._made.add(made)
        return made

    def instead(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """What replaces a personal value: nothing of it, but for the equality of e-mail addresses."""
        if isinstance(value, bool) or value is None or value == "":
            return value
        if isinstance(value, int | float):
            return 0
        if isinstance(value, str):
            return self.of_value(value) if _EMAIL.fullmatch(value) else REDACTED
        return {} if isinstance(value, Mapping) else []

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256)


class _Mask:
    """What is masked by the shape of a text, under any name: ids of the sample, addresses, keys, parameters of URLs."""

    def __init__(self, hashes: _Hashes, ids: set[str]) -> None:
        self._hashes = hashes
        self._ids = ids

    def masked(self, value: Any, *, kept: frozenset[str] = frozenset()) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, Mapping):
            return {
                self._text(key): item if key in kept else self.masked(item, kept=kept) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.masked(item, kept=kept) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        if text in self._ids:
            return str(self._hashes.of_value(text))
        if "://" in text or text.startswith(("?", "/")):
            text = _PARAMETER.sub(_parameter, text)
        text = _EMAIL.sub(lambda match: str(self._hashes.of_value(match[0].replace("%40", "@"))), text)
        text = _IPV4.sub(lambda match: "0.0.0.0" if _is_address(match[0]) else match[0], text)  # noqa: S104 - a text
        text = _IPV6.sub(lambda match: "::" if ":" in match[0] and _is_address(match[0]) else match[0], text)
        return _KEY.sub(REDACTED, text)


def _parameter(match: re.Match[str]) -> str:
    return match[0] if match[1].startswith("utm_") else f"{match[1]}={REDACTED}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def as_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as JSON lines, which `serve --data` reads."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")
