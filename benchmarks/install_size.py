"""`uv run python -m benchmarks.install_size [INSTALL…]`: the size of each install, in megabytes of site-packages.

The wheels of this checkout are built, and each install goes into an empty environment with uv. Counted are the bytes of
the files, without bytecode, which Python adds when it imports a module, and the distributions, which include this one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[1]
LIBRARY: Final = "endpoints-gitops"
PLUGIN: Final = "pytest-endpoints-gitops"
INSTALLS: Final = (
    LIBRARY,
    *(f"{LIBRARY}[{extra}]" for extra in ("hogql", "cli", "clickhouse", "local")),
    PLUGIN,
)
UV: Final = os.environ.get("UV", "uv")  # `uv run` sets it


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSize:
    """`largest` are the packages with the most bytes, largest first, with their megabytes."""

    install: str
    megabytes: float
    distributions: int
    largest: tuple[tuple[str, float], ...]


def build_wheels(folder: Path) -> dict[str, Path]:
    """Build the wheels of this checkout, and return their paths by distribution."""
    uv("build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(folder), cwd=TOP)
    return {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}


def install(wanted: str, wheels: dict[str, Path], environment: Path) -> Path:
    """Install one of INSTALLS into a new environment. Returns its site-packages."""
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    name, bracket, extra = wanted.partition("[")
    requirement = f"{name}{bracket}{extra} @ {wheels[name].as_uri()}"
    library = () if name == LIBRARY else (str(wheels[LIBRARY]),)
    uv("pip", "install", "--quiet", "--python", str(python), requirement, *library)
    (folder,) = (path.parent for path in environment.rglob("endpoints_gitops") if path.parent.name == "site-packages")
    return folder


def measure(wanted: str, wheels: dict[str, Path], environment: Path) -> InstallSize:
    """Install it, and add up what it takes."""
    folder = install(wanted, wheels, environment)
    sizes = {path.name: _bytes(path) / 1e6 for path in folder.iterdir()}
    largest = sorted(sizes.items(), key=lambda size: -size[1])
    return InstallSize(
        install=wanted,
        megabytes=sum(sizes.values()),
        distributions=sum(name.endswith(".dist-info") for name in sizes),
        largest=tuple(largest[:4]),
    )


def uv(*words: str, cwd: Path | None = None) -> None:
    """Run uv. Raises CalledProcessError."""
    subprocess.run((UV, *words), cwd=cwd, check=True)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


def main() -> int:
    """Measure the installs that are named, or all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("installs", nargs="*", metavar="INSTALL", help=f"of {', '.join(INSTALLS)} (default: all)")
    chosen = parser.parse_args().installs or INSTALLS
    if unknown := sorted(set(chosen) - set(INSTALLS)):
        parser.error(f"unknown: {', '.join(unknown)}")
    print("| installed | MB | packages | largest, in MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        wheels = build_wheels(Path(folder, "wheels"))
        for number, wanted in enumerate(chosen):
            size = measure(wanted, wheels, Path(folder, str(number)))
            largest = ", ".join(f"{name} {megabytes:.1f}" for name, megabytes in size.largest)
            print(f"| `{wanted}` | {size.megabytes:.0f} | {size.distributions} | {largest} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
