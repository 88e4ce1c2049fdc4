"""Run clients against a server, kill it meanwhile, and compare at the end."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from tests.soak.clients import SHARED, Client, Shared, hogql, token_of
from tests.soak.process import Lost, ServerProcess, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a soak did. `failures` are the promises that did not hold."""

    requests: int
    seconds: float
    statuses: Counter[int]
    operations: Counter[str]
    starts: int
    unanswered: int
    versions: int
    megabytes: int
    failures: tuple[str, ...]


def soak(
    *, clients: int, requests: int, kills: int = 0, seed: str = "soak", tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Send about that many requests. The kills are spread evenly over them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        server = ServerProcess(folder)
        stack.callback(server.stop)
        wire, shared = stack.enter_context(closing(Wire(server))), Shared()
        for name in SHARED:
            status, made = wire.ask("POST", "endpoints/", {"name": name, "query": hogql(f"first{name}")})
            assert status == 201, made
            shared.acknowledge(name, 1, f"first{name}")
        workers = [Client(number, server, shared, seed) for number in range(clients)]
        for worker in workers:
            stack.enter_context(closing(worker.wire))
        running = _Running(server, workers, requests, tell)
        running.run(kills)
        failures = [*running.failures, *(_mistakes(workers, wire, shared) if not running.failures else ())]
        if server.errors:
            failures.append(f"the server wrote to stderr: {server.errors[:2000]}")
        versions = sum(len(known.versions) for worker in workers for known in worker.known.values())
        return Outcome(
            requests=running.sent(),
            seconds=running.seconds,
            statuses=sum((worker.statuses for worker in workers), Counter()),
            operations=sum((worker.done for worker in workers), Counter()),
            starts=server.starts,
            unanswered=sum(worker.unanswered for worker in workers) + len(shared.unanswered),
            versions=versions + sum(map(len, shared.acknowledged.values())),
            megabytes=server.memory(),
            failures=tuple(failures),
        )


class _Running:
    """The clients at work, each in a thread."""

    def __init__(
        self, server: ServerProcess, workers: list[Client], requests: int, tell: Callable[[str], None]
    ) -> None:
        self._server = server
        self._workers = workers
        self._requests = requests
        self._tell = tell
        self._threads = [threading.Thread(target=self._work, args=(worker,)) for worker in workers]
        self._started = time.monotonic()
        self.failures: list[str] = []

    def run(self, kills: int) -> None:
        for thread in self._threads:
            thread.start()
        for kill in range(1, kills + 1):
            self._wait_for(self._requests * kill // (kills + 1))
            self._server.kill()
            self._tell(f"killed and started again after {self.sent():,} requests")
        for count in range(10_000, self._requests, 10_000):
            self._wait_for(count)
            self._tell(f"{count:,} requests, {count / self.seconds:.0f} a second, {self._server.memory()} MB")
        for thread in self._threads:
            thread.join()

    def sent(self) -> int:
        return sum(worker.statuses.total() for worker in self._workers)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def _wait_for(self, count: int) -> None:
        while self.sent() < count and any(thread.is_alive() for thread in self._threads):
            time.sleep(0.01)

    def _work(self, worker: Client) -> None:
        try:
            while self.sent() < self._requests and not self.failures:
                worker.step()
        except Exception as error:
            self.failures.append(f"client {worker.number}: {type(error).__name__}: {error}")


def _mistakes(workers: list[Client], wire: Wire, shared: Shared) -> Iterator[str]:
    """Where the server does not have what the clients wrote."""
    for check in (*(worker.check for worker in workers), lambda: _check_shared(wire, shared)):
        try:
            check()
        except (AssertionError, Lost) as error:
            yield f"at the end: {type(error).__name__}: {error}"


def _check_shared(wire: Wire, shared: Shared) -> None:
    """Each acknowledged version has its number, and no other one is there but those whose answers were lost."""
    for name, acknowledged in shared.acknowledged.items():
        found: dict[int, str] = {}
        count = 1
        while len(found) < count:
            _, page = wire.ask("GET", f"endpoints/{name}/versions/?limit=100&offset={len(found)}")
            count = page["count"]
            found |= {item["version"]: token_of(item["query"]) for item in page["results"]}
        assert sorted(found) == list(range(1, count + 1)), f"the versions of {name} have gaps: {sorted(found)}"
        lost = {number: token for number, token in acknowledged.items() if found.get(number) != token}
        assert not lost, f"{name} lost acknowledged versions: {lost}"
        assert len(set(found.values())) == count, f"a version of {name} came twice"
        strange = set(found.values()) - set(acknowledged.values()) - shared.unanswered
        assert not strange, f"{name} has versions that nobody wrote: {strange}"
