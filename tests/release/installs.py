"""Packages in environments where nothing else is, and the first lines of their READMEs typed there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.house.document_helpers import BLOCK, Step, steps, tells
from tests.places import EXAMPLES, ROOT
from tests.release.building import ReleaseError, run
from tests.release.contents import opened

DOWNSTREAM = Path(__file__).parent / "downstream"
_NODE = """
import { readFileSync } from "node:fs";
%s
const bytes = (path) => new Uint8Array(readFileSync(path)).buffer;
const voice = await Voice.load(bytes("model.onnx"));
console.log(JSON.stringify(await voice.classify(bytes("yes.wav"), { topK: 1 })));
"""


class Environment:
    """A virtual environment of its own, beside a folder to work in.

    Args:
        folder: Where both are made.
        python: The interpreter.

    Attributes:
        work: The folder to work in, with `examples/` and `yes.wav` in it.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder, self.work = folder / "env", folder / "work"
        self.work.mkdir(parents=True)
        shutil.copytree(EXAMPLES, self.work / "examples", ignore=shutil.ignore_patterns("web_onnx"))
        shutil.copy(EXAMPLES / "yes.wav", self.work)
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "HF_ENDPOINT")}
        # Nothing that is shown needs the Hub, or what this user has fetched or built before.
        own = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "SNN_VOICE_CACHE": str(folder / "cache")}
        self.variables = kept | own | {"COLUMNS": "120", "NO_COLOR": "1"}
        run(python, "-m", "venv", self.folder, **self.variables)

    def program(self, name: str) -> str:
        """Where a program of the environment lies."""
        return str(self.folder / "bin" / name)

    def run(self, *words: str | Path, seconds: float = 600) -> str:
        """What a program prints, in the folder to work in."""
        return run(*words, cwd=self.work, seconds=seconds, **self.variables)

    def install(self, *what: str | Path, compiled: bool = True) -> None:
        """Install packages, by the index or from files."""
        pip = (self.program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        self.run(*pip, *([] if compiled else ["--no-compile"]), *what, seconds=3600)

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        (found,) = (self.folder / "lib").glob("python*/site-packages")
        return found

    def megabytes(self) -> float:
        """The size of what is installed, pip among it."""
        return sum(path.lstat().st_size for path in self.packages.rglob("*")) / 1e6

    def check_types(self, program: str, cache: Path | None = None) -> None:
        """A user's program is free of errors under `mypy --strict`.

        Args:
            program: A file of `downstream/`.
            cache: Where mypy keeps what it has found.
        """
        copied = shutil.copy(DOWNSTREAM / program, self.work)
        check_types(Path(copied), self.program("python"), self.work, cache)


def check_types(program: Path, python: str, folder: Path, cache: Path | None = None) -> None:
    """Hold a program against the types of what an interpreter has installed.

    Args:
        program: It is found nowhere near the packages.
        python: The interpreter.
        folder: Where mypy runs: without a configuration.
        cache: Where it keeps what it has found.

    Raises:
        ReleaseError: mypy has something to say.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    words = ("--strict", "--config-file=", "--cache-dir", cache or folder / ".mypy_cache")
    run(
        sys.executable,
        "-m",
        "mypy",
        *words,
        "--python-executable",
        python,
        program,
        cwd=folder,
        **environment,
    )


def _first_python(document: Path) -> str:
    """The first block of Python of a document."""
    return next(text for kind, text in BLOCK.findall(document.read_text("utf-8")) if kind == "python")


def _shown(document: Path, begin: str) -> Step:
    """The command of a document that begins so, with what is shown below it."""
    return next(step for step in steps(document.read_text("utf-8")) if step.text.startswith(begin))


def _expect(step: Step, out: str) -> None:
    for line in step.shown:
        if not tells(out, line):
            raise ReleaseError(f"{step.text} does not print\n{line}\nbut\n{out}")


class Tried(NamedTuple):
    """What was seen of an installed package.

    Attributes:
        megabytes: What is installed, pip among it.
        seconds: From the start of Python to the first answer.
    """

    megabytes: float
    seconds: float


def check_lite(wheel: Path, place: Path, python: str = sys.executable) -> Tried:
    """`snn-voice-lite` alone.

    Args:
        wheel: The package.
        place: A folder for its environment; made.
        python: The interpreter.

    Raises:
        ReleaseError: It does not do what its README says.
    """
    made = Environment(place, python)
    made.install(wheel)
    if (made.packages / "torch").exists():
        raise ReleaseError("snn-voice-lite brought PyTorch")
    readme = ROOT / "lite" / "README.md"
    megabytes, began = made.megabytes(), time.monotonic()
    said = made.run(made.program("python"), "-c", _first_python(readme))
    seconds = time.monotonic() - began
    if not re.match(r"\[Prediction\(label='yes', score=0\.99", said):
        raise ReleaseError(f"lite/README.md's first lines print {said}")
    for step in steps(readme.read_text("utf-8")):
        if step.text.startswith("snn-voice-lite "):
            said = made.run(made.program("snn-voice-lite"), *step.text.split()[1:])
            if "yes 1.00" not in said:
                raise ReleaseError(f"{step.text} prints {said}")
    made.check_types("lite_user.py")
    return Tried(megabytes, seconds)


def check_hub(lite: Path, hub: Path, place: Path, python: str = sys.executable) -> str:
    """`snn-voice-hub`: Python, the command line, the service; offline, with what is bundled.

    Args:
        lite: The wheel of `snn-voice-lite`.
        hub: The package.
        place: A folder for its environment; made.
        python: The interpreter.

    Returns:
        How large it is.

    Raises:
        ReleaseError: It does not do what its README says.
    """
    made = Environment(place, python)
    made.install(lite, hub)
    readme = ROOT / "README.md"
    made.run(made.program("python"), "-c", _first_python(readme))
    classify = _shown(readme, "snn-voice classify examples --top-k 2")
    _expect(classify, made.run(made.program("snn-voice"), *classify.text.split()[1:]))
    if "resmel-snn" not in made.run(made.program("snn-voice"), "models"):
        raise ReleaseError("snn-voice models does not list the default")
    made.check_types("hub_user.py")
    made.run(made.program("python"), DOWNSTREAM / "hub_user.py", "yes.wav", "saved")
    megabytes = made.megabytes()
    made.install(lite, f"{hub}[serve]")
    asked = _shown(readme, "curl --data-binary @examples/yes.wav")
    with _served(made) as url:
        _expect(asked, _posted(f"{url}/classify", made.work / "yes.wav"))
    return f"{megabytes:,.0f} MB installed; {made.megabytes():,.0f} MB with the service"


@contextmanager
def _served(made: Environment) -> Iterator[str]:
    """`snn-voice serve`; gives its address, and ends it as an operator would."""
    words = [made.program("snn-voice"), "serve", "--port", "0", "--device", "cpu"]
    log = made.work / "serve.log"
    with log.open("w") as told:
        server = subprocess.Popen(
            words, cwd=made.work, env=made.variables, stdout=subprocess.PIPE, stderr=told, text=True
        )
    try:
        assert server.stdout is not None
        greeting = server.stdout.readline()  # empty where it has ended
        found = re.search(r"http://[\d.]+:\d+", greeting)
        if not found:
            raise ReleaseError(f"snn-voice serve says {greeting}\n{log.read_text()[-2000:]}")
        yield found[0]
        server.terminate()
        if server.wait(60):
            raise ReleaseError(f"snn-voice serve ended with {server.returncode}\n{log.read_text()[-2000:]}")
    finally:
        server.kill()
        server.communicate()


def _posted(url: str, sound: Path) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, sound.read_bytes()), timeout=60) as answer:
        return str(answer.read().decode())


def check_npm(package: Path, lite: Path, place: Path) -> str:
    """`@snn-voice/web` in Node, with the default model of `snn-voice-lite`.

    Args:
        package: The package.
        lite: The wheel of `snn-voice-lite`.
        place: A folder for it; made.

    Returns:
        What it hears.

    Raises:
        ReleaseError: It hears something else, or can't be laid into a page.
    """
    (place / "work").mkdir(parents=True)
    work = place / "work"
    (work / "package.json").write_text(json.dumps({"private": True, "type": "module"}))
    run("npm", "install", "--no-audit", "--no-fund", "--silent", package, cwd=work)
    (work / "model.onnx").write_bytes(opened(lite).files["snn_voice_lite/models/resmel-snn.onnx"])
    shutil.copy(EXAMPLES / "yes.wav", work)
    readme = (ROOT / "web" / "README.md").read_text("utf-8")
    (imported,) = re.findall(r'^import .* from "@snn-voice/web";$', readme, re.MULTILINE)
    (work / "first.js").write_text(_NODE % imported)
    ((best),) = json.loads(run("node", "first.js", cwd=work))
    if best["label"] != "yes" or best["score"] < 0.99:
        raise ReleaseError(f"@snn-voice/web says {best}")
    (work / "site").mkdir()
    run("npx", "--no-install", "snn-voice-web", "site", cwd=work)
    if not (work / "site" / "lib" / "snn-voice" / "index.js").exists():
        raise ReleaseError("npx snn-voice-web FOLDER laid nothing out")
    return f"hears {best['label']} in Node with {best['score']:.3f}"
