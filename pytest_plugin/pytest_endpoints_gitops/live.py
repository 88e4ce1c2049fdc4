"""Live calls: one for each distinct input in the whole run, whichever process wants it, and none above the ceiling."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from endpoints_gitops.api.answers import RunAnswer
from endpoints_gitops.api.errors import ApiError
from endpoints_gitops.api.run_pages import may_be_cut
from endpoints_gitops.codecs.recording import KeyInside, read_recording, write_recording
from pytest_endpoints_gitops.config import redacted
from pytest_endpoints_gitops.failures import CeilingReached, Failure, RowsCut, UnsafeRecording, from_plain
from pytest_endpoints_gitops.real import now
from pytest_endpoints_gitops.trouble import failure_of
from pytest_endpoints_gitops.values import Answer, Call, answer_of, recording_of

if TYPE_CHECKING:
    from pytest_endpoints_gitops.app import App
    from pytest_endpoints_gitops.options import Settings

_ANSWERS = "answers"


class LiveCalls:
    """The calls of one app. What comes back is redacted before it is kept anywhere."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._folder = app.session.run_directory

    def answer(self, call: Call) -> Answer:
        """Raises the Failure that the call had, here or in another process."""
        content = self.recorded(call)
        at = datetime.fromtimestamp(self._path(call).stat().st_mtime, UTC)
        return answer_of(call, read_recording(content, call.file), f"live, {at:%H:%M} UTC")

    def recorded(self, call: Call) -> bytes:
        """The answer as a recording, asked for at most once in this run."""
        return self.once(self._path(call), lambda: self._ask(call))

    def once(self, path: Path, ask: Callable[[], bytes]) -> bytes:
        """What `ask` gives, or raises as a Failure, for this path in the run's folder: the first who comes asks."""
        from filelock import FileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        failed = path.with_suffix(".failed")
        with FileLock(path.with_suffix(".lock")):
            if path.is_file():
                return path.read_bytes()
            if failed.is_file():
                raise from_plain(json.loads(failed.read_bytes()))
            try:
                content = ask()
            except Failure as failure:
                failed.write_text(json.dumps(failure.as_plain()), encoding="utf-8")
                raise
            path.write_bytes(content)
            return content

    def kept(self, call: Call) -> str:
        """Where in the run's folder the answer is; two apps that redact differently share none."""
        whose = hashlib.sha256(f"{self._app.environment}\n{self._redaction()}".encode()).hexdigest()[:12]
        return f"{_ANSWERS}/{whose}/{call.file}"

    def spend(self, label: str) -> None:
        """Count a call that is about to be made. Raises CeilingReached where the run has made as many as it may."""
        from filelock import FileLock

        ceiling = self._app.session.settings.max_calls
        spent = self._folder / "spent"
        with FileLock(self._folder / "spent.lock"):
            made = int(spent.read_text()) if spent.is_file() else 0
            if made >= int(ceiling.value):
                raise _ceiling(label, self._app.session.settings)
            spent.write_text(str(made + 1))

    def _path(self, call: Call) -> Path:
        return self._folder / self.kept(call)

    def _redaction(self) -> str:
        redact = self._app.config.redact
        return repr(sorted((name, getattr(put, "__qualname__", repr(put))) for name, put in redact.items()))

    def _ask(self, call: Call) -> bytes:
        from pytest_endpoints_gitops.checking import hold_to_contract

        connection = self._app.connection
        self.spend(call.label)
        try:
            run = self._app.client.run(
                call.pin.name,
                variables=call.variables,
                version=call.pin.version,
                limit=call.limit,
                offset=call.offset,
                draws_materialized=call.pin.materialized,
            )
        except ApiError as error:
            raise failure_of(call, error) from None
        refuse_cut(call, run)
        answered = now()
        hold_to_contract(self._app, call, Answer(run, f"live, {answered:%H:%M} UTC"), is_quiet=True)
        rows = redacted(run.results, run.columns, self._app.config.redact)
        try:
            return write_recording(recording_of(call, run, rows, answered.date()), keys=[connection.key.reveal()])
        except KeyInside as error:
            fix = ("fix", f"{error.fix}, then")
            raise UnsafeRecording(f"{call.label}: {error.message}", fix, command=call.command("record")) from None


def _ceiling(label: str, settings: Settings) -> CeilingReached:
    ceiling, canary = settings.max_calls, settings.canary.value
    asked = f"--endpoints={settings.mode.value}" + (f" --endpoints-canary={canary}" if canary != "off" else "")
    return CeilingReached(
        f"{label}: this run has made all of its {ceiling.value} live calls",
        ("defined", ceiling.source),
        command=f"pytest {asked} --endpoints-max-calls={int(ceiling.value) * 2}",
    )


def refuse_cut(call: Call, run: RunAnswer) -> None:
    """Raise RowsCut where a call of all rows was answered with a part of them."""
    if call.limit is None and (run.has_more or _is_cut_silently(call, run)):
        raise _cut(call, len(run.results))


def _is_cut_silently(call: Call, run: RunAnswer) -> bool:
    """Without a LIMIT in the query the server stops at 100 rows, and does not say so."""
    if not may_be_cut(run, None):
        return False
    from endpoints_gitops.hogql.paging import paged

    return not paged(str(call.pin.query.get("query") or "")).has_limit


def _cut(call: Call, rows: int) -> RowsCut:
    return RowsCut(
        f"{call.label}: the answer is cut after {rows} rows",
        ("expected", "all rows: what a test sees of a part changes with every new row"),
        ("received", f"{rows} rows, and the server has, or may have, more"),
        ("fix", "ask for a page (_limit=…), or give the query a LIMIT that its rows fit in"),
        command=f"endpoints-gitops run {call.pin.name} --version {call.pin.version} --all",
    )
