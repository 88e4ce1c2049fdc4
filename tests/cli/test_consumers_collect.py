"""`consumers collect` and `consumers who`: real folders, git repositories, a git server, and archives."""

from __future__ import annotations

import io
import json
import shlex
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from endpoints_gitops.codecs.consumers import read_registry
from endpoints_gitops.codecs.evidence import Evidence, ExercisedPin, ExercisedTest, write_evidence
from endpoints_gitops.codecs.lock import write_lock
from endpoints_gitops.model.consumers import ConsumerRegistry, RegisteredUse
from endpoints_gitops.model.pin import Lock, Pin
from tests.conftest import Checkout
from tests.git_server import running_git_server
from tests.hostile_repositories import HOSTILE, is_provoked, plant

TODAY = datetime(2026, 8, 1, 9, tzinfo=UTC)
QUERY = {"kind": "HogQLQuery", "query": "SELECT 1 AS plan, 2 AS mrr"}
PIN = Pin(environment="prod", name="revenue", endpoint_id="e", version=3, version_id="v", created_at=None, query=QUERY)
LOCK = write_lock(Lock(pins=(PIN,))).decode()
UNUSED = 'revenue = { version = 3, reads = "name", columns = ["plan"] }\nsignups = "*"\n'
PINNED = RegisteredUse(
    name="revenue",
    version=3,
    endpoint_id="e",
    version_id="v",
    contract_hash=PIN.contract_hash,
    columns=("plan",),
)


@pytest.fixture
def clock():
    return lambda: TODAY


@pytest.fixture
def manifest(server) -> str:
    return (
        f'[environments.prod]\nhost = "{server.url}"\nproject_id = {server.project_id}\nkey = "env:KEY"\n'
        f"[environments.prod.uses]\n{UNUSED}"
    )


@pytest.fixture
def files(manifest) -> dict[str, str]:
    return {"endpoints.toml": manifest, "endpoints.lock": LOCK}


@pytest.fixture
def app(make_checkout, files) -> Callable[..., Checkout]:
    """Makes an app in a repository of its own: `app("billing")`."""

    def make(name: str = "billing", folder: str = ".") -> Checkout:
        made = make_checkout(name)
        put(made.top / folder, files)
        made.commit()
        return made

    return make


def put(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def exercised(columns: tuple[str, ...] | None = ("plan", "mrr"), **changes: object) -> bytes:
    tests = (ExercisedTest(test="tests/test_a.py::test_a", outcome="passed"),)
    pin = replace(ExercisedPin.of(PIN, tests, columns_read=columns), **changes)
    run = {"commit": None, "tree": None, "is_dirty": False, "mode": "replay", "contract": "strict", "partial": None}
    return write_evidence(Evidence(**run, outcome="passed", pins=(pin,)))


@pytest.fixture
def registry(checkout) -> Callable[[], ConsumerRegistry]:
    def read(path: Path = checkout.top / "consumers.json") -> ConsumerRegistry:
        return read_registry(path.read_bytes(), "consumers.json")

    return read


def uses_of(registry: ConsumerRegistry, name: str = "billing") -> dict[str, RegisteredUse]:
    (environment,) = registry.of(name).environments
    return {use.name: use for use in environment.uses}


@pytest.fixture
def collect(cli):
    """Collects, and fails the test if that fails."""

    def run(*words: str, **more: object):
        ran = cli("consumers", "collect", *map(str, words), **more)
        assert ran.code == 0, ran.err
        return ran

    return run


def test_a_folder_is_collected(collect, registry, app, server):
    top = app().top
    ran = collect("../billing")
    assert ran.out.splitlines()[0].startswith("billing: added; 1 pin from ../billing at ")
    assert "uses without a pin: signups" in ran.out
    billing = registry().of("billing")
    assert (billing.source, billing.ref, billing.collected) == ("../billing", None, TODAY.date())
    assert billing.commit == Checkout(top).git("rev-parse", "HEAD")
    (environment,) = billing.environments
    assert (environment.name, environment.host, environment.project_id) == ("prod", server.url, server.project_id)
    assert uses_of(registry()) == {"revenue": PINNED, "signups": RegisteredUse(name="signups")}


def test_json_says_the_same(collect, registry, app):
    app()
    ran = collect("../billing", "--format", "json").json
    (item,) = ran["items"]
    assert ran["summary"] == {"collected": 1, "removed": 0, "consumers": 1}
    assert (item["state"], item["unpinned"], item["notes"]) == ("added", ["signups"], [])
    assert item["environments"][0]["uses"][0]["version"] == uses_of(registry())["revenue"].version == 3


def test_files_that_differ_from_the_commit_have_none(collect, registry, app):
    top = app().top
    (top / "README").write_text("other files do not count")
    (top / "evidence.json").write_bytes(exercised())
    collect("../billing")
    assert registry().of("billing").commit is not None
    (top / "endpoints.lock").write_text(write_lock(Lock()).decode())
    collect("../billing")
    assert registry().of("billing").commit is None


def bare(top: Path) -> Path:
    target = top.parent / "mirrors" / f"{top.name}.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", top, target], check=True, capture_output=True)
    hook = target / "hooks" / "post-upload-pack"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    return target


def packed(top: Path, prefix: str = "", suffix: str = ".tar.gz") -> Path:
    target = top.parent / f"billing{suffix}"
    names = [path for path in top.rglob("*") if path.is_file() and ".git" not in path.parts]
    if suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in names:
                archive.write(path, prefix + path.relative_to(top).as_posix())
    else:
        with tarfile.open(target, "w:gz") as archive:
            for path in names:
                archive.add(path, prefix + path.relative_to(top).as_posix())
    return target


LOCAL: dict[str, Callable[[Path], str]] = {
    "a folder": str,
    "a lock": lambda top: str(top / "endpoints.lock"),
    "a manifest": lambda top: str(top / "endpoints.toml"),
    "HEAD": lambda top: f"{top}#HEAD",
    "a branch": lambda top: f"{top}@main",
    "a bare repository": lambda top: str(bare(top)),
    "a branch of a bare repository": lambda top: f"{bare(top)}#main",
    "a .git folder": lambda top: f"{top / '.git'}",
    "a file URL": lambda top: f"file://{top}#main",
    "tar.gz": lambda top: str(packed(top)),
    "tar.gz of a host": lambda top: str(packed(top, "billing-0123abc/")),
    "tar.gz of .": lambda top: str(packed(top, "./", ".tgz")),
    "zip": lambda top: str(packed(top, "", ".zip")),
    "zip of a host": lambda top: str(packed(top, "billing-0123abc/", ".zip")),
}


@pytest.mark.parametrize("spelled", LOCAL.values(), ids=LOCAL)
def test_every_kind_of_local_source_says_the_same(collect, registry, app, spelled):
    source = spelled(app().top)
    collect(source, "--name", "billing")
    assert uses_of(registry()) == {"revenue": PINNED, "signups": RegisteredUse(name="signups")}
    assert "\\" not in registry().of("billing").source


FOLDERS = {
    "a folder": (lambda top: str(top / "apps" / "billing"), None),
    "a folder of HEAD": (lambda top: f"{top}:apps/billing", None),
    "a folder of a tag": (lambda top: f"{top}#v1:apps/billing", "v1"),
    "a folder with a tag": (lambda top: f"{top / 'apps' / 'billing'}@v1", "v1"),
    "a folder of an archive": (lambda top: f"{packed(top)}:apps/billing", None),
    "a folder of an archive of a host": (lambda top: f"{packed(top, 'mono-1/', '.zip')}:apps/billing", None),
}


@pytest.mark.parametrize(("spelled", "ref"), FOLDERS.values(), ids=FOLDERS)
def test_an_app_in_a_folder_is_called_after_it(collect, registry, app, spelled, ref):
    mono = app("mono", "apps/billing")
    mono.git("tag", "v1")
    collect(spelled(mono.top))
    assert uses_of(registry())["revenue"] == PINNED
    assert registry().of("billing").ref == ref


def test_a_ref_is_read_and_not_the_files(collect, registry, app):
    billing = app()
    commit = billing.git("rev-parse", "HEAD")
    billing.git("branch", "release/1.x")
    (billing.top / "endpoints.lock").write_text(write_lock(Lock()).decode())
    billing.commit()
    collect("../billing#release/1.x")
    assert uses_of(registry())["revenue"].version == 3
    assert (registry().of("billing").ref, registry().of("billing").commit) == ("release/1.x", commit)
    collect(f"../billing@{commit[:10]}")
    collect("../billing")
    assert uses_of(registry())["revenue"].version is None


@pytest.fixture
def git_url(app, tmp_path):
    """The URL of a real git server with the bare repository of an app."""
    top = app().top
    Checkout(top).git("tag", "v1")
    bare(top)
    with running_git_server(tmp_path / "mirrors") as url:
        yield f"{url}/billing.git"


@pytest.mark.parametrize(
    ("suffix", "ref"), [("", None), ("#main", "main"), ("@v1", "v1"), ("#:.", None), ("#main:.", "main")]
)
def test_a_url_is_fetched(collect, registry, git_url, suffix, ref, tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    collect(git_url + suffix)
    billing = registry().of("billing")
    assert (billing.source, billing.ref) == (git_url, ref)
    assert len(billing.commit) == 40
    assert uses_of(registry()) == {"revenue": PINNED, "signups": RegisteredUse(name="signups")}
    assert list((tmp_path / "scratch").iterdir()) == [], "nothing is left behind"


def test_a_commit_of_a_url_is_fetched(collect, registry, git_url, tmp_path):
    commit = Checkout(tmp_path / "billing").git("rev-parse", "HEAD")
    collect(f"{git_url}#{commit}")
    assert registry().of("billing").commit == commit


def test_an_address_of_ssh_is_fetched(collect, registry, app, tmp_path):
    """ssh itself is played by a program that runs the command here."""
    target = bare(app().top)
    program = tmp_path / "ssh"
    program.write_text('#!/bin/sh\nwhile [ "$1" != deploy@host.invalid ]; do shift; done\nshift\nexec sh -c "$*"\n')
    program.chmod(0o755)
    variables = {"GIT_SSH_COMMAND": shlex.quote(str(program)), "GIT_SSH_VARIANT": "ssh"}
    collect(f"deploy@host.invalid:{target}#main", env=variables)
    assert registry().of("billing").source == f"deploy@host.invalid:{target}"
    assert uses_of(registry())["revenue"] == PINNED


def test_credentials_are_used_and_never_kept(cli, collect, registry, app, checkout, tmp_path):
    bare(app().top)
    with running_git_server(tmp_path / "mirrors", login="robot:s3cret-t0ken") as url:
        address = url.replace("http://", "http://robot:s3cret-t0ken@")
        ran = collect(f"{address}/billing.git#main")
        assert registry().of("billing").source == f"{url}/billing.git"
        failed = [
            cli("consumers", "collect", f"{address}/absent.git"),
            cli("consumers", "collect", f"{url.replace('http://', 'http://robot:s3cret-wr0ng@')}/billing.git"),
            cli("consumers", "collect", f"{url}/billing.git"),
            cli("consumers", "collect", f"{address.replace('http:', 'htp:')}/billing.git"),
            cli("consumers", "collect", f"{address}/billing.git#bad ref"),
        ]
    assert [one.code for one in failed] == [4, 4, 4, 2, 2]
    everything = ran.out + ran.err + "".join(one.out + one.err for one in failed)
    assert "s3cret" not in everything + (checkout.top / "consumers.json").read_text()
    assert "git ls-remote" in failed[0].err


UNREACHABLE = {
    "no server": lambda _: "http://127.0.0.1:9/billing.git",
    "no host": lambda _: "https://host.invalid/billing.git",
    "no branch": lambda url: f"{url}#absent",
    "no repository": lambda url: url.replace("billing", "portal"),
}


@pytest.mark.parametrize("spelled", UNREACHABLE.values(), ids=UNREACHABLE)
def test_what_cannot_be_reached_is_4_and_changes_nothing(cli, collect, checkout, git_url, spelled):
    collect(git_url)
    before = (checkout.top / "consumers.json").read_bytes()
    ran = cli("consumers", "collect", "../billing", spelled(git_url), "--format", "json")
    assert ran.code == 4
    assert [error["code"] for error in ran.json["errors"]][-1] == "consumers.unreachable"
    assert (checkout.top / "consumers.json").read_bytes() == before
    assert "consumers.json is unchanged" in ran.err


def test_a_server_that_never_answers_is_4(cli):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/billing.git"
        ran = cli("consumers", "collect", url, "--max-wait", "0.5")
    assert (ran.code, "git fetch took longer than 0.5 s" in ran.err) == (4, True)


@pytest.mark.parametrize("ref", ["absent", "HEAD~9"])
def test_a_missing_ref_of_a_folder_is_an_error(cli, app, ref):
    app()
    ran = cli("consumers", "collect", f"../billing#{ref}")
    assert ran.code == (2 if "~" in ref else 4)
    assert ref in ran.err
    assert "~" in ref or "name a branch, tag or commit that is there" in ran.err


WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("../absent", "../absent does not exist"),
    "an empty text": ("", "a SOURCE is empty"),
    "a remote helper": ("ext::sh -c date", "does not exist"),
    "a helper with an at": ("ext::a@b", "does not exist"),
    "the git protocol": ("git://127.0.0.1/billing", "is not a URL that is read"),
    "an option as a host": ("-oProxyCommand=date@host:x", "does not exist"),
    "an option as a ref": ("../billing#--upload-pack=date", "is not the name of a branch"),
    "a refspec": ("../billing#+main", "is not the name of a branch"),
    "a folder outside": ("../billing#main:../other", "is outside of the source"),
    "an absolute folder": ("../billing:/etc", "is outside of the source"),
    "no such folder": ("../billing:apps", "apps does not exist in"),
    "a file as a folder": ("../billing:endpoints.lock", "endpoints.lock is not a folder in"),
    "a ref of a file": ("../billing/endpoints.lock#main", "is a file"),
    "nothing of ours": ("../empty", "has no endpoints.lock, no manifest and no evidence"),
    "not a repository": ("../empty#main", "is not in a git repository"),
}


@pytest.mark.parametrize(("source", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_source_is_2(cli, app, tmp_path, source, message):
    app()
    put(tmp_path / "empty", {"pyproject.toml": "[project]\nname = 'a'\n"})
    ran = cli("consumers", "collect", "--", source)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_git_is_never_given_an_option(cli):
    ran = cli("consumers", "collect", "--", "https://host.invalid/a.git#--upload-pack=date")
    assert (ran.code, "is not the name of a branch" in ran.err) == (2, True)


DAMAGED = {
    "a lock": ("endpoints.lock", LOCK.replace("version = 3", "version = 4"), "does not match its contract_hash"),
    "a merged lock": ("endpoints.lock", f"<<<<<<< HEAD\n{LOCK}", "conflict markers"),
    "a manifest": ("endpoints.toml", "uses = 1\n", "endpoints.toml:1"),
    "a manifest that is not TOML": ("endpoints.toml", "[", "endpoints.toml: not valid TOML"),
    "evidence": ("evidence.json", exercised().decode().replace('"passed"', '"failed"'), "digest does not match"),
    "two manifests": ("pyproject.toml", "[tool.endpoints-gitops]\n", "both contain a configuration"),
}


@pytest.mark.parametrize("kind", ["folder", "git", "archive"])
@pytest.mark.parametrize(("name", "text", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_2_and_changes_nothing(cli, app, checkout, kind, name, text, message):
    billing, portal = app(), app("portal")
    (billing.top / name).write_text(text)
    billing.commit()
    source = {"folder": "../billing", "git": "../billing#main", "archive": str(packed(billing.top))}[kind]
    ran = cli("consumers", "collect", str(portal.top), source)
    assert ran.code == 2
    assert message in ran.err
    assert name in ran.err
    assert not (checkout.top / "consumers.json").exists()


def test_every_failure_is_reported_and_the_worst_decides(cli, app):
    (app().top / "endpoints.lock").write_text("[")
    ran = cli("consumers", "collect", "../billing", "http://127.0.0.1:9/a.git", "--format", "json")
    assert ran.code == 4
    assert [error["code"] for error in ran.json["errors"]] == ["lock.invalid", "consumers.unreachable"]


def test_what_is_collected_again_replaces_its_entry_alone(collect, app, checkout):
    billing, portal = app(), app("portal")
    collect("../billing", "../portal")
    before = json.loads((checkout.top / "consumers.json").read_text())
    assert "billing: unchanged" in collect(billing.top).out
    assert json.loads((checkout.top / "consumers.json").read_text()) == before
    manifest = billing.top / "endpoints.toml"
    manifest.write_text(manifest.read_text().replace('signups = "*"', ""))
    assert "billing: updated" in collect("../billing").out
    after = json.loads((checkout.top / "consumers.json").read_text())
    assert [block["name"] for block in after["consumers"]] == ["billing", "portal"]
    assert after["consumers"][1] == before["consumers"][1]
    assert portal.top.exists()


def test_removing_a_consumer(cli, collect, registry, app):
    app()
    app("portal")
    collect("../billing", "../portal")
    assert collect("--remove", "billing").out == "billing: removed\n"
    assert [consumer.name for consumer in registry().consumers] == ["portal"]
    ran = cli("consumers", "collect", "--remove", "protal")
    assert (ran.code, "has no consumer 'protal'; did you mean 'portal'?" in ran.err) == (2, True)


def test_another_app_of_the_same_name_is_not_lost(cli, collect, registry, app, tmp_path, files):
    app()
    collect("../billing")
    put(tmp_path / "other" / "billing", files)
    ran = cli("consumers", "collect", "../other/billing")
    assert ran.code == 2
    assert "billing was collected from ../billing before, not from ../other/billing" in ran.err
    collect("../other/billing", "--name", "billing-eu")
    assert [consumer.name for consumer in registry().consumers] == ["billing", "billing-eu"]
    collect("../other/billing", "--name", "billing")
    assert registry().of("billing").source == "../other/billing"
    ran = cli("consumers", "collect", "../billing", "../other/billing", "-o", "new.json")
    assert (ran.code, "two sources are called billing" in ran.err) == (2, True)


def test_the_registry_is_where_it_is_configured(collect, checkout, app, registry):
    app()
    path = checkout.top / "endpoints.toml"
    path.write_text(f'consumers = "shared/apps.json"\n{path.read_text()}')
    collect("../billing")
    assert registry(checkout.top / "shared" / "apps.json").of("billing").source == "../../billing"
    collect("../billing", "-o", "out/artifact.json")
    assert registry(checkout.top / "out" / "artifact.json").of("billing")
    assert not (checkout.top / "consumers.json").exists()


def test_another_file_is_not_overwritten(cli, checkout, app):
    app()
    (checkout.top / "consumers.json").write_text('{"topics": []}')
    ran = cli("consumers", "collect", "../billing")
    assert ran.code == 2
    assert (checkout.top / "consumers.json").read_text() == '{"topics": []}'


EVIDENCE = {
    "columns by name": (exercised(), ("mrr", "plan"), False),
    "whole rows": (exercised(None), None, False),
    "no tests": (exercised(tests=()), None, False),
    "another version": (exercised(version=2), None, True),
    "another contract": (exercised(contract_hash="0"), None, True),
    "another endpoint": (exercised(endpoint_id="f"), None, True),
    "another environment": (exercised(environment="staging"), None, False),
}


@pytest.mark.parametrize("kind", ["in the source", "beside it", "in the repository"])
@pytest.mark.parametrize(("content", "columns", "is_noted"), EVIDENCE.values(), ids=EVIDENCE)
def test_evidence_says_which_columns_tests_read(collect, registry, app, tmp_path, kind, content, columns, is_noted):
    billing = app()
    path = (tmp_path if kind == "beside it" else billing.top) / "run-evidence.json"
    path.write_bytes(content)
    if kind == "in the repository":
        billing.commit()
        ran = collect("../billing#main")
    else:
        ran = collect("../billing", *(["--evidence", path] if kind == "beside it" else []))
    assert uses_of(registry())["revenue"].columns_tested == columns
    assert ("is not of the pin in the lock" in ran.out) is is_noted


def test_several_evidence_files_add_up(collect, registry, app):
    top = app().top
    (top / "a-evidence.json").write_bytes(exercised(("plan",)))
    (top / "b-evidence.json").write_bytes(exercised(("mrr",)))
    collect("../billing")
    assert uses_of(registry())["revenue"].columns_tested == ("mrr", "plan")


def test_evidence_alone_has_pins(collect, registry, tmp_path):
    (tmp_path / "evidence.json").write_bytes(exercised())
    collect(tmp_path / "evidence.json", "--name", "billing")
    (environment,) = registry().of("billing").environments
    assert (environment.host, environment.project_id) == (None, None)
    assert uses_of(registry())["revenue"].version == 3


def test_a_lock_alone_has_pins(collect, registry, tmp_path):
    put(tmp_path / "billing", {"endpoints.lock": LOCK})
    collect("../billing")
    assert [use.version for use in uses_of(registry()).values()] == [3]


def test_an_environment_of_another_project_is_named(collect, app, files, server):
    files["endpoints.toml"] = files["endpoints.toml"].replace(f"project_id = {server.project_id}", "project_id = 77")
    app()
    ran = collect("../billing")
    assert f"prod (project 77 at {server.url}) is no environment of yours, so it does not count" in ran.out


def archive(path: Path, *members: tuple[str, bytes], link: str | None = None) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members:
                info = zipfile.ZipInfo(name)
                info.compress_type = zipfile.ZIP_DEFLATED
                if name == link:
                    info.external_attr = 0o120777 << 16
                file.writestr(info, content)
        return path
    with tarfile.open(path, "w:gz") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name == link:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
            file.addfile(info, io.BytesIO(content))
    return path


LOCKED = ("endpoints.lock", LOCK.encode())
TRICKS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a name that leads out": (lambda path: archive(path, ("../endpoints.lock", b""), LOCKED), "leads out"),
    "an absolute name": (lambda path: archive(path, ("/etc/cron.d/x", b""), LOCKED), "leads out"),
    "a name of a drive": (lambda path: archive(path, ("C:\\x", b""), LOCKED), "leads out"),
    "a link": (lambda path: archive(path, LOCKED, link="endpoints.lock"), "is a link"),
    "a file twice": (lambda path: archive(path, LOCKED, ("./endpoints.lock", b"")), "occurs twice"),
    "a huge file": (lambda path: archive(path, ("endpoints.lock", b"#" * (17 * 2**20))), "larger than 16 MB"),
    "nothing": (lambda path: archive(path, ("README", b"")), "has no endpoints.lock"),
    "an empty file": (lambda path: (path.write_bytes(b"") and path) or path, "cannot be read"),
    "half of it": (lambda path: _halved(archive(path, LOCKED, ("endpoints.toml", b"#" * 9999))), "cannot be read"),
    "another format": (lambda path: _written(path, b"PK\x03\x04 no archive"), "cannot be read"),
}


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _halved(path: Path) -> Path:
    return _written(path, path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize(("make", "message"), TRICKS.values(), ids=TRICKS)
def test_a_bad_archive_is_2(cli, checkout, tmp_path, suffix, make, message):
    path = make(tmp_path / f"app{suffix}")
    ran = cli("consumers", "collect", str(path))
    assert (ran.code, "Traceback" in ran.err) == (2, False)
    assert message in ran.err
    assert not (checkout.top / "consumers.json").exists()
    assert {item.name for item in tmp_path.iterdir()} <= {path.name, "checkout", "state", "cache", "home"}


def test_an_archive_that_unpacks_to_too_much_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("endpoints_gitops.workspace.sources._LARGEST_ARCHIVE", 2**20)
    path = archive(tmp_path / "app.tar.gz", ("zeros", b"\0" * 2**21), LOCKED)
    assert path.stat().st_size < 2**16
    ran = cli("consumers", "collect", str(path))
    assert (ran.code, "more than 1 MB in it" in ran.err) == (2, True)


def test_a_submodule_is_not_followed(cli, app):
    portal, billing = app("portal"), app()
    words = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(portal.top), "inner")
    billing.git(*words)
    billing.commit()
    ran = cli("consumers", "collect", "../billing#main:inner")
    assert ran.code == 2
    assert "inner is a submodule" in ran.err
    assert cli("consumers", "collect", "../billing#main").code == 0


def test_a_link_in_a_repository_is_not_followed(cli, app):
    billing = app()
    lock = billing.top / "endpoints.lock"
    lock.rename(billing.top / "real.lock")
    lock.symlink_to("real.lock")
    billing.commit()
    ran = cli("consumers", "collect", "../billing#main")
    assert (ran.code, "is a link or a folder, not a file" in ran.err) == (2, True)


@pytest.fixture(params=HOSTILE, ids=str)
def planted(request, tmp_path, nobodys_settings):  # noqa: ARG001 - a fixture that works by being there
    return plant(request.param, tmp_path / "hostile")


def test_no_program_of_a_source_runs(planted, cli, files):
    assert is_provoked(planted) or not planted.hostile.provoke, "git alone runs it, else this test proves nothing"
    put(planted.top, files)
    planted.marker.unlink(missing_ok=True)
    for words in ((planted.top,), (f"{planted.top}#main",), (f"{planted.top / '.git'}@main",)):
        ran = cli("consumers", "collect", *map(str, words), "--name", "hostile", env=planted.environment)
        assert not planted.marker.exists(), planted.marker.read_text()
        assert ran.code in (0, 2, 4)
        assert "Traceback" not in ran.err
    assert cli("consumers", "collect", str(planted.top), "--name", "hostile").code == 0


def test_a_fetch_runs_no_program(app, cli, registry, tmp_path, monkeypatch):
    """Neither hooks and helpers of the caller's environment nor those of the folder where the command runs."""
    marker = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{marker}'\nexit 1\n")
    program.chmod(0o755)
    bare(app().top)
    hostile = {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": str(tmp_path),
        "GIT_CONFIG_KEY_1": "credential.helper",
        "GIT_CONFIG_VALUE_1": f"!{program}",
        "GIT_ASKPASS": str(program),
        "SSH_ASKPASS": str(program),
        "GIT_PROXY_COMMAND": str(program),
    }
    monkeypatch.chdir(tmp_path)
    with running_git_server(tmp_path / "mirrors", login="a:b") as url:
        ran = cli("consumers", "collect", f"{url}/billing.git", env=hostile)
    assert ran.code == 4
    assert not marker.exists(), marker.read_text()
    with running_git_server(tmp_path / "mirrors") as url:
        assert cli("consumers", "collect", f"{url}/billing.git", env=hostile).code == 0
    assert not marker.exists(), marker.read_text()
    assert registry().of("billing")


def test_no_git_is_said(cli, git_url):
    ran = cli("consumers", "collect", git_url, env={"PATH": "/nowhere"})
    assert (ran.code, "git is not installed" in ran.err) == (4, True)


USAGE = {
    "no source": (("collect",), "needs a SOURCE"),
    "a version": (("collect", "x", "--version", "3"), "--version is for"),
    "a name for two": (("collect", "x", "y", "--name", "z"), "exactly one SOURCE"),
    "evidence for two": (("collect", "x", "y", "--evidence", "z"), "exactly one SOURCE"),
    "who with a file": (("who", "-o", "x"), "are for `consumers collect`"),
    "two names": (("who", "x", "y"), "takes one NAME"),
    "a version of nothing": (("who", "--version", "3"), "needs the NAME"),
    "no topic": ((), "required: topic"),
    "another topic": (("list",), "invalid choice: 'list'"),
}


@pytest.mark.parametrize(("words", "message"), USAGE.values(), ids=USAGE)
def test_mistakes_on_the_command_line(cli, words, message):
    ran = cli("consumers", *words)
    assert (ran.code, message in ran.err) == (2, True), ran.err


def test_names_are_one_line(collect, cli, tmp_path, files):
    put(tmp_path / "a\x1b[2Jb", files)
    ran = cli("consumers", "collect", "../a\x1b[2Jb")
    assert (ran.code, "cannot be the name of a consumer" in ran.err) == (2, True)
    collect("../a\x1b[2Jb", "--name", "safe")
    ran = cli("consumers", "who", "revenue")
    assert "\x1b" not in ran.out + ran.err


@pytest.fixture
def known(collect, app, files, checkout, uses):
    """Two collected apps, one of which is old, and the app beside the definitions."""
    app()
    files["endpoints.lock"] = write_lock(Lock()).decode()
    files["endpoints.toml"] = files["endpoints.toml"].replace('reads = "name"', 'reads = "position"')
    app("portal")
    collect("../billing", "../portal")
    checkout.write({"revenue.yaml": "name: revenue\nquery: SELECT 1 AS plan\n", "x.yaml": "name: x\nquery: SELECT 1\n"})
    uses(revenue='"*"')


def test_who_lists_the_callers_of_an_endpoint(cli, known):  # noqa: ARG001 - what there is
    ran = cli("consumers", "who", "revenue")
    assert ran.code == 0
    lines = [line.split("  ") for line in ran.out.splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert rows == [
        ["consumer", "environment", "version", "columns", "last seen", "source"],
        [*rows[1]],
        ["billing", "prod", "3", "plan", "2026-08-01", "../billing"],
        ["endpoints.toml", "test", "newest (unpinned)", "any", "here", "."],
        ["portal", "prod", "newest (unpinned)", "any (by position)", "2026-08-01", "../portal"],
    ]


def test_who_in_json(cli, known):  # noqa: ARG001 - likewise
    ran = cli("consumers", "who", "revenue", "--format", "json").json
    assert ran["summary"] == {"uses": 3}
    assert ran["items"][0] == {
        "endpoint": "revenue",
        "consumer": "billing",
        "environment": "prod",
        "counts_for": ["test"],
        "version": 3,
        "reads": "name",
        "columns": ["plan"],
        "last_seen": "2026-08-01",
        "stale": False,
        "source": "../billing",
    }


@pytest.mark.parametrize(
    ("version", "consumers"), [(3, ["billing", "endpoints.toml", "portal"]), (2, ["endpoints.toml", "portal"])]
)
def test_who_can_be_reached_by_a_version(cli, known, version, consumers):  # noqa: ARG001 - likewise
    ran = cli("consumers", "who", "revenue", "--version", str(version), "--format", "json")
    assert [item["consumer"] for item in ran.json["items"]] == consumers
    assert f"call the newest version, which can be {version}" in ran.err


def test_who_without_a_name_lists_everything(cli, known):  # noqa: ARG001 - likewise
    ran = cli("consumers", "who")
    assert [line.split()[:2] for line in ran.out.splitlines()[2:]] == [
        ["revenue", "billing"],
        ["revenue", "endpoints.toml"],
        ["revenue", "portal"],
        ["signups", "billing"],
        ["signups", "portal"],
    ]


def test_who_of_an_unused_or_unknown_endpoint(cli, known):  # noqa: ARG001 - likewise
    ran = cli("consumers", "who", "x")
    assert (ran.code, ran.out) == (0, "no known consumer uses x\n")
    assert cli("consumers", "who", "x", "--format", "json").json["items"] == []
    ran = cli("consumers", "who", "revenu")
    assert (ran.code, ran.out) == (2, "")
    assert "no definition and no known consumer has revenu; did you mean 'revenue'?" in ran.err


def test_an_old_entry_is_marked_and_counts(cli, app, collect, checkout, monkeypatch):  # noqa: ARG001 - likewise
    app()
    collect("../billing")
    monkeypatch.setattr(sys.modules[__name__], "TODAY", datetime(2026, 11, 3, tzinfo=UTC))
    ran = cli("consumers", "who", "revenue")
    assert "94 days ago" in ran.out
    (item,) = cli("consumers", "who", "revenue", "--format", "json").json["items"]
    assert (item["stale"], item["last_seen"]) == (True, "2026-08-01")


def test_who_marks_another_project(cli, app, collect, files, server):
    files["endpoints.toml"] = files["endpoints.toml"].replace(f"project_id = {server.project_id}", "project_id = 77")
    app()
    collect("../billing")
    assert "prod (another project)" in cli("consumers", "who", "revenue").out
    assert cli("consumers", "who", "revenue", "--format", "json").json["items"][0]["counts_for"] == []
    assert cli("consumers", "who", "--env", "test").out == "no known consumer uses any endpoint\n"


def test_who_without_any_knowledge_is_not_nobody(cli):
    ran = cli("consumers", "who", "revenue")
    assert ran.code == 2
    assert "no consumer is known: consumers.json does not exist" in ran.err
    assert "endpoints-gitops consumers collect SOURCE" in ran.err


def test_a_corrupt_registry_is_2(cli, checkout, app):
    app()
    (checkout.top / "consumers.json").write_text("{")
    for words in (("who",), ("who", "revenue"), ("collect", "../billing")):
        assert cli("consumers", *words).code == 2
    assert (checkout.top / "consumers.json").read_text() == "{"
