"""Installed plugins of this package (`extension` defines what they can add).

The metadata on the path is first searched for the entry point group, which takes a few milliseconds. Only if there is a
plugin are `importlib.metadata` and pluggy imported, which takes longer than many commands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from endpoints_gitops.errors import EndpointsError, ExitCode
from endpoints_gitops.model.finding import Finding

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import pluggy

    from endpoints_gitops.contract.context import RuleContext
    from endpoints_gitops.contract.contract import Contract
    from endpoints_gitops.extension import Reporter
    from endpoints_gitops.model.definition import LoadedDefinition

_GROUP: Final = b"[endpoints_gitops]"
_METADATA: Final = (".dist-info", ".egg-info")


class PluginFailed(EndpointsError):
    """A plugin cannot be loaded, or its hook failed or returned a wrong value.

    The command stops, because the rules and redactions of the plugin would be missing silently. The message names the
    distribution; repair or uninstall it.
    """

    code = "plugin"
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin, by the name of its entry point."""

    name: str
    distribution: str
    implementation: object

    @property
    def label(self) -> str:
        return f"the plugin {self.name} of the distribution {self.distribution}"

    def failed(self, what: str, error: Exception | None = None) -> PluginFailed:
        cause = f": {type(error).__name__}: {error}" if error else ""
        fix = f"repair or remove the plugin: pip uninstall {self.distribution}"
        return PluginFailed(f"{self.label} {what}{cause}", fix=fix)


class Plugins:
    """All plugins, in the order of their names. Without any, every method returns nothing."""

    def __init__(self, manager: pluggy.PluginManager | None = None, plugins: Iterable[Plugin] = ()) -> None:
        self._manager = manager
        self._plugins = tuple(plugins)

    def __bool__(self) -> bool:
        return bool(self._plugins)

    def of_definition(self, definition: LoadedDefinition, contract: Contract) -> Iterator[Finding]:
        """The findings of custom rules about one file. Raises PluginFailed."""
        return self._findings("check_definition", definition=definition, contract=contract)

    def of_change(self, before: Contract | None, after: Contract | None, context: RuleContext) -> Iterator[Finding]:
        """The findings of custom rules about one change. Raises PluginFailed."""
        return self._findings("compare_contracts", before=before, after=after, context=context)

    def reporters(self) -> Mapping[str, Reporter]:
        """The report formats of the plugins. Raises PluginFailed."""
        reporters: dict[str, Reporter] = {}
        for plugin, answer in self._answers("reporters"):
            if not isinstance(answer, Mapping) or not all(map(callable, answer.values())):
                raise plugin.failed("returned something other than functions by name from reporters")
            reporters |= {str(name): _guarded(plugin, str(name), reporter) for name, reporter in answer.items()}
        return reporters

    @property
    def redaction(self) -> Callable[[str], str] | None:
        """The function that redacts every text before it is shown; None if no plugin redacts."""
        is_redacting = any(hasattr(plugin.implementation, "redact") for plugin in self._plugins)
        return self._redacted if is_redacting else None

    def _redacted(self, text: str) -> str:
        for plugin in self._plugins:
            try:
                answers = self._ask(plugin, "redact", text=text)
            except PluginFailed as failure:
                return f"(withheld: {failure.message.splitlines()[0]})"
            text = str(answers[0]) if answers else text
        return text

    def _findings(self, hook: str, **arguments: object) -> Iterator[Finding]:
        for plugin, answer in self._answers(hook, **arguments):
            try:
                findings = list(answer)
            except Exception as error:
                raise plugin.failed(f"failed in {hook}", error) from error
            for finding in findings:
                _refuse_strange(plugin, hook, finding)
            yield from findings

    def _answers(self, hook: str, **arguments: object) -> Iterator[tuple[Plugin, Any]]:
        for plugin in self._plugins:
            for answer in self._ask(plugin, hook, **arguments):
                yield plugin, answer

    def _ask(self, plugin: Plugin, hook: str, **arguments: object) -> list[Any]:
        assert self._manager is not None, "there is at least one plugin"
        others = [other.implementation for other in self._plugins if other is not plugin]
        try:
            answers: list[Any] = self._manager.subset_hook_caller(hook, others)(**arguments)
        except Exception as error:
            raise plugin.failed(f"failed in {hook}", error) from error
        return answers


@cache
def installed() -> Plugins:
    """Every installed plugin, loaded once. Raises PluginFailed for one that cannot be loaded."""
    if not _is_any_installed():
        return Plugins()
    from importlib.metadata import entry_points

    return loaded(sorted(entry_points(group="endpoints_gitops"), key=lambda entry: entry.name))


def loaded(entries: Iterable[EntryPoint]) -> Plugins:
    """The plugins of these entry points. Raises PluginFailed for one that cannot be loaded or has no such hook."""
    import pluggy

    from endpoints_gitops import extension

    manager = pluggy.PluginManager(extension.PROJECT)
    manager.add_hookspecs(extension)
    plugins = [_registered(manager, entry) for entry in entries]
    return Plugins(manager, plugins)


def _registered(manager: pluggy.PluginManager, entry: EntryPoint) -> Plugin:
    distribution = entry.dist.name if entry.dist else "(unknown)"
    plugin = Plugin(entry.name, distribution, None)
    try:
        plugin = Plugin(entry.name, distribution, entry.load())
        manager.register(plugin.implementation, name=f"{distribution}:{entry.name}")
        manager.check_pending()
    except Exception as error:
        raise plugin.failed("cannot be loaded", error) from error
    return plugin


def _is_any_installed() -> bool:
    return any(map(_has_group, (path for folder in dict.fromkeys(sys.path) for path in _entry_points_in(folder))))


def _entry_points_in(folder: str) -> Iterator[str]:
    """The entry_points.txt of every distribution in a folder; text is much faster than paths."""
    with suppress(OSError):
        names = os.listdir(folder or ".")  # noqa: PTH208 - likewise
        yield from (f"{folder or '.'}/{name}/entry_points.txt" for name in names if name.endswith(_METADATA))


def _has_group(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - likewise
            return _GROUP in file.read()
    except OSError:
        return False


def _refuse_strange(plugin: Plugin, hook: str, finding: object) -> None:
    from endpoints_gitops.contract.rules import RULES

    if not isinstance(finding, Finding):
        raise plugin.failed(f"returned something other than a Finding from {hook}: {finding!r:.80}")
    if finding.code in RULES:
        raise plugin.failed(f"uses the code {finding.code}, which a built-in rule has")


def _guarded(plugin: Plugin, name: str, reporter: Reporter) -> Reporter:
    def report(*arguments: Any) -> str:  # noqa: ANN401 - the arguments of a Reporter
        try:
            return str(reporter(*arguments))
        except Exception as error:
            raise plugin.failed(f"failed in the report {name}", error) from error

    return report
