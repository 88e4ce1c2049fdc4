"""`demo`: the whole story in a temporary folder, on a local server; nothing is left behind.

Every step is the real command, run as a user would type it; what the colleague does behind our back is a real request.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from endpoints_gitops.cli.console import Console, Line, Style
from endpoints_gitops.errors import EndpointsError, UsageError
from endpoints_gitops.extras import require
from endpoints_gitops.model.outcome import Outcome

if TYPE_CHECKING:
    from endpoints_gitops.local.serve import RunningServer

EDITED: Final = "signups_by_source"
_GIT_SETTINGS: Final = {
    "user.name": "Author",
    "user.email": "author@example.com",
    "commit.gpgSign": "false",
    "init.templateDir": "",
}


def configure(_: argparse.ArgumentParser) -> None:
    """The demo takes no options of its own."""


def execute(_: argparse.Namespace, console: Console) -> Outcome:
    """Run every step; one that ends in an unexpected exit code is an error."""
    require("local", "the demo")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="endpoints-gitops-demo-")))
        story = stack.enter_context(_opened(folder, replace(console, stdout=sys.stdout)))
        story.tell()
    return Outcome(command="demo", summary={"steps": story.steps})


@dataclass(slots=True, kw_only=True)
class _Story:
    """The steps, in order."""

    console: Console
    server: RunningServer
    folder: Path
    steps: int = 0

    def tell(self) -> None:
        self.create()
        self.change()
        self.collide()
        self.consume()

    def create(self) -> None:
        self.chapter("Definitions in git, a server that has none of them: a push creates them all.")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "Our endpoints")
        self.type("push --yes --quiet", ends_in=0)
        self.type("run monthly_active_users --var lookback_days=30 --quiet", ends_in=0)

    def change(self) -> None:
        self.chapter("An author edits a query: the difference is shown, planned, and applied as it was planned.")
        self.edit("ORDER BY source", "ORDER BY signups DESC, source")
        self.type(f"diff {EDITED}", ends_in=1)
        self.type("plan -o plan.json --quiet", ends_in=0)
        self.type("push --plan plan.json --yes --quiet", ends_in=0)
        self.git("commit", "--quiet", "--all", "--message", "Busiest sources first")
        self.type(f"versions {EDITED}", ends_in=0)

    def collide(self) -> None:
        self.chapter("A colleague edits the same query in the web UI, and so do we: nothing is overwritten.")
        self.edit_behind_our_back("signups DESC, source", "source DESC")
        self.edit("ORDER BY signups DESC, source", "ORDER BY signups DESC, source\n  LIMIT 5")
        self.type("push --yes --quiet", ends_in=6)
        self.type(f"pull --theirs {EDITED} --quiet", ends_in=0)
        self.type("push --yes --quiet", ends_in=0)

    def consume(self) -> None:
        self.chapter(
            "An app pins what it calls. The author renames a column: `breaking` names the app, which keeps its version."
        )
        self.use(EDITED)
        self.type("lock --quiet", ends_in=0)
        self.edit("AS signups", "AS new_accounts")
        self.edit("name: signups\n", "name: new_accounts\n")
        self.type("breaking --against lock", ends_in=1)
        self.type("push --yes --quiet", ends_in=0)
        self.type(f"run {EDITED} --limit 2", ends_in=0)
        self.type(f"upgrade {EDITED} --yes --quiet", ends_in=1)
        self.type(f"upgrade {EDITED} --yes --quiet --allow-breaking 'the app reads new_accounts now'", ends_in=0)

    def chapter(self, text: str) -> None:
        self.console.show(["", Line(f"# {text}", Style.HEAD)])

    def type(self, words: str, *, ends_in: int) -> None:
        """Run one command. Raises EndpointsError for another exit code than expected."""
        from endpoints_gitops.cli.main import run

        self.console.show([Line(f"$ endpoints-gitops {words.replace(' --quiet', '')}", Style.WARN)])
        code = run(shlex.split(words))
        self.steps += 1
        if code != ends_in:
            raise EndpointsError(
                f"`{words}` ended in {code}, not in {ends_in}", fix="please report this", code="demo.derailed"
            )
        if code:
            self.console.show([Line(f"(exit code {code})", Style.FAINT)])

    def git(self, *words: str) -> None:
        from endpoints_gitops.workspace.git import git

        git(self.folder, *words, settings=_GIT_SETTINGS)

    def edit(self, old: str, new: str) -> None:
        path = next(self.folder.glob(f"endpoints/**/{EDITED}.yaml"))
        path.write_text(_replaced(path.read_text(encoding="utf-8"), old, new), encoding="utf-8")

    def use(self, name: str) -> None:
        with (self.folder / "endpoints.toml").open("a", encoding="utf-8") as manifest:
            manifest.write(f'\n[uses]\n{name} = "*"\n')

    def edit_behind_our_back(self, old: str, new: str) -> None:
        """What a colleague does in the web UI: requests with another key."""
        from endpoints_gitops.api.client import Client
        from endpoints_gitops.api.connection import Connection
        from endpoints_gitops.model.secret import Secret

        key = Secret(self.server.colleague_key)
        with Client(Connection(host=self.server.url, project_id=self.server.project_id, key=key)) as colleague:
            query = colleague.get_endpoint(EDITED).query
            edited = {**query, "query": _replaced(str(query["query"]), old, new)}
            colleague.update_endpoint(EDITED, {"query": edited})


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise EndpointsError(f"the demo's edit does not fit: {old!r}", fix="please report this", code="demo.derailed")
    return text.replace(old, new, 1)


@contextmanager
def _opened(folder: Path, console: Console) -> Iterator[_Story]:
    """A repository with the example definitions and a configuration, and a server to push them to."""
    from endpoints_gitops.local.serve import running_server

    shutil.copytree(_examples(), folder / "endpoints")
    with running_server(sample=True, definitions=folder / "endpoints") as server:
        (folder / "endpoints.toml").write_text(_configuration(server), encoding="utf-8")
        story = _Story(console=console, server=server, folder=folder)
        story.git("init", "--quiet")
        own = folder / ".git" / "endpoints-gitops"
        settings = {
            "DEMO_KEY": server.key,
            "ENDPOINTS_GITOPS_STATE": str(own),
            "ENDPOINTS_GITOPS_CACHE": str(own / "cache"),
        }
        with chdir(folder), _environment(settings):
            yield story


def _examples() -> Path:
    """The example definitions: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "examples", package.parent / "endpoints"):
        if folder.is_dir():
            return folder
    raise UsageError("the example definitions are missing from this installation", fix="install endpoints-gitops again")


def _configuration(server: RunningServer) -> str:
    return f'[environments.demo]\nhost = "{server.url}"\nproject_id = {server.project_id}\nkey = "env:DEMO_KEY"\n'


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """The environment without the user's own settings, which could lead the demo to a real project."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("ENDPOINTS_GITOPS_", "POSTHOG_")):
            del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
