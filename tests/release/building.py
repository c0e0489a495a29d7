"""The three packages, built as they would be published."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.places import ROOT

# Name -> the folder that it is built from.
PYTHON = {"snn-voice-lite": ROOT / "lite", "snn-voice-hub": ROOT}
WEB = ROOT / "web"


class ReleaseError(Exception):
    """What must not be published, or could not be built; the text says why."""


def run(*words: str | Path, cwd: Path = ROOT, seconds: float = 3600, **environment: str) -> str:
    """What a program prints.

    Args:
        *words: The program and its arguments.
        cwd: Where it runs.
        seconds: How long it may take.
        **environment: All of its variables; by default those of this process.

    Raises:
        ReleaseError: It ended with another code than 0, or was too slow.
    """
    shown = " ".join(map(str, words))[:200]
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd,
            env=environment or None,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise ReleaseError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ReleaseError(f"{shown}: took longer than {seconds:.0f} s") from error
    if done.returncode:
        raise ReleaseError(f"{shown}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def build_wheel(name: str, out: Path) -> Path:
    """One wheel out of the working tree, by the hatchling that is installed: quick, and without an index."""
    before = set(out.glob("*.whl"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, PYTHON[name])
    (made,) = set(out.glob("*.whl")) - before
    return made


def build_python(name: str, out: Path, readme: str | None = None) -> list[Path]:
    """Source distribution and, out of that alone, the wheel, in an environment of their own.

    Args:
        name: The package.
        out: Where they go.
        readme: What its README.md is to say there, in place of what it says in the clone.
    """
    before = set(out.iterdir())
    with tempfile.TemporaryDirectory() as place:
        source = PYTHON[name]
        if readme is not None:
            source = Path(place) / name
            # Hidden files, too: the builder reads .gitignore.
            run("git", "checkout-index", "--all", f"--prefix={source}/", cwd=ROOT)
            (source / "README.md").write_text(readme, "utf-8")
        run(sys.executable, "-m", "build", "--outdir", out, source)
    return sorted(set(out.iterdir()) - before)


def pack_npm(out: Path) -> Path:
    """The npm package."""
    packed = json.loads(run("npm", "pack", "--json", "--offline", "--pack-destination", out, cwd=WEB))
    (entry,) = packed if isinstance(packed, list) else packed.values()
    return out / str(entry["filename"])
