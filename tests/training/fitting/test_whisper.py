"""Whisper as a teacher: its files are checked, its heads answer to speakers that they did not hear."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_voice_hub as sv
from snn_voice_hub.training.clips.corpus import speaker
from snn_voice_hub.training.clips.data import Clips
from snn_voice_hub.training.fitting.answers import Answers
from snn_voice_hub.training.fitting.whisper import __main__ as command
from snn_voice_hub.training.fitting.whisper import encoder as encoders
from snn_voice_hub.training.fitting.whisper.encoder import Pinned, WhisperEncoder, log_mel
from snn_voice_hub.training.fitting.whisper.head import Learning, folds_of, pooled
from snn_voice_hub.training.fitting.whisper.transcript import Transcriber, text_of
from tests.training.helpers import tones

LEARNING = Learning(hidden=16, epochs=30, batch_size=16, dropout=0.1)
FILES = ("model.bin", "config.json", "vocabulary.txt")


class Pitch:
    """An encoder made up for tests: the loudness of eight bands, in six frames."""

    name = "a made-up ear"

    def __call__(self, waveforms: Tensor) -> Tensor:
        frames = waveforms[:, :15_360].unflatten(1, (6, 2560))
        power = torch.fft.rfft(frames).abs().square()[..., :1024].unflatten(2, (32, 32)).sum(3)
        return (power[..., :8] + 1e-4).log()


def spoken(count: int, seed: int = 0) -> Clips:
    """Tones of `count` speakers, each of whom says every word."""
    clips = tones(count, seed)
    names = [f"{word}/s{i % count}_nohash_0.wav" for i, word in enumerate(clips.labels)]
    return dataclasses.replace(clips, names=names)


def test_the_front_end_is_whispers() -> None:
    """A steady tone and silence; the values are those of the definition, computed with NumPy."""
    time = np.arange(16_000) / 16_000
    wave = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    found = log_mel(torch.from_numpy(wave)[None])[0]
    assert found.shape == (80, 100)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(wave[8000 - 200 : 8200] * window)) ** 2
    # Slaney's scale: linear up to 1 kHz, 15 mels there; the band whose triangle holds most of it.
    top = 15 + np.log(8) / (np.log(6.4) / 27)
    mels = np.linspace(0, top, 82)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
    bins = np.arange(201) * 40.0
    levels = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
        triangle = np.minimum(rising, falling).clip(0) * 2 / (high - low)
        levels.append(np.log10(max((power * triangle).sum(), 1e-10)))
    loudest = max(levels)
    # The frames at the ends hold an edge, which is as loud, but not louder in any band.
    wanted = (np.maximum(levels, loudest - 8) + 4) / 4
    assert int(found[:, 50].argmax()) == int(np.argmax(levels))
    assert np.allclose(found[:, 50].max(), wanted.max(), atol=1e-3)
    loud = np.array(levels) > loudest - 5
    assert np.allclose(found[:, 50].numpy()[loud], wanted[loud], atol=2e-3)
    assert torch.equal(log_mel(torch.zeros(1, 1600)), torch.full((1, 80, 10), -1.5))


def test_frames_are_pooled_by_parts_of_the_time() -> None:
    frames = torch.arange(12.0).view(1, 12, 1)
    assert pooled(frames).tolist() == [[0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 5.5, 11.0]]


def test_a_speaker_is_in_one_fold() -> None:
    names = [f"{word}/{i:x}_nohash_{n}.wav" for i in range(200) for word in ("yes", "no") for n in (0, 1)]
    folds = folds_of(names, 4)
    of_speaker = {(speaker(name), fold) for name, fold in zip(names, folds, strict=True)}
    assert len(of_speaker) == 200
    assert all(30 < [fold for _, fold in of_speaker].count(number) < 70 for number in range(4))


def test_a_wrong_label_is_not_learned_by_heart() -> None:
    """The head that answers to a clip did not hear its speaker, so that it says what it hears."""
    train = spoken(24)
    wrong = train.labels.index("yes")
    labels = [*train.labels]
    labels[wrong] = "no"
    train = dataclasses.replace(train, labels=labels)
    found = command.answered(Pitch(), train, spoken(5, seed=1), [tones(2, seed=2)], learning=LEARNING)
    assert found.labels == ["no", "up", "yes"]
    assert found.names[:72] == train.names
    assert found.log_probs.shape == (72 + 15 + 6, 3)
    assert torch.allclose(found.log_probs.exp().sum(1), torch.ones(93), atol=1e-4)
    assert found.right["val"] > 0.9
    assert int(found.log_probs[wrong].argmax()) == found.labels.index("yes")
    also = found.log_probs[87:].argmax(1).tolist()
    assert [found.labels[i] for i in also] == tones(2, seed=2).labels


def test_suspects_are_clips_whose_word_nobody_hears() -> None:
    clips = Clips(np.zeros((3, 1), np.int16), ["no", "no", "yes"], ["no/1.wav", "no/2.wav", "yes/1.wav"], [])
    answers = torch.tensor([[0.01, 0.99], [0.01, 0.5], [0.01, 0.99]]).log()
    found = command._suspects(clips, answers, torch.tensor([0, 0, 1]), ["no", "yes"])
    assert found == ["no/1.wav\t0.0100\tyes\t0.9900"]


def test_one_speaker_is_too_few() -> None:
    clips = tones(4)
    clips = dataclasses.replace(clips, names=[f"x/a_nohash_{i}.wav" for i in range(12)])
    with pytest.raises(sv.SnnVoiceError, match="too few speakers"):
        command.answered(Pitch(), clips, tones(1), learning=LEARNING)


# --- the files ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Whisper of one layer with random weights, whose digests are known here."""
    pytest.importorskip("ctranslate2")
    from ctranslate2.specs import whisper_spec

    rng = np.random.default_rng(0)
    width, words = 16, 50
    spec = whisper_spec.WhisperSpec(1, 2, 1, 2)

    def linear(layer: object, outputs: int, inputs: int, bias: bool = True) -> None:
        layer.weight = (0.3 * rng.standard_normal((outputs, inputs))).astype(np.float32)  # type: ignore[attr-defined]
        if bias:
            layer.bias = np.zeros(outputs, np.float32)  # type: ignore[attr-defined]

    def norm(layer: object) -> None:
        layer.gamma, layer.beta = np.ones(width, np.float32), np.zeros(width, np.float32)  # type: ignore[attr-defined]

    def attention(layer: object, joined: tuple[int, ...]) -> None:
        norm(layer.layer_norm)  # type: ignore[attr-defined]
        for one, parts in zip(layer.linear, joined, strict=True):  # type: ignore[attr-defined]
            linear(one, parts * width, width)

    def feed(layer: object) -> None:
        norm(layer.layer_norm)  # type: ignore[attr-defined]
        linear(layer.linear_0, 4 * width, width)  # type: ignore[attr-defined]
        linear(layer.linear_1, width, 4 * width)  # type: ignore[attr-defined]

    for conv, inputs in ((spec.encoder.conv1, 80), (spec.encoder.conv2, width)):
        conv.weight = (0.1 * rng.standard_normal((width, inputs, 3))).astype(np.float32)
        conv.bias = np.zeros(width, np.float32)
    spec.encoder.position_encodings.encodings = rng.standard_normal((1500, width)).astype(np.float32)
    norm(spec.encoder.layer_norm)
    attention(spec.encoder.layer[0].self_attention, (3, 1))
    feed(spec.encoder.layer[0].ffn)
    decoder = spec.decoder
    linear(decoder.embeddings, words, width, bias=False)
    decoder.position_encodings.encodings = np.zeros((448, width), np.float32)
    norm(decoder.layer_norm)
    attention(decoder.layer[0].self_attention, (3, 1))
    attention(decoder.layer[0].attention, (1, 2, 1))
    feed(decoder.layer[0].ffn)
    decoder.projection.weight = decoder.embeddings.weight
    decoder.scale_embeddings = False
    marks = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|nospeech|>"]
    tokens = [*marks, *(f"<{i}>" for i in range(words - len(marks)))]
    spec.register_vocabulary(tokens)
    spec.validate()
    path = tmp_path / "whisper"
    path.mkdir()
    spec.save(str(path))
    # Newer converters write JSON; those that the known models come from wrote a word a line.
    (path / "vocabulary.json").unlink()
    (path / "vocabulary.txt").write_text("".join(f"{token}\n" for token in tokens))
    digests = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in FILES}
    monkeypatch.setattr(encoders, "KNOWN", (Pinned("Whisper of a test", digests),))
    return path


def test_the_encoder_hears_the_second_of_a_clip(folder: Path) -> None:
    encoder = WhisperEncoder(folder)
    assert encoder.name == "Whisper of a test"
    waves = tones(4).batch(slice(None))
    frames = encoder(waves)
    assert frames.shape == (12, 60, 16)
    assert frames.isfinite().all()
    # A clip's frames do not depend on what else is in the batch, nor on zeros behind it.
    assert torch.allclose(frames[9:10], encoder(waves[9:10]), atol=1e-4)
    short = torch.nn.functional.pad(waves[:2, :8000], (0, 8000))
    assert torch.allclose(encoder(short), encoder(waves[:2, :8000]), atol=1e-5)


def test_the_decoder_writes_down_a_clip(folder: Path) -> None:
    write = Transcriber(folder)
    assert write.name == "Whisper of a test"
    wave = tones(1).batch(slice(None))[0]
    text = write(wave)
    assert re.fullmatch(r"(<\d+>)*", text)
    assert write(wave) == text
    for other in (wave[:1000], wave.repeat(3)):  # longer than what it hears at least
        assert re.fullmatch(r"(<\d+>)*", write(other))


def test_tokens_stand_for_bytes() -> None:
    assert text_of(["Ġhey", "Ġrobot", "."]) == "hey robot."
    assert text_of(["Ġcaf", "Ã©"]) == "café"
    assert text_of(["Ã"]) == "\ufffd"
    assert text_of([]) == ""


@pytest.mark.parametrize("name", FILES)
def test_other_files_are_refused(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(sv.CheckpointError, match=rf"{name} is not that of Whisper of a test: its SHA-256"):
        WhisperEncoder(folder)
    (folder / name).unlink()
    with pytest.raises(sv.CheckpointError, match=rf"{name} can't be read"):
        WhisperEncoder(folder)


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--whisper", str(tmp_path), "--data", str(tmp_path / "none"), "--out"]
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    for out, said in (("a.npz", "[teacher]"), ("a.txt", ".npz"), ("no/a.npz", "no folder")):
        with pytest.raises(SystemExit) as caught:
            command.main([*given, str(tmp_path / out)])
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_the_command_writes_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    clips = spoken(24)
    for name, wave in zip(clips.names, clips.waveforms, strict=True):
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "corpus" / name, wave, 16_000)
    monkeypatch.setattr(command, "WhisperEncoder", lambda folder, threads: Pitch())
    out, suspects = tmp_path / "answers.npz", tmp_path / "suspects.txt"
    given = ["--whisper", str(tmp_path), "--data", str(tmp_path / "corpus"), "--out", str(out)]
    command.main([*given, "--suspects", str(suspects)])
    said = capsys.readouterr().out
    assert "a made-up ear answers to 72 clips" in said
    answers = Answers.read(out)
    assert answers.name == "a made-up ear (answers.npz)"
    assert sorted(answers.names) == sorted(clips.names)
    assert answers.labels == ["no", "up", "yes"]
    assert suspects.read_text() == ""


def test_what_a_synthesiser_said_is_its_own_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    for folder, clips in (("corpus", spoken(24)), ("made", tones(1, seed=3))):
        for name, wave in zip(clips.names, clips.waveforms, strict=True):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / folder / name, wave, 16_000)
    monkeypatch.setattr(command, "WhisperEncoder", lambda folder, threads: Pitch())
    out = tmp_path / "answers.npz"
    given = ["--whisper", str(tmp_path), "--data", str(tmp_path / "corpus"), "--out", str(out)]
    command.main([*given, "--certain", str(tmp_path / "made")])
    assert "answers to 75 clips" in capsys.readouterr().out
    with np.load(out) as answers:
        last = np.exp(answers["log_probs"][-3:].astype(np.float64))
        labels = [name.split("/")[0] for name in answers["names"][-3:]]
    assert sorted(labels) == ["no", "up", "yes"]
    for row, label in zip(last, labels, strict=True):
        assert np.allclose(sorted(row), [0.025, 0.025, 0.95], atol=1e-3)
        assert row[["no", "up", "yes"].index(label)] > 0.9
    (tmp_path / "made" / "tree").mkdir()
    soundfile.write(tmp_path / "made" / "tree" / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(SystemExit):
        command.main([*given, "--certain", str(tmp_path / "made")])
    assert "'tree' is none of the words to learn" in capsys.readouterr().err
