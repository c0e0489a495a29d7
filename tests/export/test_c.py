"""Networks on frames as C99 in integers: built with a compiler, and held against Python."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import snn_voice_hub as sv
from snn_voice_hub.audio import load
from snn_voice_hub.config import DetectionConfig
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.export.agreement import signals
from snn_voice_hub.export.c.files import export_c
from snn_voice_hub.export.c.widths import APART, distance, layer_count, measured_width, rounded
from snn_voice_hub.features import Features
from snn_voice_hub.models.architectures.tempo import Shape
from snn_voice_hub.models.framed import FramedSNN
from tests.export.helpers import LABELS, config_of
from tests.models.lively import lively, stir
from tests.places import EXAMPLES
from tests.slowness import mostly_slow

GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="no gcc")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror")
CLIPS = sorted(EXAMPLES.glob("*.wav"))

Pcm = npt.NDArray[np.int16]


def built(folder: Path, *flags: str, name: str = "listen") -> Path:
    sources = sorted(path.name for path in folder.glob("*.c"))
    subprocess.run([str(GCC), *FLAGS, *(flags or ("-O1",)), *sources, "-o", name], cwd=folder, check=True)
    return folder / name


def heard(program: Path, pcm: Pcm, *options: str) -> list[list[str]]:
    done = subprocess.run(
        [str(program), *options], input=pcm.astype("<i2").tobytes(), capture_output=True, check=True
    )
    assert done.stderr == b""
    return [line.split() for line in done.stdout.decode().splitlines()]


def examples() -> dict[str, Pcm]:
    found = {}
    for path in CLIPS:
        found[path.stem] = second_of(path)
    return found


def second_of(path: Path) -> Pcm:
    wave = (load(path).numpy() * 32768).round().clip(-32768, 32767).astype(np.int16)
    return np.pad(wave, (0, 16_000))[:16_000]


@pytest.fixture(scope="module")
def tempo() -> sv.SnnVoice:
    return sv.SnnVoice.from_pretrained("tempo-snn", engine="torch")


@pytest.fixture(scope="module")
def folder(tempo: sv.SnnVoice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled network."""
    target = tmp_path_factory.mktemp("c") / "tempo"
    export_c(tempo.network, tempo.config, target)
    built(target)
    return target


@needs_gcc
@pytest.mark.parametrize(
    ("options", "near"),
    mostly_slow(
        [({}, 0.004), ({"int8": True}, 0.006), ({"int8": True, "wide_layers": 0}, 0.02)],
        ({"int8": True}, 0.006),
    ),
)
def test_clips_have_the_words_of_python(
    tempo: sv.SnnVoice, folder: Path, options: dict[str, Any], near: float, tmp_path: Path
) -> None:
    if options:
        folder = tmp_path / "small"
        export_c(tempo.network, tempo.config, folder, **options)
        built(folder)
    clips = examples()
    found = heard(folder / "listen", np.concatenate(list(clips.values())), "--clip")
    assert len(found) == len(clips) >= 8
    apart = []
    for (word, pcm), (label, score, *others) in zip(clips.items(), found, strict=True):
        best = tempo.classify(pcm.astype(np.float32) / 32768, sample_rate=16_000)[0]
        assert label == best.label == word
        apart.append(abs(float(score) - best.score))
        assert len(others) == 4
        assert float(score) >= float(others[1]) >= float(others[3])
    # A spike more or less moves some of them further.
    assert np.median(apart) < near


@needs_gcc
def test_a_stream_has_the_words_of_python(tempo: sv.SnnVoice, folder: Path) -> None:
    generator = np.random.default_rng(0)
    parts: list[Pcm] = []
    for i, pcm in enumerate(examples().values()):
        # Digital silence, in which the network comes to rest, and a room.
        pause = np.zeros(24_000) if i % 3 == 0 else generator.normal(0, 20, 3_000 + 777 * i)
        parts += [pause.astype(np.int16), pcm]
    pcm = np.concatenate(parts)
    stream = tempo.stream(sample_rate=16_000)
    events = [*stream.feed(pcm), *stream.flush()]
    found = heard(folder / "listen", pcm)
    assert [label for _, label, _ in found] == [event.label for event in events]
    # Where a share is near its threshold, a word may be known a hop earlier or later.
    apart = [abs(float(time) - event.time) for (time, *_), event in zip(found, events, strict=True)]
    assert max(apart) < 0.11
    assert sum(each < 0.01 for each in apart) >= len(events) - 2
    assert len(found) >= 7
    assert heard(folder / "listen", pcm[:0]) == []


@needs_gcc
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng")
def test_words_of_a_synthesiser(tempo: sv.SnnVoice, folder: Path, tmp_path: Path) -> None:
    clips = []
    for word in ("seven", "house", "happy", "six", "marvin", "tree"):
        subprocess.run(["espeak-ng", "-w", str(tmp_path / "said.wav"), word], check=True)
        clips.append(second_of(tmp_path / "said.wav"))
    found = heard(folder / "listen", np.concatenate(clips), "--clip")
    for pcm, (label, *_) in zip(clips, found, strict=True):
        assert label == tempo.classify(pcm.astype(np.float32) / 32768, sample_rate=16_000)[0].label


@needs_gcc
def test_nothing_undefined_happens(tmp_path: Path) -> None:
    network = lively("MicroSNN", num_classes=7)
    export_c(network, config_of(network), tmp_path / "c", int8=True)
    program = built(tmp_path / "c", "-g", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover")
    loud = np.where(np.arange(32_000) // 37 % 2, 32_767, -32_768).astype(np.int16)
    assert len(heard(program, loud, "--clip")) == 2
    heard(program, np.concatenate([loud, np.zeros(40_001, np.int16), loud[:123]]))


@needs_gcc
def test_neither_heap_nor_floats(folder: Path) -> None:
    for path in folder.glob("*.[ch]"):
        code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        assert not re.search(r"\b(float|double|malloc|math\.h)\b", code), path.name
        if path.suffix == ".c" and path.name not in ("main.c", "model.c"):  # which has tables alone
            subprocess.run([str(GCC), *FLAGS, "-O2", "-c", path.name], cwd=folder, check=True)
            told = subprocess.run(["nm", "-u", f"{path.stem}.o"], cwd=folder, capture_output=True, check=True)
            wanted = {name.split()[-1] for name in told.stdout.decode().splitlines()}
            ours = {name for name in wanted if name.startswith("snn_")}
            assert wanted - ours <= {"memcpy", "memset", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


@needs_gcc
def test_the_readme_tells_what_it_takes(tmp_path: Path) -> None:
    network = lively("MicroSNN", num_classes=7)
    made = export_c(network, config_of(network), tmp_path / "c", int8=True, wide_layers=0)
    text = (tmp_path / "c" / "README.md").read_text()
    (tmp_path / "c" / "main.c").write_text('#include "snn_voice.h"\nchar size[sizeof(SnnVoice)];\n')
    subprocess.run([str(GCC), "-c", "main.c", "model.c"], cwd=tmp_path / "c", check=True)
    told = subprocess.run(["nm", "-S", "main.o"], cwd=tmp_path / "c", capture_output=True, check=True)
    assert int(told.stdout.split()[1], 16) == made.cost.ram
    assert f"| {made.cost.ram:,} bytes |" in text
    assert f"| weights, 8 bits each | {made.cost.weights:,} bytes |" in text.replace("  ", "")
    assert made.cost.weights == 56 * (7 * 40 + 8 * 3 * 56 + 7)
    # What a microcontroller of 256 KiB and 64 KiB has room for.
    assert made.cost.weights + made.cost.tables < 120_000
    assert made.cost.ram < 16_384
    assert 0 < made.cost.measured < made.cost.dense


@needs_gcc
@pytest.mark.parametrize(
    ("shapes", "arguments"),
    [
        ((Shape(24, 1, 1), Shape(33, 2, 4), Shape(70, 1, 1)), {}),
        pytest.param(
            (Shape(24, 1, 2),), {"reset": "subtract-before-decay", "beta": 0.8}, marks=pytest.mark.slow
        ),
        pytest.param(
            (Shape(40, 1, 1),),
            {"beta_per_channel": True, "learn_beta": True, "beta": 0.9},
            marks=pytest.mark.slow,
        ),
        ((Shape(24, 1, 1),), {"beta": 1.0, "threshold": 0.7}),
        pytest.param((Shape(24, 3, 1),), {"beta": 0.75, "num_steps": 13}, marks=pytest.mark.slow),
    ],
)
def test_networks_of_other_shapes(
    shapes: tuple[Shape, ...], arguments: dict[str, Any], tmp_path: Path
) -> None:
    class Shaped(sv.TempoSNN):
        stem_shape = (24, 5, 2)
        block_shapes = shapes

    network = stir(Shaped(7, **arguments)).eval()
    config = config_of(stir(sv.TempoSNN(7, **arguments)))
    made = export_c(network, config, tmp_path / "c")
    assert made.compared is not None
    assert made.compared.same >= 25
    program = built(tmp_path / "c")
    # Not the best labels alone.
    waves = signals(config.features)[:6]
    pcm = (waves * 32768).round().clamp(-32768, 32767).to(torch.int16)
    with torch.no_grad():
        features = sv.SnnVoice(network, labels=LABELS).features(pcm.float() / 32768)
        scores = network(features).softmax(1).max(1).values
    found = [float(line[1]) for line in heard(program, pcm.numpy().flatten(), "--clip")]
    assert np.median(np.abs(np.array(found) - scores.numpy())) < 0.01


def rounded_to(network: FramedSNN, wide: int, features: torch.Tensor) -> float:
    with torch.no_grad():
        return distance(rounded(network, wide)(features), network(features))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tempo-snn", "MicroSNN"])
def test_as_few_layers_as_possible_keep_16_bits(tempo: sv.SnnVoice, name: str) -> None:
    """The bundled network, and one for microcontrollers with weights that were drawn."""
    network = tempo.network if name == "tempo-snn" else lively(name, num_classes=7)
    assert isinstance(network, FramedSNN)
    config = tempo.config if name == "tempo-snn" else config_of(network)
    features = Features(config.features)(signals(config.features))
    wide, count = measured_width(network, config), layer_count(network)
    assert 0 < wide < count
    assert rounded_to(network, wide, features) <= APART < rounded_to(network, wide - 1, features)
    # All of them in 16 bits is the network but for spikes at their threshold, none of them is farthest.
    assert rounded_to(network, count, features) < APART < 1.5 * rounded_to(network, 0, features)


@pytest.mark.slow
@needs_gcc
def test_weights_of_two_sizes(tmp_path: Path) -> None:
    network = lively("MicroSNN", num_classes=7)
    config = config_of(network)
    made = export_c(network, config, tmp_path / "c", int8=True, wide_layers=2)
    assert (made.layers, made.wide) == (10, 2)
    assert made.cost.weights == 2 * 56 * (7 * 40 + 3 * 56) + 56 * (7 * 3 * 56 + 7)
    text = (tmp_path / "c" / "model.c").read_text()
    kinds = re.findall(r"const (int\d+)_t (?:weights_\d_\d|snn_head_weights)\[\]", text)
    assert kinds == ["int16"] * 2 + ["int8"] * 8
    assert "| weights, 16 bits in the first 2 of 10 layers, 8 in the others |" in (
        tmp_path / "c" / "README.md"
    ).read_text().replace("  ", "")
    assert made.compared is not None
    assert made.compared.same >= 25
    program = built(tmp_path / "c", "-g", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover")
    assert len(heard(program, np.full(16_000, 9_999, np.int16), "--clip")) == 1
    for wide in (-1, 11):
        with pytest.raises(ConfigError, match=f"wide_layers={wide} is not legal"):
            export_c(network, config, tmp_path / "none", int8=True, wide_layers=wide)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
@needs_gcc
def test_sums_over_features_have_the_bits_that_they_need(tmp_path: Path) -> None:
    class Long(sv.TempoSNN):
        """40 bands and 13 taps: too many products of 8 and 16 bits for 32."""

        stem_shape = (24, 13, 2)
        block_shapes = (Shape(24, 1, 1),)

    sums = []
    for cls in (sv.MicroSNN, Long):
        network = stir(cls(7)).eval()
        conv = network.stem.conv.weight.data
        conv.copy_(conv.sign() * 0.05)  # all of them as large as the largest
        export_c(
            network, config_of(lively("MicroSNN", num_classes=7)), tmp_path / "c", int8=True, wide_layers=0
        )
        sums += re.findall(r"typedef (\w+) snn_feature_sum;", (tmp_path / "c" / "model.h").read_text())
    assert sums == ["int32_t", "int64_t"]


@needs_gcc
def test_what_stands_in_the_configuration(tmp_path: Path) -> None:
    """Thresholds of single words, labels of any text, and a model without an operating point."""
    network = lively("MicroSNN", num_classes=3)
    labels = ['say "a\\b??/"', "größe", "_silence_"]
    config = dataclasses.replace(config_of(network, labels), temperature=0.5, name="a */ name")
    tuned = DetectionConfig(threshold=0.25, thresholds={"größe": 1.0}, smoothing=0.4, hop=0.2)
    export_c(network, config, tmp_path / "untuned")
    export_c(network, dataclasses.replace(config, detection=tuned), tmp_path / "tuned")
    texts = {name: (tmp_path / name / "model.h").read_text() for name in ("untuned", "tuned")}
    assert "#define SNN_TOGETHER 3u" in texts["untuned"]
    assert "#define SNN_TOGETHER 2u\n#define SNN_APART 5u" in texts["tuned"]
    assert "#define SNN_HOP_SAMPLES 3200u" in texts["tuned"]
    assert "SNN_KNOWS_OTHERS 0u" in texts["tuned"]
    assert "{\n    8192, 32768\n}" in (tmp_path / "tuned" / "model.c").read_text()
    told = heard(built(tmp_path / "tuned"), np.zeros(16_000, np.int16), "--clip")
    assert {"größe", "_silence_"} < set(told[0])


# --- on a Cortex-M4 -----------------------------------------------------------------------------------

ARM, QEMU = shutil.which("arm-none-eabi-gcc"), shutil.which("qemu-system-arm")


@pytest.mark.skipif(not (ARM and QEMU), reason="no arm-none-eabi-gcc, or no qemu-system-arm")
def test_a_cortex_m4_hears_the_same(tempo: sv.SnnVoice, folder: Path, tmp_path: Path) -> None:
    board = EXAMPLES / "cortex_m4"
    sources = [str(path) for path in (*folder.glob("*.c"), *board.glob("*.c")) if path.name != "main.c"]
    flags = ("-O2", "-mcpu=cortex-m4", "-mthumb", "-nostartfiles", "--specs=rdimon.specs", f"-I{folder}")
    program = tmp_path / "listen.elf"
    link = ("-T", str(board / "mps2_an386.ld"), "-o", str(program))
    subprocess.run([str(ARM), *FLAGS, *flags, *sources, *link], check=True)
    pause = np.zeros(8_000, np.int16)
    pcm = np.concatenate([pause, second_of(EXAMPLES / "yes.wav"), pause])
    machine = ("-M", "mps2-an386", "-icount", "shift=0", "-display", "none")
    streams = ("-semihosting-config", "enable=on,target=native")
    done = subprocess.run(
        [str(QEMU), *machine, *streams, "-kernel", str(program)],
        input=pcm.astype("<i2").tobytes(),
        capture_output=True,
        check=True,
        timeout=100,
    )
    said, steps, ram = done.stdout.decode().splitlines()
    assert said.split() == heard(folder / "listen", pcm)[0][:2]
    assert re.match(r"100 steps, \d+ thousand instructions in the mean", steps)
    assert ram.startswith("17456 bytes")
