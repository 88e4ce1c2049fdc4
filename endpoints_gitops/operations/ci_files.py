"""Write the workflows of GitHub Actions or the jobs of GitLab CI for a configuration. Overwrites nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from endpoints_gitops import __version__
from endpoints_gitops.model.origin import Origin
from endpoints_gitops.workspace.configuration import POSTHOG_CLI, Configuration
from endpoints_gitops.workspace.credentials import DEFAULT_HOST
from endpoints_gitops.workspace.files import read_regular_file, write_atomically
from endpoints_gitops.workspace.git import default_branch, repository

GITHUB: Final = "github"
GITLAB: Final = "gitlab"
_TOOL: Final = f"uvx --python 3.12 --from 'endpoints-gitops[cli]=={__version__}' endpoints-gitops"
_JOBS: Final = ".gitlab/endpoints__OTHER__.yml"
_WORKFLOW: Final = ".github/workflows/endpoints-{}__OTHER__.yml"
_OTHER: Final = "__OTHER__"
"""Where names and files of a second project of the same repository differ."""
_GITLAB: Final = ".gitlab-ci.yml"
_GITLAB_REPORTS: Final = {
    "__QUALITY__": "endpoints-quality.json",
    "__JUNIT__": "endpoints-junit.xml",
    "__GATE__": "endpoints-gate.xml",
}
_KEY: Final = "POSTHOG_API_KEY"
_FOLDER: Final = "# Folder of the project: "
"""How the line of a file begins that tells the folder below the top of the repository, as JSON."""
_FOLDER_LINE: Final = re.compile(f"(?m)^{_FOLDER}.*$")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CiFile:
    """A file for CI, and whether it was written; one that exists stays as it is."""

    path: Path
    is_written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _CiVariable:
    """A variable of a job: a secret of the project, one of its variables, or a value."""

    name: str
    is_secret: bool = False
    value: str | None = None


def write_ci_files(platform: str, top: Path, configuration: Configuration, *, has_definitions: bool) -> list[CiFile]:
    """Write what is missing below the top of the work tree.

    With definitions these are review, push and drift; where endpoints are used, also the gate. Where the repository has
    those of another folder, the names get a suffix.
    """
    subfolder = os.path.relpath(configuration.folder, top)
    variables = tuple(_variables(configuration))
    settings = (configuration.common, *configuration.environments.values())
    names = ["review", "push", "drift"] if has_definitions else []
    names += ["gate"] if any(environment.uses for environment in settings) else []
    if platform == GITLAB:
        texts = {_JOBS: _gitlab(subfolder, variables, names)}
    else:
        repo = repository(top)
        branch = ((default_branch(repo) if repo else None) or "main").removeprefix("origin/")
        texts = {_WORKFLOW.format(name): _github(name, subfolder, variables, branch) for name in names}
    is_other = any(_is_of_another_folder(top / path.replace(_OTHER, ""), subfolder) for path in texts)
    suffix = f"-{re.sub('[^A-Za-z0-9]+', '-', subfolder).strip('-') or 'top'}" if is_other else ""
    written = [_write(top, path.replace(_OTHER, suffix), text.replace(_OTHER, suffix)) for path, text in texts.items()]
    if platform == GITLAB:
        local = written[0].path.relative_to(top).as_posix()
        written.append(_write(top, _GITLAB, f"include:\n  - local: {local}\n"))
    return written


def _is_of_another_folder(path: Path, subfolder: str) -> bool:
    """Whether a file of CI exists, and names another folder. One that names none is taken for that of this project."""
    if not path.is_file():
        return False
    line = _FOLDER_LINE.search(read_regular_file(path).decode("utf-8", "replace"))
    return line is not None and line[0].rstrip() != _folder_line(subfolder)


def _folder_line(subfolder: str) -> str:
    return _FOLDER + json.dumps(subfolder)


def missing_include(top: Path, files: Iterable[CiFile]) -> str | None:
    """The file of jobs that `.gitlab-ci.yml` does not name; None if it names it."""
    jobs = next(file.path for file in files).relative_to(top).as_posix()
    return None if jobs.encode() in read_regular_file(top / _GITLAB) else jobs


def secret_names(configuration: Configuration) -> tuple[str, ...]:
    """The secrets and variables that the jobs need from the settings of the project."""
    return tuple(variable.name for variable in _variables(configuration) if variable.value is None)


def _variables(configuration: Configuration) -> Iterator[_CiVariable]:
    """What the keys of all environments need: never a key itself, only the names under which CI keeps it."""
    environments = tuple(configuration.environments.values())
    sources = sorted({environment.key or POSTHOG_CLI for environment in environments}) or [POSTHOG_CLI]
    for source in sources:
        kind, _, name = source.partition(":")
        if kind == "env":
            yield _CiVariable(name=name, is_secret=True)
        elif source == POSTHOG_CLI:
            yield _CiVariable(name="POSTHOG_CLI_API_KEY", is_secret=True)
            yield _CiVariable(name="POSTHOG_CLI_PROJECT_ID")
            yield _CiVariable(name="POSTHOG_CLI_HOST")
    if any(source.startswith("dotenv:") for source in sources):  # that file is not in CI
        yield _CiVariable(name="ENDPOINTS_GITOPS_KEY", value=f"env:{_KEY}")
        yield _CiVariable(name=_KEY, is_secret=True)
    hosts = {environment.host for environment in environments if environment.host} - {DEFAULT_HOST}
    others = sorted(host for host in hosts if not _is_posthog(host))
    if others:
        yield _CiVariable(name="ENDPOINTS_GITOPS_ALLOWED_HOSTS", value=",".join(others))


def _is_posthog(host: str) -> bool:
    name = Origin.of(host).name
    return name == "posthog.com" or name.endswith(".posthog.com")


def _github(name: str, subfolder: str, variables: tuple[_CiVariable, ...], branch: str) -> str:
    text = _template(f"github-{name}.yml")
    lines = "".join(f"          {variable.name}: {_github_value(variable)}\n" for variable in variables)
    replaced = {
        "__FOLDER__": _folder_line(subfolder),
        "__DEFAULTS__": _defaults(subfolder),
        "__TOOL__": _TOOL,
        "__BRANCH__": _yaml(branch),
        "__ENV__\n": lines,
    }
    return _filled(text, replaced)


def _defaults(subfolder: str) -> str:
    """The lines of a workflow that make it run in the folder of the project."""
    return "" if subfolder == "." else f"defaults:\n  run:\n    working-directory: {json.dumps(subfolder)}\n"


def _cd(subfolder: str) -> str:
    """The line of a job that makes it run in the folder of the project."""
    return "" if subfolder == "." else f"    - {json.dumps(f'cd {shlex.quote(subfolder)}')}\n"


def _github_value(variable: _CiVariable) -> str:
    if variable.value is not None:
        return _yaml(variable.value)
    return f"${{{{ {'secrets' if variable.is_secret else 'vars'}.{variable.name} }}}}"


def _gitlab(subfolder: str, variables: tuple[_CiVariable, ...], names: list[str]) -> str:
    """GitLab passes the variables of the project by itself; only values are written here."""
    head, *jobs = re.split(r"(?m)^(?=endpoints )", _template("gitlab.yml"))
    wanted = [job for job in jobs if job.partition(_OTHER)[0].removeprefix("endpoints ") in names]
    lines = "".join(f"    {entry.name}: {_yaml(entry.value)}\n" for entry in variables if entry.value is not None)
    names_there = " and ".join(entry.name for entry in variables if entry.value is None)
    replaced = {
        "__FOLDER__": _folder_line(subfolder),
        "__ENV__\n": lines,
        "__CD__": _cd(subfolder),
        "__TOOL__": _TOOL,
        "__NAMES__": names_there,
    }
    for mark, name in _GITLAB_REPORTS.items():
        replaced[mark] = _yaml(os.path.normpath(f"{subfolder}/{name}"))
    return _filled(head + "".join(wanted), replaced)


def _filled(text: str, replaced: dict[str, str]) -> str:
    for mark, value in replaced.items():
        text = text.replace(mark, value)
    return text.rstrip("\n") + "\n"


def _yaml(value: str) -> str:
    """A text as a YAML scalar."""
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def _template(name: str) -> str:
    return (files("endpoints_gitops.operations") / "workflows" / name).read_text(encoding="utf-8")


def _write(top: Path, name: str, text: str) -> CiFile:
    path = top / name
    if os.path.lexists(path):
        return CiFile(path=path, is_written=False)
    write_atomically(path, text.encode("utf-8"), folder=top)
    return CiFile(path=path, is_written=True)
