"""The settings: an option goes over its environment variable, that over the ini key, that over the default.

No file is read here, so that `--help` works whatever is broken. pytest imports this at every start, so the values are
named tuples: a dataclass takes longer to make than all the rest here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from pytest_endpoints_gitops.names import LOCK

if TYPE_CHECKING:
    from typing import Self

MODES: Final = ("replay", "record", "refresh", "live", "local")
CONTRACTS: Final = ("strict", "warn", "off")
MODES_OF_TESTS: Final = ("replay", "live", "local")
"""The modes that a marker may name: writing is a verb of the person who starts pytest, never of a test."""

WITHOUT_RECORDINGS: Final = ("live", "local")
"""The modes that neither read recordings nor write them."""

_WRITING: Final = ("record", "refresh")
FOUND: Final = "found"
_DEFAULT_SOURCE: Final = "default"


class Option(NamedTuple):
    """One thing that can be set; its ini and environment twins are named after it."""

    name: str
    metavar: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    is_number: bool = False
    is_output: bool = False

    @property
    def flag(self) -> str:
        return "--endpoints" if self.name == "mode" else f"--endpoints-{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        return f"endpoints_{self.name}"

    @property
    def variable(self) -> str:
        return f"ENDPOINTS_{self.name.upper()}"

    @property
    def destination(self) -> str:
        return f"endpoints_option_{self.name}"


OPTIONS: Final = (
    Option("mode", "MODE", "replay", f"where answers come from: {', '.join(MODES)}", choices=MODES),
    Option("canary", "WHAT", "off", "also make every call to a candidate: latest, a version's number, or worktree"),
    Option("contract", "HOW", "strict", f"hold answers against the lock: {', '.join(CONTRACTS)}", choices=CONTRACTS),
    Option("evidence", "FILE", "", "write what the tests exercised, for the release gate", is_output=True),
    Option("report", "FILE", "", "write calls, findings and counts as JSON", is_output=True),
    Option("lock", "FILE", "", f"the lock (default: for each test the nearest {LOCK} above it)"),
    Option("recordings", "FOLDER", "recordings", "the folder of recordings, beside the lock"),
    Option("environment", "NAME", "", "whose pins are called (default: the configuration's default environment)"),
    Option("data", "FOLDER", "", "for mode local: a folder with a file for each table (default: the sample product)"),
    Option("project", "FILE", "", "for mode local: a YAML file with settings of the project, as for serve --project"),
    Option("now", "TIME", "", "for mode local: what the clock of queries says, such as 2026-07-31T12:00:00Z"),
    Option("max_age", "DAYS", "0", "recordings older than this fail the test that asks; 0: never", is_number=True),
    Option("max_calls", "N", "500", "the most live calls that one run makes", is_number=True),
)


class Setting(NamedTuple):
    """A value and its source."""

    value: str
    source: str

    @property
    def is_given(self) -> bool:
        return self.source != _DEFAULT_SOURCE

    def __str__(self) -> str:
        return f"{self.value or 'off'} ({self.source})"


class PluginSettings(NamedTuple):
    """Every setting of a run. `lock` is the path of the lock that was given, else of the one for tests that have none
    nearer; empty where there is none.
    """

    mode: Setting
    canary: Setting
    contract: Setting
    evidence: Setting
    report: Setting
    lock: Setting
    recordings: Setting
    environment: Setting
    data: Setting
    project: Setting
    now: Setting
    max_age: Setting
    max_calls: Setting
    prune: bool = False

    @property
    def has_one_lock(self) -> bool:
        """Whether a lock is given, so that all tests use it."""
        return self.lock.source not in (FOUND, _DEFAULT_SOURCE)

    @property
    def concerns_this_run(self) -> bool:
        """Whether there is a lock, or a setting is given."""
        given = (getattr(self, option.name).is_given for option in OPTIONS)
        return bool(self.lock.value) or self.prune or any(given)

    def as_plain(self) -> dict[str, object]:
        """Plain values for a worker, which neither looks for the lock again nor reads its own environment."""
        pairs = {
            option.name: [getattr(self, option.name).value, getattr(self, option.name).source] for option in OPTIONS
        }
        return {**pairs, "prune": self.prune}

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> Self:
        settings = {option.name: Setting(*plain[option.name]) for option in OPTIONS}  # type: ignore[misc]  # pairs
        return cls(**settings, prune=bool(plain["prune"]))


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("endpoints", "endpoints: an app's calls of PostHog endpoints")
    for option in OPTIONS:
        twins = f"[{option.ini}, ${option.variable}]"
        group.addoption(
            option.flag, dest=option.destination, metavar=option.metavar, default=None, help=f"{option.help} {twins}"
        )
        parser.addini(option.ini, f"as {option.flag}", default=None)
    own = "the app's own settings for endpoints_env: lines NAME=VALUE, with {url}, {key}, {project_id}"
    parser.addini("endpoints_env", own, type="linelist")
    group.addoption(
        "--endpoints-prune",
        dest="endpoints_option_prune",
        action="store_true",
        help="delete recordings that a full run did not need",
    )


def read_settings(config: pytest.Config) -> PluginSettings:
    """The settings of this run. Raises pytest.UsageError for an invalid value."""
    settings = {option.name: _setting(config, option) for option in OPTIONS}
    settings["lock"] = _lock(config, settings["lock"])
    return PluginSettings(**settings, prune=bool(config.getoption("endpoints_option_prune")))


def only_lock(path: str, environment: str = "") -> PluginSettings:
    """The default settings with this lock, for what runs outside of a test."""
    settings = {option.name: Setting(option.default, _DEFAULT_SOURCE) for option in OPTIONS}
    settings |= {"lock": Setting(path, FOUND), "environment": Setting(environment, _DEFAULT_SOURCE)}
    return PluginSettings(**settings, prune=False)


def refuse_writing_in_ci(settings: PluginSettings, env: Mapping[str, str]) -> None:
    """Raise pytest.UsageError where recordings would be written on a machine whose checkout is thrown away."""
    if settings.mode.value in _WRITING and env.get("CI", "").strip().lower() not in {"", "0", "false"}:
        message = (
            f"--endpoints={settings.mode.value} is refused where CI is set: what it writes is reviewed and committed, "
            f"and nothing was called.\nRun it on your machine, commit the recordings, and let CI replay them: "
            f"pytest --endpoints=replay"
        )
        raise pytest.UsageError(message)


def _setting(config: pytest.Config, option: Option) -> Setting:
    sources = (
        (config.getoption(option.destination), option.flag, config.invocation_params.dir),
        (os.environ.get(option.variable) or None, f"${option.variable}", config.invocation_params.dir),
        (config.getini(option.ini), f"ini {option.ini}", config.rootpath),
    )
    for value, source, folder in sources:
        if value is not None and str(value).strip():
            return _checked(option, Setting(str(value).strip(), source), folder)
    return Setting(option.default, _DEFAULT_SOURCE)


def _checked(option: Option, setting: Setting, folder: Path) -> Setting:
    if option.choices and setting.value not in option.choices:
        raise pytest.UsageError(
            f"{setting.source}: {option.name} is one of {', '.join(option.choices)}{_near(option, setting)}"
        )
    if option.is_number and not (setting.value.isascii() and setting.value.isdigit()):
        raise pytest.UsageError(f"{setting.source} is a whole number, not {setting.value!r}")
    if option.name == "canary" and not is_candidate(setting.value):
        raise pytest.UsageError(
            f"{setting.source} is latest, worktree, off or a version's number, not {setting.value!r}"
        )
    if option.is_output or option.name == "lock":
        return Setting(str(folder / setting.value), setting.source)
    return setting


def is_candidate(name: str) -> bool:
    """Whether this is a value of `canary`."""
    return name in {"latest", "worktree", "off"} or (
        name.isascii() and name.isdigit() and len(name) < 10 and int(name) > 0
    )


def _near(option: Option, setting: Setting) -> str:
    from endpoints_gitops.model.suggestions import did_you_mean

    return f", not {setting.value!r}{did_you_mean(setting.value, option.choices)}"


def _lock(config: pytest.Config, setting: Setting) -> Setting:
    """The nearest lock from the rootdir upward, whichever folder pytest was started in."""
    if setting.value:
        return setting
    path = nearest_lock(config.rootpath)
    return setting if path is None else Setting(str(path), FOUND)


def nearest_lock(start: Path) -> Path | None:
    """The nearest lock from a folder upward; not above the checkout.

    Outside a git work tree, only the folder itself is searched, as for the configuration.
    """
    folders = (start, *start.parents)
    top = next((index for index, folder in enumerate(folders) if (folder / ".git").exists()), 0)
    return next((folder / LOCK for folder in folders[: top + 1] if (folder / LOCK).exists()), None)
