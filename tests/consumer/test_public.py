"""The public names: complete, loaded on first use, and known to type checkers."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import endpoints_gitops as library

APP = Path(__file__).with_name("typed_app.py")
HEAVY = ("pydantic", "httpx", "hogql_parser_rs", "ruamel", "deepdiff", "rich", "logging", "json")
TOOLS = Path(sysconfig.get_path("scripts"))


def test_every_public_name_is_there():
    found = {name: getattr(library, name) for name in library.__all__}
    assert all(found[name].__name__ == name for name in found.keys() - {"__version__", "UNSET"})
    assert library.UNSET is library.Unset.UNSET
    assert set(library.__all__) <= set(dir(library))
    reference = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [name for name in found if f"`{name}" not in reference and name != "__version__"] == []
    with pytest.raises(AttributeError, match="has no attribute 'Endpoint'"):
        _ = library.Endpoint


@pytest.mark.parametrize(
    ("program", "allowed"),
    [
        ("from endpoints_gitops import Endpoints", set()),
        ("import endpoints_gitops as e; e.Endpoints.from_lock({lock!r}).version('revenue')", {"json", "logging"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(lock, pin, program, allowed):
    look = f"import sys; {program.format(lock=os.fspath(lock(pin())))}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in ran.stdout.split()} & set(HEAVY) <= allowed


CALL = """
import sys
from endpoints_gitops import Endpoints
url, project, key, lock = sys.argv[1:]
with Endpoints.from_lock(lock, host=url, project_id=int(project), key=key) as endpoints:
    print(len(endpoints.run("ten")), {"pydantic", "ruamel.yaml", "hogql_parser_rs"} & set(sys.modules))
"""


def test_a_call_imports_neither_models_nor_yaml_nor_the_parser(create, server, lock):
    path = lock(create("ten", "SELECT number AS n FROM numbers(10) ORDER BY n LIMIT 10"))
    command = [sys.executable, "-c", CALL, server.url, str(server.project_id), server.key, path]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("10 set()\n", "")


WITHOUT_PARSER = """
import sys, warnings
sys.modules["hogql_parser_rs"] = None
from endpoints_gitops import Endpoints
url, project, key, lock = sys.argv[1:]
with Endpoints.from_lock(lock, host=url, project_id=int(project), key=key) as endpoints:
    with warnings.catch_warnings(record=True, action="always") as caught:
        print([row.n for row in endpoints.iterate("ten", page_size=5)], len(endpoints.run("ten")))
    print(*(warning.category.__name__ for warning in caught))
"""


def test_calling_works_without_the_parser(create, server, lock):
    """It has no build for Windows. Whether several pages fit together is then unknown, and said."""
    path = lock(create("ten", "SELECT number AS n FROM numbers(10) ORDER BY n LIMIT 10"))
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        WITHOUT_PARSER,
        server.url,
        str(server.project_id),
        server.key,
        path,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9] 10\nPagingWarning\n", "")


def test_a_script_need_not_close_anything(create, server, lock):
    """From Python 3.13 on, what is left open is a warning."""
    endpoints = library.Endpoints.from_lock(lock(create("one")), host=server.url, project_id=1, key=server.key)
    endpoints.run("one")
    limiter = endpoints._open.client.rate_limiter
    assert limiter.remaining()
    del endpoints
    gc.collect()
    assert limiter.remaining() == {}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_app_type_checks_under_mypy_strict(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path, "--config-file", os.devnull, APP]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.stdout, ran.returncode) == ("Success: no issues found in 1 source file\n", 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_app_type_checks_under_pyright(tmp_path):
    """By basedpyright, which is pyright with node in its wheel; strict, as pyright calls it."""
    settings = {"typeCheckingMode": "strict", "pythonVersion": "3.12", "include": [os.fspath(APP)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [TOOLS / "basedpyright", "--project", tmp_path, "--pythonpath", sys.executable, "--outputjson"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(ran.stdout)
    told = [(one["range"]["start"]["line"] + 1, one["message"]) for one in found["generalDiagnostics"]]
    assert (told, found["summary"]["filesAnalyzed"], ran.returncode) == ([], 1, 0)
