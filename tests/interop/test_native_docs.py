"""The apps in docs/clients.md and the README, compiled with a client of the endpoint that they call."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from endpoints_gitops.model.pin import Pin, PinnedColumn, PinnedVariable
from tests.interop.programs import node_file
from tests.interop.test_native_go import go, unformatted
from tests.interop.test_native_names import generate, pin
from tests.interop.test_native_typescript import compile_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
README = Path(__file__).parents[2] / "README.md"
PAGE = Path(__file__).parents[2] / "docs" / "clients.md"


@pytest.fixture
def revenue() -> list[Pin]:
    columns = (
        PinnedColumn(name="plan", type="string", nullable=False),
        PinnedColumn(name="mrr", type="decimal", nullable=True),
    )
    return [
        pin("revenue_by_plan", columns=columns, variables=(PinnedVariable(name="month", type="Date", required=True),))
    ]


def blocks(heading: str, language: str) -> list[str]:
    """The code of one section of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def test_apps_in_typescript_compile(revenue: list[Pin], tmp_path: Path) -> None:
    generate(revenue, "typescript", tmp_path, ".")
    roots = Path(node_file("@types/node/package.json")).parents[1]
    report, server, browser = blocks("TypeScript", "typescript")
    for name, text in (("report.ts", report), ("server.ts", server), ("browser.ts", browser)):
        (tmp_path / name).write_text(text)
    compiled = compile_in(tmp_path, "report.ts", "server.ts", "browser.ts", types=["node"], typeRoots=[str(roots)])
    assert compiled.stdout == ""
    assert compiled.returncode == 0
    assert "endpoints_client" not in (tmp_path / "out" / "browser.js").read_text()


def test_route_of_the_readme_compiles(tmp_path: Path) -> None:
    columns = (PinnedColumn(name="source", type="string", nullable=False),)
    generate([pin("signups_by_source", columns=columns)], "typescript", tmp_path, ".")
    roots = Path(node_file("@types/node/package.json")).parents[1]
    (text,) = re.findall(r"^```typescript\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "route.ts").write_text(text)
    compiled = compile_in(tmp_path, "route.ts", types=["node"], typeRoots=[str(roots)], noEmit=True)
    assert compiled.stdout == ""
    assert compiled.returncode == 0


def test_app_in_go_is_formatted_and_vetted(revenue: list[Pin], tmp_path: Path) -> None:
    generate(revenue, "go", tmp_path, "endpoints")
    (text,) = blocks("Go", "go")
    (tmp_path / "main.go").write_text(text)
    assert unformatted(tmp_path / "main.go") == ""
    vetted = go(tmp_path, "vet", "./...")
    assert (vetted.returncode, vetted.stderr) == (0, "")
