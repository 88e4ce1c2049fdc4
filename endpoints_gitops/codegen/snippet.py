"""One call of a pin as text that can be pasted: into a shell, or into a file of a language.

A snippet needs neither a checkout nor this library. It reads its key from $POSTHOG_API_KEY, prints the answer alone,
does not follow redirects with the key, and ends with an error if the server refuses the call.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from endpoints_gitops.codegen.interface import EndpointInterface, ValueKind
from endpoints_gitops.codegen.literals import json_literal, string_literal
from endpoints_gitops.model.json import Json

KEY_VARIABLE: Final = "POSTHOG_API_KEY"
_SECONDS: Final = 60
_LARGEST_EXACT: Final = 2**53 - 1
"""JavaScript rounds larger integers."""


class SnippetLanguage(StrEnum):
    """What a snippet is written in. `curl` and `httpie` are command lines of any shell."""

    CURL = "curl"
    HTTPIE = "httpie"
    PYTHON = "python"
    TYPESCRIPT = "typescript"
    GO = "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """The text of a call. `variables` are the values in it; `placeholders` names those that stand for a value which the
    lock does not have, and `omitted` the optional variables that are not in it."""

    text: str
    variables: Mapping[str, Json]
    placeholders: tuple[str, ...]
    omitted: tuple[str, ...]


def snippet(interface: EndpointInterface, *, host: str, project_id: int, language: SnippetLanguage) -> Snippet:
    """A call of the pinned version. The values are those of the pin's first example; without one, the defaults.

    A required variable without a value gets a placeholder of its type. Values of the example for variables that this
    version does not have are left out.
    """
    pin = interface.pin
    example = pin.examples[0].variables if pin.examples else None
    variables: dict[str, Json] = {}
    placeholders, omitted = [], []
    for parameter in interface.parameters:
        name = parameter.variable
        if example is not None and name in example and (example[name] is not None or not pin.materialized):
            variables[name] = example[name]
        elif parameter.has_default and parameter.default is not None and (parameter.required or example is None):
            variables[name] = parameter.default
        elif parameter.required:
            variables[name] = _PLACEHOLDERS.get(parameter.type.kind, _REPLACE_ME)
            placeholders.append(name)
        else:
            omitted.append(name)
    url = f"{host.rstrip('/')}/api/projects/{project_id}/endpoints/{pin.name}/run?version={pin.version}"
    return Snippet(
        text=_WRITERS[language](url, variables),
        variables=variables,
        placeholders=tuple(placeholders),
        omitted=tuple(omitted),
    )


_REPLACE_ME: Final = "REPLACE_ME"
_PLACEHOLDERS: Final[Mapping[ValueKind, Json]] = {
    ValueKind.FLOAT: 0,
    ValueKind.BOOLEAN: False,
    ValueKind.ARRAY: [_REPLACE_ME],
    ValueKind.DATE: "2000-01-01",
}


def _curl(url: str, variables: Mapping[str, Json]) -> str:
    return f"""\
curl --fail-with-body --silent --show-error --max-time {_SECONDS} \\
  --header "Authorization: Bearer ${KEY_VARIABLE}" \\
  --header 'Content-Type: application/json' \\
  --data-binary '{_payload(variables)}' \\
  {shlex.quote(url)}
"""


def _httpie(url: str, variables: Mapping[str, Json]) -> str:
    return f"""\
http --check-status --ignore-stdin --body --timeout {_SECONDS} \\
  --auth-type bearer --auth "${KEY_VARIABLE}" \\
  --raw '{_payload(variables)}' \\
  POST {shlex.quote(url)}
"""


def _python(url: str, variables: Mapping[str, Json]) -> str:
    return f"""\
import json
import os
import sys
import urllib.error
import urllib.request

variables = {_python_literal(variables)}
request = urllib.request.Request(
    {string_literal(url)},
    data=json.dumps({{"variables": variables}}).encode(),
    headers={{"Content-Type": "application/json"}},
)
# unredirected: if the server redirects, the key stays here
request.add_unredirected_header("Authorization", f"Bearer {{os.environ['{KEY_VARIABLE}']}}")
try:
    print(urllib.request.urlopen(request, timeout={_SECONDS}).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"{{error}}: {{error.read().decode()}}")
"""


def _typescript(url: str, variables: Mapping[str, Json]) -> str:
    body = f"JSON.stringify({{ variables: {_javascript_literal(variables)} }})"
    if not _is_exact_in_javascript(variables):
        body = string_literal(json_literal({"variables": variables}))
    return f"""\
import process from "node:process";

const response = await fetch({string_literal(url)}, {{
  method: "POST",
  headers: {{
    Authorization: `Bearer ${{process.env["{KEY_VARIABLE}"]}}`,
    "Content-Type": "application/json",
  }},
  body: {body},
  redirect: "error",
  signal: AbortSignal.timeout({_SECONDS}_000),
}});
const answer = await response.text();
if (!response.ok) {{
  throw new Error(`${{response.status}} ${{answer}}`);
}}
console.log(answer);
"""


def _go(url: str, variables: Mapping[str, Json]) -> str:
    return f"""\
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {{
	payload := `{_payload(variables)}`
	request, err := http.NewRequest("POST", {string_literal(url)}, strings.NewReader(payload))
	if err != nil {{
		log.Fatal(err)
	}}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("{KEY_VARIABLE}"))
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{{
		Timeout:       {_SECONDS} * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error {{ return http.ErrUseLastResponse }},
	}}
	response, err := client.Do(request)
	if err != nil {{
		log.Fatal(err)
	}}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {{
		log.Fatal(err)
	}}
	if response.StatusCode != http.StatusOK {{
		log.Fatalf("%s: %s", response.Status, answer)
	}}
	fmt.Println(string(answer))
}}
"""


_WRITERS: Final[Mapping[SnippetLanguage, Callable[[str, Mapping[str, Json]], str]]] = {
    SnippetLanguage.CURL: _curl,
    SnippetLanguage.HTTPIE: _httpie,
    SnippetLanguage.PYTHON: _python,
    SnippetLanguage.TYPESCRIPT: _typescript,
    SnippetLanguage.GO: _go,
}


def _payload(variables: Mapping[str, Json]) -> str:
    """The body as JSON on one line, without a character that ends or changes it between the quotes of a shell (`'`) or
    of Go (a backquote). Backslashes are not doubled, because fish takes two of them for one."""
    return json_literal({"variables": variables} if variables else {})


def _python_literal(variables: Mapping[str, Json]) -> str:
    """A dictionary. `repr` escapes characters that print nothing."""
    plain = json.loads(json.dumps(variables))
    return _lines([f"{name!r}: {value!r}" for name, value in plain.items()], "    ", "")


def _javascript_literal(variables: Mapping[str, Json]) -> str:
    return _lines([f"{string_literal(name)}: {json_literal(value)}" for name, value in variables.items()], "    ", "  ")


def _is_exact_in_javascript(value: Json) -> bool:
    """Whether a literal of JavaScript has this value: it rounds large integers, and takes `__proto__` for no key."""
    if isinstance(value, Mapping):
        return "__proto__" not in value and all(map(_is_exact_in_javascript, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_exact_in_javascript, value))
    return not isinstance(value, int) or abs(value) <= _LARGEST_EXACT


def _lines(items: list[str], indent: str, last_indent: str) -> str:
    """A literal of an object, with one item on each line."""
    return "{\n" + "".join(f"{indent}{item},\n" for item in items) + last_indent + "}" if items else "{}"
