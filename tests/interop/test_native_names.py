"""Native clients whose endpoints, variables and columns have names that the languages use themselves."""

from __future__ import annotations

import re
import subprocess
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.codegen import generated_files
from endpoints_gitops.codegen.header import text_with_header
from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.model.sunset import SunsetNotice
from endpoints_gitops.model.target import GenerationTarget
from tests.interop.programs import program
from tests.interop.test_native_go import go
from tests.interop.test_native_typescript import compile_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WORDS = """
abstract any append arguments async await bool boolean break byte case catch chan class client close const constructor
continue ctx debugger declare default defer delete do document else enum error eval export extends fallthrough false
fetch finally float64 for func function get given global globalThis go goto hasOwnProperty if implements import in
instanceof int64 interface iota is iter json key keyof len let limit make map max min module nan namespace new nil
null number of offset options package page panic print private process project-id protected prototype public range
readonly refresh require return row rows select self setTimeout static string struct super switch symbol text then
this throw time timeout toString true try type typeof undefined unknown valueOf var variables void while window with
yield scan Seek format write-to all-map All-map allMap a-b a_b A-b
"""
ODD = [
    *(
        "$browser",
        "properties.$os",
        "a b",
        "ä",
        "日本",
        "",
        "1",
        "_",
        "-",
        "a-b",
        "a_b",
        "it's",
        'say "x"',
        "back\\slash",
    ),
    *("`tick`", "*/ end", "// line", "two\nlines", "${x}", "a,b", "\u2028", "\U0001f600", "__proto__", "{", 'json:"x"'),
]
TYPES = ["integer", "float", "decimal", "string", "boolean", "date", "datetime", "unknown", "array"]
FULL = ["Array(Nullable(integer))", "Tuple(integer, Array(Tuple(string, Nullable(date))))", "Map(string, Array(float))"]


def words() -> list[str]:
    """The words above, and every name that the code of the clients declares."""
    found = set(WORDS.split())
    for name in ("typescript_client.ts", "typescript_insights.ts", "go_client.go", "go_insights.go"):
        text = files("endpoints_gitops.codegen").joinpath(name).read_text(encoding="utf-8")
        found |= {word for word in re.findall(r"[A-Za-z]\w*", text) if len(word) < 40}
    return sorted(found)


def pin(name: str, kind: str = "HogQLQuery", **settings: Any) -> Pin:
    query = {"kind": kind, "query": "SELECT 1"}
    identity: dict[str, Any] = {"endpoint_id": "e", "version": 1, "version_id": "v", "created_at": None}
    return Pin(environment="prod", name=name, query=query, **identity, **settings)


@pytest.fixture(scope="module")
def pins() -> list[Pin]:
    names, odd = words(), tuple(dict.fromkeys([*ODD, *WORDS.split()]))
    columns = [
        *(PinnedColumn(name=name, type="string", nullable=False) for name in odd),
        *(PinnedColumn(name=f"{word} {known}", type=word, nullable=known) for word in TYPES for known in (True, False)),
        *(PinnedColumn(name=full, type="json", full=full, nullable=known) for full in FULL for known in (True, None)),
    ]
    types = ["String", "Number", "Boolean", "List", "Date", "a type of next year"]
    variables = [
        PinnedVariable(name=f"{name}{suffix}", type=types[index % 6], required=not suffix, has_default=bool(suffix))
        for index, name in enumerate(odd)
        for suffix in ("", " 2")
    ]
    optional = PinnedVariable(name="v", type="String", required=False)
    notice = SunsetNotice(since=date(2026, 1, 1), sunset=date(2027, 1, 1), replaced_by="other", reason="*/ old")
    return [
        *(pin(name, columns=(PinnedColumn(name="n", type="integer"),), variables=(optional,)) for name in names),
        pin("zz-every-column", columns=tuple(columns), variables=tuple(variables), deprecation=notice),
        pin("zz-repeated", columns=tuple(columns) * 2, materialized=True),
        pin("zz-no-columns"),
        *(
            pin(f"zz-insight-{kind}", kind, variables=tuple(variables))
            for kind in ("TrendsQuery", "PathsQuery", "StickinessQuery", "FunnelsQuery", "WebOverviewQuery")
        ),
    ]


def generate(pins: list[Pin], lang: str, folder: Path, out: str) -> Path:
    target = GenerationTarget(lang=lang, generator="native", out=out)
    (file,) = generated_files([interface_of(each) for each in pins], target) or ()
    path = folder / out / file.path
    path.parent.mkdir(exist_ok=True)
    path.write_text(text_with_header(file, target), encoding="utf-8")
    return path


def test_typescript_compiles(pins: list[Pin], tmp_path: Path) -> None:
    generate(pins, "typescript", tmp_path, ".")
    compiled = compile_in(tmp_path, "endpoints_client.ts")
    assert compiled.stdout == ""
    assert compiled.returncode == 0
    program_text = 'import * as all from "./endpoints_client.js"; console.log(Object.keys(all).length)'
    (tmp_path / "out" / "package.json").write_text('{"type": "module"}')
    (tmp_path / "out" / "main.js").write_text(program_text)
    command = [program("node"), str(tmp_path / "out" / "main.js")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(ran.stdout) > len(pins)


def test_go_is_formatted_and_vetted(pins: list[Pin], tmp_path: Path) -> None:
    path = generate(pins, "go", tmp_path, "func")
    assert subprocess.run([program("gofmt"), "-d", path], capture_output=True, text=True, check=True).stdout == ""
    vetted = go(tmp_path, "vet", "./...")
    assert (vetted.returncode, vetted.stderr) == (0, "")
    assert "\npackage endpoints\n" in path.read_text(encoding="utf-8")
