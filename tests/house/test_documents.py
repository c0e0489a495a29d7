"""Every Python and shell block of the documents runs, from top to bottom, as a reader would type it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import typer.main

from snn_voice_hub.cli import app
from snn_voice_hub.hub.bundled import bundled_names, bundled_root
from snn_voice_hub.training.voices.programs import Espeak, Flite
from tests.house.document_helpers import Step, driver, steps, tells, words_of
from tests.hub.legacy import writer as legacy_writer
from tests.nursery import nursery
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox
from tests.slowness import mostly_slow

# What a machine that runs tests lacks, or what takes too long, by how the line begins. Options of `snn-voice`
# are looked up all the same.
NOT_RUN = {
    "make test": "runs the tests",
    "make coverage": "runs all tests",
    "make sanitize": "takes minutes; tests/inference/engines/test_generated_networks.py runs a slice",
    "make fuzz": "takes minutes; tests/robustness tries a slice of it",
    "make mutants": "takes an hour; tests/mutants tries what it is made of",
    "make release": "builds and installs for minutes; tests/release does parts of it",
    "python -m tests.release": "writes a version; tests/release does, into copies",
    "make words": "tests/training/clips/test_words.py does; here a smaller set stands in for it",
    ".venv/bin/pre-commit": "installs hooks",
    "pip install": "installs",
    "sudo apt-get": "installs",
    "python3 -m venv": "installs; tests/lite/test_alone.py does",
    "pip wheel": "builds all anew; tests/release does",
    "hf repos create": "needs an account of the real Hub",
    "hf upload": "needs an account of the real Hub",
    "pip download": "fetches 70 MB",
    "unzip -j": "unpacks them",
    "LD_PRELOAD=": "needs that library, and trains for hours",
    "npm": "fetches packages; tests/web_package lays the page out",
    "python -m http.server": "serves until it is stopped",
    "hf auth login": "asks for a password of the real Hub",
    "docker": "needs Docker",
    "GRAFANA_PASSWORD": "needs Docker",
    "cd server/deploy": "only for Docker",
    "kubectl": "needs a cluster",
    "curl -X POST": "needs a key; tests/server has it",
    "curl --data-binary @takes.zip": "trains; tests/server/http/test_teach.py has a small stand-in for that",
    "curl http://127.0.0.1:8000/teach": "needs a service that teaches, as above",
    'curl --data-binary @yes.wav "http://127.0.0.1:8000/classify?model=lumos"': "needs what that made",
    "curl -X DELETE": "needs a training that runs",
    'curl -H "Authorization': "needs an endpoint of Hugging Face",
    'python -c "from handler': "tests/hub/test_handler.py does",
    "python -m snn_voice_hub.native": "compiles for minutes; tests/native/test_ready.py does",
    "python -m snn_voice_hub.training": "speaks 7,000 words, or needs a corpus",
    "unshare": "needs rights that not every machine gives; tests/server/on_ray does",
    "serve deploy": "needs a Ray cluster",
    "serve run": "starts Ray; tests/server/on_ray does",
    "snn-voice serve --ray": "starts Ray; tests/server/on_ray does",
    "snn-voice classify s3://": "needs S3",
    "snn-voice classify recordings s3://": "needs S3",
    "arecord": "needs a microphone",
    "gcc": "needs gcc; tests/export/test_c.py",
    "cd tempo-snn-c": "needs a compiler for ARM; tests/export/test_c.py",
    "qemu-system-arm": "needs QEMU; tests/export/test_c.py",
    "ffmpeg": "is not on every machine; tests/cli/test_listen.py has pipes",
    "snn-voice listen  ": "needs a microphone; tests/cli/test_listen.py has one that is none",
    "snn-voice listen --list-devices": "needs a microphone",
    "snn-voice listen --words": "needs a microphone",
    "snn-voice listen --model runs/robot": "needs a microphone",
    "snn-voice negatives": "fetches 200 MB",
    "snn-voice voices": "fetches 120 MB",
    "snn-voice teach": "takes minutes; tests/training/lessons and tests/cli do for seconds",
    "snn-voice listen --model runs/mine": "needs a microphone; tests/cli/test_saving.py has one that is none",
    "snn-voice record": "needs a microphone; tests/cli/test_record.py has one that is none",
    "snn-voice serve --device cuda": "needs a GPU",
    "python -m wyoming_satellite": "needs a microphone",
    "python examples/stream_client.py": "tests/server/process/test_streams.py runs it",
    "flite": "is how the examples were made",
    "echo seven": "is how the examples were made",
    "$train": "trains for hours",
    "snn-voice reproduce": "trains for days",
    'snn-voice synthesize "hey robot" lumos': "speaks for minutes; the tutorial and tests/cli do for seconds",
    "snn-voice train --from resmel-snn --data said": "learns from what that made",
    "snn-voice train --from runs/robot": "goes on from what teach made; tests/cli/test_train.py has it",
    "snn-voice train --from resmel-snn --data own": "trains on hours of other speech",
    "snn-voice evaluate runs/own": "measures what that made",
}
# Of those, what trains from scratch: on `corpus`.
NEEDS = re.compile(r"--data (corpus|DIR)\b")
NO_GPU = re.compile(r"device='cuda'")
# Added to commands, so that they take seconds.
BRIEFLY = {
    "train": ["--epochs", "1", "--threads", "1"],
    "evaluate": ["--quick"],
    "synthesize": ["--count", "6", "--neighbours", "6"],
}


def bundled(folder: Path) -> None:
    """What is in a clone."""
    shutil.copytree(ROOT / "examples", folder / "examples")


def corpus(folder: Path, words: tuple[str, ...]) -> None:
    axis = np.arange(16_000) / 16_000
    for pitch, word in enumerate(words, 1):
        (folder / word).mkdir(parents=True)
        for n in range(8):
            wave = 0.3 * np.sin(2 * np.pi * (200 * pitch + 5 * n) * axis)
            sf.write(folder / word / f"anna{n}_nohash_0.wav", wave, 16_000)


def labelled(folder: Path) -> None:
    """The examples as a small `words.tar`, and as the folder `clips`."""
    for clip in (ROOT / "examples").glob("*.wav"):
        (folder / "clips" / clip.stem).mkdir(parents=True)
        shutil.copy(clip, folder / "clips" / clip.stem)
    shutil.make_archive(str(folder / "words"), "tar", folder / "clips")


def heard(folder: Path) -> None:
    """What a user sorted: clips that were taken for a word, and clips of a word that was not heard."""
    shutil.copytree(folder / "my_words" / "lumos", folder / "feedback" / "false")
    shutil.copytree(folder / "my_words" / "nox", folder / "feedback" / "missed" / "nox")


def before_energy(folder: Path, hub: Sandbox) -> None:
    bundled(folder)
    labelled(folder)


def before_readme(folder: Path, hub: Sandbox) -> None:
    bundled(folder)
    corpus(folder / "my_words", ("lumos", "nox"))
    heard(folder)
    shutil.copy(folder / "my_words" / "lumos" / "anna0_nohash_0.wav", folder / "lumos.wav")
    labelled(folder)
    made = legacy_writer.network("PiczakSNN", num_steps=15)
    run = "experiments/multirun/2023-01-05/++model.snn.n_steps=15/lightning_logs/version_0/checkpoints/x.ckpt"
    written = legacy_writer.write(made, folder / "piczak.ckpt", moments=False)
    hub.push("Eve-ning/snn_voice", {"README.md": "---\nlicense: mit\n---\n", run: written})
    legacy_writer.write(legacy_writer.network("TcySNN", num_steps=3), folder / "run.ckpt")
    checkpoint = {path.name: path for path in (bundled_root() / "tcy-snn").iterdir()}
    hub.push("me/words", checkpoint, private=True)
    hub.api().create_tag("me/words", tag="v1.0")


def before_training(folder: Path, hub: Sandbox) -> None:
    corpus(folder / "my_words", ("lumos", "nox"))
    heard(folder)
    shutil.copy(folder / "my_words" / "lumos" / "anna0_nohash_0.wav", folder / "someone_says_lumos.wav")


def before_service(folder: Path, hub: Sandbox) -> None:
    sound, rate = sf.read(ROOT / "examples" / "yes.wav")
    for name in ("yes.wav", "a.wav", "b.ogg", "long.flac"):
        sf.write(folder / name, np.tile(sound, 4 if name == "long.flac" else 1), rate)


def before_scaling(folder: Path, hub: Sandbox) -> None:
    if find_spec("pandas"):
        import pandas

        pandas.DataFrame({"path": ["a"], "label": ["yes"]}).to_parquet(folder / "words.parquet")


def before_deployment(folder: Path, hub: Sandbox) -> None:
    shutil.copytree(bundled_root() / "tcy-snn", folder / "my-model")
    bundled(folder)


def before_card(folder: Path, hub: Sandbox) -> None:
    shutil.copy(ROOT / "examples" / "yes.wav", folder)


def before_publishing(folder: Path, hub: Sandbox) -> None:
    bundled(folder)
    legacy_writer.write(legacy_writer.network("TcySNN", num_steps=3), folder / "run.ckpt")


def clone(folder: Path, hub: Sandbox) -> None:
    bundled(folder)


EXPLANATIONS = ("false-alarms", "one-answer", "reset", "spiking")

# What the reader has before the first block, and whether a service is running already.
BEFORE: dict[str, tuple[Callable[[Path, Sandbox], None], bool]] = {
    "README.md": (before_readme, False),
    "CONTRIBUTING.md": (clone, False),
    "docs/README.md": (clone, False),
    "docs/deployment.md": (before_deployment, True),
    "docs/energy.md": (before_energy, False),
    "docs/engines.md": (clone, False),
    **{f"docs/explanation/{name}.md": (clone, False) for name in EXPLANATIONS},
    "docs/export.md": (clone, False),
    "docs/how-to/gpu.md": (clone, False),
    "docs/how-to/publish.md": (before_publishing, False),
    "docs/lite.md": (clone, False),
    "docs/microcontrollers.md": (clone, False),
    "docs/scaling.md": (before_scaling, False),
    "docs/service.md": (before_service, True),
    "docs/spikes.md": (clone, True),
    "docs/streaming.md": (clone, False),
    "docs/teach.md": (clone, False),
    "docs/training.md": (before_training, False),
    "docs/tutorial.md": (clone, False),
    "docs/web.md": (clone, False),
    "docs/wyoming.md": (clone, False),
    "examples/README.md": (clone, False),
    "examples/space/README.md": (clone, False),
    **{f"model_cards/{name}.md": (before_card, False) for name in ("m5-snn", "resmel-cnn")},
}
# Whose way another test goes, with what it needs installed.
ELSEWHERE = {"examples/own_network/README.md": "tests/house/test_own_network.py"}
# Their figures depend on the training, on other clips or on the machine.
NOT_COMPARED = {"docs/tutorial.md", "docs/training.md"}

# In `make test`: what a reader begins with.
QUICK = ("README.md", "docs/README.md")

# The README is the longest, and machines may be busy.
_SECONDS = 400


def reason_not_to_run(step: Step) -> str | None:
    if step.kind == "python":
        if NO_GPU.search(step.text):
            return "needs a GPU"
        return "needs the extra ray" if "pandas" in step.text and not find_spec("pandas") else None
    if NEEDS.search(step.text):
        return "trains for hours"
    return next((reason for start, reason in NOT_RUN.items() if step.text.startswith(start)), None)


def check_options(step: Step) -> None:
    """Whether the program knows the options of a command that is not run."""
    words = words_of(step.text.replace("$train", "snn-voice train"))
    name, *arguments = words[words.index("snn-voice") + 1 :] if "snn-voice" in words[:-1] else [""]
    command = typer.main.get_command(app).get_command(None, name)
    if command is None:
        assert words[0] != "snn-voice", step.text  # elsewhere it is an image, say
        return
    options = command.get_params(command.context_class(command))
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    unknown = {word.partition("=")[0] for word in arguments if word.startswith("--")} - known
    assert not unknown, step.text


@pytest.mark.timeout(_SECONDS + 30)
@pytest.mark.parametrize("name", mostly_slow(BEFORE, *QUICK))
def test_a_reader_who_types_it_all_succeeds(name: str, hub: Sandbox, tmp_path: Path) -> None:
    if name == "docs/tutorial.md":
        pytest.importorskip("wordfreq", reason="the extra synth is not installed")
        if not (Espeak().here and Flite().here):
            pytest.skip("needs espeak-ng and flite")
    if name in ("docs/wyoming.md", "docs/lite.md"):
        pytest.importorskip("wyoming", reason="the extra wyoming is not installed")
    prepare, service = BEFORE[name]
    prepare(tmp_path, hub)
    typed = steps((ROOT / name).read_text(encoding="utf-8"))
    assert typed
    run = [step for step in typed if reason_not_to_run(step) is None]
    for step in typed:
        if step not in run:
            check_options(step)
    before = [Step("command", "snn-voice serve")] if service else []
    program = driver([*before, *run], tmp_path, BRIEFLY)
    environment = hub.environment(home=tmp_path / "home", COLUMNS="120", NO_COLOR="1")
    (ended,) = nursery().run([program], environment, seconds=_SECONDS)
    ran = ended.value
    for step, (code, out) in zip([*before, *run], ran, strict=False):
        assert code == 0, f"{name}: {step.text}\n{out}"
        if name not in NOT_COMPARED:
            for line in step.shown:
                if not re.search(r"…|\.\.\.", line):
                    assert tells(out, line), f"{name}: {step.text}\ndoes not print\n{line}\nbut\n{out}"
    assert len(ran) == len(run) + len(before)


def test_no_document_is_forgotten() -> None:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    typed = {path.relative_to(ROOT).as_posix() for path in found if steps(path.read_text(encoding="utf-8"))}
    assert typed == {name for name in BEFORE if not name.startswith("model_cards")} | set(ELSEWHERE)
    assert all((ROOT / test).exists() for test in ELSEWHERE.values())


@pytest.mark.parametrize("name", bundled_names())
def test_the_commands_of_the_cards_have_legal_options(name: str) -> None:
    typed = steps((ROOT / "model_cards" / f"{name}.md").read_text(encoding="utf-8"))
    assert {step.kind for step in typed} == {"python", "command"}
    for step in typed:
        if step.kind == "command":
            check_options(step)
