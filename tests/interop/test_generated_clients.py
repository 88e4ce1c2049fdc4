"""Clients of the real generators: compiled or type-checked, and run against the local server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from endpoints_gitops.codegen.header import text_with_header
from endpoints_gitops.codegen.interface import interface_of
from endpoints_gitops.codegen.openapi import document_text, enrich
from endpoints_gitops.local.faults import Effect, Fault
from endpoints_gitops.local.serve import RunningServer
from endpoints_gitops.model.json import JsonObject
from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable
from endpoints_gitops.model.target import GenerationTarget
from endpoints_gitops.operations.generators import GENERATORS, files_of_generator
from tests.conftest import Ran
from tests.interop.programs import missing_program, node_file, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # Java, tsc and Go take their time on a busy machine
APPS = Path(__file__).parent / "generated"
CHECKOUT = Path(__file__).parents[2]
SQL = """SELECT 'pro' AS plan, number AS people, if(number = 0, null, 0.5) AS share,
toDate('2026-07-01') AS day FROM numbers(2) WHERE {variables.plan} = 'pro'"""
RUNTIME = "github.com/oapi-codegen/runtime v1.9.0"
SEEN = {
    "rows": [
        {"plan": "pro", "people": 0, "share": None, "day": "2026-07-01"},
        {"plan": "pro", "people": 1, "share": 0.5, "day": "2026-07-01"},
    ],
    "version": 1,
    "more": False,
    "points": 8,
    "statuses": [400, 401, 404, 429],
    "errors": ["Invalid limit parameter: 0", "authentication_failed", "not_found", "throttled"],
    "retryAfter": "7",
}

type Words = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class App:
    """An app in one language: the target of `generate`, and how it is prepared, checked and run in its folder.

    `broken` is in the line that its type checker names after version 2 took `tier` instead of `plan`.
    `documented` is the language of its example in docs/clients.md.
    """

    lang: str
    generator: str
    file: str
    prepare: Callable[[Path], None]
    check: Callable[[Path], Words]
    run: Callable[[Path], Words]
    broken: str
    documented: str = ""

    @property
    def version(self) -> str:
        return next(known.tested for known in GENERATORS if (known.name, known.lang) == (self.generator, self.lang))


def documented_app(language: str, url: str) -> str:
    """The app that docs/clients.md shows, for the endpoint of these tests."""
    page = (CHECKOUT / "docs" / "clients.md").read_text(encoding="utf-8").partition("## Other generators")[2]
    text = page.partition(f"```{language}\n")[2].partition("```")[0]
    changes = {
        "https://us.posthog.com": url,
        "version: 3": "version: 1",
        "version=3": "version=1",
        "endpoints/": "client/",
    }
    for before, after in changes.items():
        text = text.replace(before, after)
    if language == "typescript":
        return f"declare const process: {{ env: Record<string, string | undefined> }};\n{text}"
    return text


def typescript(folder: Path) -> None:
    options = {
        "strict": True,
        "target": "ES2022",
        "module": "NodeNext",
        "lib": ["ES2022", "DOM", "DOM.Iterable"],
        "types": [],
        "outDir": "built",
    }
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts", "client"]}))
    (folder / "package.json").write_text('{"type": "module"}')


def tsc(folder: Path) -> Words:
    return [program("node"), node_file("typescript/lib/tsc.js"), "--project", str(folder)]


def node(folder: Path) -> Words:
    (built,) = (folder / "built").glob("*.js")
    return [program("node"), str(built)]


def hey_api(folder: Path) -> None:
    node_file("@hey-api/openapi-ts/package.json")
    typescript(folder)


def openapi_generator() -> None:
    """Skip the test where uv does not have the program, which it fetches from PyPI, or Java is missing."""
    program("java")
    package = f"openapi-generator-cli=={FETCH.version}"
    words = [os.environ.get("UV") or program("uv"), "tool", "run", "--offline", "--from", package]
    found = subprocess.run([*words, "openapi-generator-cli", "version"], capture_output=True, check=False)
    if found.returncode:
        missing_program("openapi-generator-cli", f"uvx --from {package} openapi-generator-cli version fetches it")


def fetch(folder: Path) -> None:
    openapi_generator()
    typescript(folder)


def python(_: Path) -> None:
    openapi_generator()


def mypy(folder: Path) -> Words:
    options = ["--strict", "--config-file", os.devnull, "--follow-imports", "silent", "--no-error-summary"]
    return [sys.executable, "-m", "mypy", *options, str(folder / "app.py")]


def go(folder: Path) -> None:
    program("oapi-codegen")
    (folder / "go.mod").write_text(f"module example.com/app\n\ngo 1.24\n\nrequire {RUNTIME}\n")


def vet(folder: Path) -> Words:
    """The modules first, which are in Go's cache or come from its proxy."""
    tidy = subprocess.run([program("go"), "mod", "tidy"], cwd=folder, capture_output=True, text=True, check=False)
    assert tidy.returncode == 0, tidy.stderr
    return ["go", "vet", "./..."]


HEY_API = App(
    lang="typescript", generator="@hey-api/openapi-ts", file="hey_api.ts", prepare=hey_api, check=tsc, run=node,
    broken="await runRevenueByPlan({ body: { version: 1, variables: { plan: 'pro' } } });",
    documented="typescript",
)  # fmt: skip
FETCH = App(
    lang="typescript", generator="openapi-generator", file="typescript_fetch.ts", prepare=fetch, check=tsc, run=node,
    broken="{ version: 1, variables } });",
)  # fmt: skip
PYTHON = App(
    lang="python", generator="openapi-generator", file="openapi_generator.py", prepare=python, check=mypy,
    run=lambda folder: [sys.executable, "-W", "error", str(folder / "app.py")], broken="RevenueByPlanVariables(plan=",
    documented="python",
)  # fmt: skip
GO = App(
    lang="go", generator="oapi-codegen", file="oapi_codegen.go", prepare=go, check=vet,
    run=lambda _: [program("go"), "run", "."], broken="RevenueByPlanEndpointRunRequestVersionN1,",
)  # fmt: skip
LISTED = {"hey-api": HEY_API, "typescript-fetch": FETCH, "python": PYTHON, "oapi-codegen": GO}


def started(words: Words, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{folder / 'client'}", "MYPYPATH": f"{folder / 'client'}", **variables}
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=380,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def pinned(
    cli: Callable[..., Ran],
    checkout: Any,
    server: RunningServer,
    connect: Callable[..., Any],
    caches: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Endpoints that are pinned, one of which is then switched off and one busy."""
    for name, value in caches.items():
        monkeypatch.setenv(name, value)
    ask = connect(server)
    variable = ask.post("insight_variables/", json={"name": "plan", "type": "String"}).json()
    declared = {variable["id"]: {"variableId": variable["id"], "code_name": "plan"}}
    queries: Mapping[str, dict[str, Any]] = {
        "revenue-by-plan": {"kind": "HogQLQuery", "query": SQL, "variables": declared},
        "views": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "event": "$pageview"}]},
        "gone": {"kind": "HogQLQuery", "query": "SELECT 1 AS one"},
        "busy": {"kind": "HogQLQuery", "query": "SELECT 'a' AS a"},
    }
    for name, query in queries.items():
        ask.post("endpoints/", json={"name": name, "query": query}).raise_for_status()
    path = checkout.top / "endpoints.toml"
    path.write_text("".join(f'uses.{name} = "*"\n' for name in queries) + path.read_text())
    assert cli("lock").code == 0
    ask.patch("endpoints/gone/", json={"is_active": False}).raise_for_status()
    server.faults.add(Fault(effect=Effect.ERROR, path="*/busy/run", status=429, retry_after=7, nth=None))
    return Path(checkout.top)


@pytest.mark.parametrize("app", LISTED.values(), ids=LISTED)
def test_a_client_compiles_runs_and_points_at_what_an_upgrade_breaks(
    app: App, cli: Callable[..., Ran], pinned: Path, server: RunningServer, connect: Callable[..., Any]
) -> None:
    folder = pinned / "app"
    folder.mkdir()
    app.prepare(folder)
    configuration = pinned / "endpoints.toml"
    target = f'lang = "{app.lang}"\ngenerator = "{app.generator}"\nversion = "{app.version}"\nout = "app/client"\n'
    configuration.write_text(f"{configuration.read_text()}[generate.app]\n{target}")
    assert cli("openapi", "pull").code == 0
    generated = cli("generate")
    assert generated.code == 0, generated.err
    assert not any(server.key in path.read_text() for path in folder.rglob("client/**/*") if path.is_file())
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("client/**/*")}
    assert cli("generate", "--check").code == 0, "two runs give the same bytes"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("client/**/*")} == before

    shutil.copy(APPS / app.file, folder / f"app{Path(app.file).suffix}")
    checked = started(app.check(folder), folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    server.requests.clear()
    ran = started(app.run(folder), folder, URL=server.url, KEY=server.key)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == SEEN
    assert len(server.requests.entries()) == 6

    if app.documented:
        text = documented_app(app.documented, server.url)
        (folder / f"app{Path(app.file).suffix}").write_text(text)
        assert started(app.check(folder), folder).returncode == 0, text
        ran = started(app.run(folder), folder, POSTHOG_API_KEY=server.key)
        assert (ran.returncode, ran.stdout.split()[:2]) == (0, ["pro", "0"]), ran.stderr
        shutil.copy(APPS / app.file, folder / f"app{Path(app.file).suffix}")

    renamed = SQL.replace("variables.plan", "variables.tier")
    ask = connect(server)
    ask.post("insight_variables/", json={"name": "tier", "type": "String"}).raise_for_status()
    query = {"kind": "HogQLQuery", "query": renamed}
    ask.patch("endpoints/revenue-by-plan/", json={"query": query}).raise_for_status()
    assert cli("upgrade", "revenue-by-plan", "--allow-breaking", "a test").code == 0
    stale = cli("generate", "--check")
    assert (stale.code, "openapi/revenue-by-plan.json" in stale.err) == (1, True)
    assert cli("openapi", "pull").code == 0
    assert cli("generate").code == 0
    checked = started(app.check(folder), folder)
    assert checked.returncode != 0
    copied = folder / f"app{Path(app.file).suffix}"
    line = next(number for number, text in enumerate(copied.read_text().split("\n"), 1) if app.broken in text)
    said = checked.stdout + checked.stderr
    assert f"{copied.name}({line}," in said or f"{copied.name}:{line}:" in said, said


def test_a_client_for_each_endpoint_compiles(cli: Callable[..., Ran], pinned: Path) -> None:
    """Models of different endpoints have the same names there, in packages of their own."""
    folder = pinned / "app"
    folder.mkdir()
    go(folder)
    configuration = pinned / "endpoints.toml"
    target = f'lang = "go"\ngenerator = "oapi-codegen"\nversion = "{GO.version}"\nout = "app"\nper_endpoint = true\n'
    configuration.write_text(f"{configuration.read_text()}[generate.app]\n{target}")
    assert (cli("openapi", "pull").code, cli("generate").code, cli("generate", "--check").code) == (0, 0, 0)
    packages = {path.parent.name for path in folder.rglob("client.gen.go")}
    assert packages == {"revenue_by_plan", "views", "gone", "busy"}
    checked = started(vet(folder), folder)
    assert checked.returncode == 0, checked.stderr


TEXT = """*/ \"\"\" \\ ' ` ${x} /* */
second // # --"""
COLUMNS = ("count()", "a-b", "a_b", "A_B", "class", "1st", "дата", "'q\"", "new\nline", "$x", "*/ x", "`t`", "${z}", "")
VARIABLES = ("a_b", "class", "1st", "$x", "type", "long name", "default", "self", "json", "x.y", "version", "List")
ENDPOINTS = ("error", "Error-2", "type", "class", "Variables", "runtime", "default", "index", "client", "None")


def odd_pin(name: str, **settings: Any) -> Pin:
    return Pin(
        environment="prod", name=name, endpoint_id="e", version=3, version_id="v", created_at=None,
        query={"kind": "HogQLQuery", "query": "SELECT 1"}, **settings,
    )  # fmt: skip


def odd_document(name: str) -> JsonObject:
    texts = {"summary": TEXT, "description": TEXT}
    variables = {variable: {"description": TEXT, "example": TEXT} for variable in VARIABLES}
    return {
        "info": {"title": name, "description": TEXT},
        "servers": [{"url": "https://us.posthog.com"}],
        "paths": {f"/api/projects/1/endpoints/{name}/run": {"post": texts}},
        "components": {"schemas": {"Variables": {"properties": variables}}},
    }


@pytest.mark.parametrize("app", LISTED.values(), ids=LISTED)
def test_odd_names_and_texts_compile(
    app: App, tmp_path: Path, caches: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name of an endpoint or column, and no description, ends a text or a comment of the code."""
    for name, value in caches.items():
        monkeypatch.setenv(name, value)
    app.prepare(tmp_path)
    columns = tuple(PinnedColumn(name=name, type="string" if name < "b" else "integer") for name in COLUMNS)
    types = ("String", "Number", "Date", "List", "Boolean")
    variables = tuple(
        PinnedVariable(name=name, type=types[index % 5], required=index % 2 == 0)
        for index, name in enumerate(VARIABLES)
    )
    pins = [odd_pin(name) for name in ENDPOINTS[1:]]
    pins.append(odd_pin(ENDPOINTS[0], columns=columns, variables=variables))
    documents = tmp_path / "openapi"
    documents.mkdir()
    for pin in pins:
        (documents / f"{pin.name}.json").write_text(document_text(enrich(odd_document(pin.name), pin)))
    target = GenerationTarget(lang=app.lang, generator=app.generator, out="client")
    for file in files_of_generator([interface_of(pin) for pin in pins], target, documents):
        path = tmp_path / "client" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_with_header(file, target))
    if app.lang == "python":
        (tmp_path / "app.py").write_text("import endpoints_openapi\n\nprint(endpoints_openapi.EndpointsApi)\n")
        assert started(app.run(tmp_path), tmp_path).returncode == 0
    checked = started(app.check(tmp_path), tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
