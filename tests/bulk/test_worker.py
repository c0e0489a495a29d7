"""What a worker of bulk classification answers, without Ray around it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

pytest.importorskip("pyarrow", reason="the extra [ray] is not installed")

import fsspec
from pyarrow import fs

import snn_voice_hub as sv
from snn_voice_hub.bulk import worker
from snn_voice_hub.bulk.options import BulkOptions
from snn_voice_hub.bulk.output import Done, digest
from snn_voice_hub.bulk.run import CHUNK, chunks_of
from snn_voice_hub.bulk.sources import ClipEntry, Sources, find_sources
from snn_voice_hub.bulk.worker import Assignment, Watch, Worker, pack, pack_error, rows, unpack
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.hub.checkpoints import resolve
from tests.places import EXAMPLES


def test_chunks_leave_out_what_is_done(tmp_path: Path) -> None:
    for i in range(CHUNK + 10):
        (tmp_path / f"{i:04}.wav").touch()
    sources = find_sources([str(tmp_path)])
    done = Done(digest(f"{tmp_path}/0003.wav") + digest(f"{tmp_path}/0005.wav"))
    sizes = [len(chunk["clips"][0]) for chunk in chunks_of(sources, 0, done)]
    assert sizes == [CHUNK, 8]


def work(arguments: list[str], **options: Any) -> Assignment:
    usual = {"top_k": 2, "device": "cpu", "engine": "torch", "batch_size": 4}
    return Assignment(b"", b"", find_sources(arguments), BulkOptions(**(usual | options)))


def listed(sources: Sources) -> list[tuple[int, ClipEntry]]:
    return [(index, entry) for index in range(len(sources.items)) for entry in sources.entries(index)]


def clips(job: Assignment) -> list[tuple[int, ClipEntry]]:
    return listed(job.sources)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Good and bad files."""
    for path in EXAMPLES.glob("*.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bad.wav").write_text("no sound")
    (tmp_path / "empty.flac").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes((EXAMPLES / "yes.wav").read_bytes()[:3000])
    return tmp_path


def check_rows(found: list[dict[str, Any]], folder: Path, voice: sv.SnnVoice) -> None:
    """Rows are what `classify` answers."""
    assert sorted(row["path"].rpartition("/")[2] for row in found) == sorted(p.name for p in folder.iterdir())
    for row in found:
        name = row["path"].rpartition("/")[2]
        answer = voice.classify([folder / name], top_k=2, on_error="return")[0]
        if isinstance(answer, sv.AudioError):
            assert row["error_code"] == answer.code
            assert name in row["error_message"]
            assert (row["label"], row["score"], row["predictions"]) == (None, None, None)
        else:
            assert (row["error_code"], row["error_message"]) == (None, None)
            assert [p["label"] for p in row["predictions"]] == [p.label for p in answer]
            scores = [p["score"] for p in row["predictions"]]
            assert scores == pytest.approx([p.score for p in answer], abs=1e-4)
            assert (row["label"], row["score"]) == (answer[0].label, scores[0])


@pytest.mark.parametrize("scheme", ["", "memory"])
def test_rows_equal_classify_and_errors_stay_with_their_clip(
    sounds: Path, default_model: sv.SnnVoice, scheme: str
) -> None:

    source = str(sounds)
    if scheme:
        store = fsspec.filesystem(scheme)
        store.put(f"{sounds}/", "/bucket/deep/", recursive=True)
        source = "memory://bucket/deep"
    job = work([source])
    found = rows(default_model, job, clips(job))
    assert unpack(pack(found)).equals(found)
    check_rows(found.to_pylist(), sounds, default_model)
    if scheme:
        assert all(row["path"].startswith("memory://bucket/deep/") for row in found.to_pylist())


def test_no_word_is_an_empty_list(default_model: sv.SnnVoice) -> None:
    job = work([str(EXAMPLES / "yes.wav")], min_score=0.9999999)
    (row,) = rows(default_model, job, clips(job)).to_pylist()
    assert (row["label"], row["predictions"], row["error_code"]) == (None, [], None)


def test_words_only(default_model: sv.SnnVoice, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, [0.0] * 16_000, 16_000)
    (row,) = rows(default_model, job := work([str(silence)]), clips(job)).to_pylist()
    assert row["label"] == "_silence_"
    (row,) = rows(default_model, job := work([str(silence)], words_only=True), clips(job)).to_pylist()
    wanted = default_model.classify(silence, top_k=2, words_only=True)
    assert [p["label"] for p in row["predictions"]] == [p.label for p in wanted]
    assert row["label"] == wanted[0].label


def test_uris_are_named_and_read_as_what_they_are(sounds: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put(f"{sounds}/", "/words/", recursive=True)
    one = find_sources(["memory://words/yes.wav"])
    assert [entry.name for _, entry in listed(one)] == ["memory://words/yes.wav"]
    few = find_sources(["memory://words/*o*.wav"])
    assert [entry.name for _, entry in listed(few)] == [
        f"memory://words/{name}.wav" for name in ("go", "no", "stop")
    ]
    with pytest.raises(SnnVoiceError, match="does not exist"):
        find_sources(["memory://words/none"])
    with pytest.raises(SnnVoiceError, match="can't be opened"):
        find_sources(["nothing://words"])


def test_a_file_that_vanishes_or_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = fs.LocalFileSystem()
    gone = worker.fetch(disk, ClipEntry("s3://b/gone.wav", b"/nowhere/gone.wav"))
    assert isinstance(gone, sv.AudioError)
    assert (gone.code, gone.message) == ("not_found", "s3://b/gone.wav does not exist")
    path = EXAMPLES / "yes.wav"
    monkeypatch.setattr(worker, "_READ_AHEAD_BYTES", 100)
    opened = worker.fetch(disk, ClipEntry("s3://b/yes.wav", os.fsencode(path)))
    assert not isinstance(opened, bytes | str | sv.AudioError)
    assert sv.audio.load(opened).equal(sv.audio.load(path))


class _Breaks:
    """A model that fails on clips of some names, and on lists with one of them."""

    def __init__(self, voice: sv.SnnVoice, *names: str) -> None:
        self.voice, self.names = voice, names

    def classify_each(self, found: Any, **options: Any) -> Any:
        listed = list(found)
        if any(Path(path).stem in self.names for path in listed):
            raise RuntimeError("out of luck")
        return self.voice.classify_each(listed, **options)


def test_a_clip_that_breaks_the_program_costs_only_itself(default_model: sv.SnnVoice) -> None:
    job = work([str(EXAMPLES)])
    found = rows(_Breaks(default_model, "no", "go"), job, clips(job)).to_pylist()  # type: ignore[arg-type]
    failed = {Path(row["path"]).stem: row["error_message"] for row in found if row["error_code"] == "failed"}
    assert set(failed) == {"no", "go"}
    assert all("RuntimeError: out of luck" in message for message in failed.values())
    assert all(row["label"] == Path(row["path"]).stem for row in found if row["error_code"] is None)


def test_a_fault_of_ours_is_no_row(default_model: sv.SnnVoice) -> None:
    job = work([str(EXAMPLES)])
    every = [path.stem for path in EXAMPLES.glob("*.wav")]
    with pytest.raises(SnnVoiceError, match="no clip can be classified: RuntimeError: out of luck"):
        rows(_Breaks(default_model, *every), job, clips(job))  # type: ignore[arg-type]


def test_a_clip_that_ends_workers_becomes_a_row(tmp_path: Path) -> None:
    """What a worker does in its second and third life, without its deaths."""

    checkpoint = resolve("tcy-snn")
    job = work([str(EXAMPLES)])
    job = Assignment(
        checkpoint.config.read_bytes(), checkpoint.weights.read_bytes(), job.sources, job.options
    )
    watch = Watch()
    (chunk,) = chunks_of(job.sources, 0, Done())
    lives = [unpack(Worker(lambda: job, watch.begin)(chunk)).to_pylist() for _ in range(4)]
    for life in lives[:3]:
        assert [row["path"] for row in life] == [row["path"] for row in lives[0]]
        assert [row["label"] for row in life] == [row["label"] for row in lives[0]]
        assert {row["error_code"] for row in life} == {None}
    assert {row["error_code"] for row in lives[3]} == {"crashed"}


def test_an_error_travels_with_its_hint() -> None:
    packed = pack_error(SnnVoiceError("no", hint="yes", code="some"))
    with pytest.raises(SnnVoiceError) as found:
        unpack(packed)
    assert (found.value.message, found.value.hint, found.value.code) == ("no", "yes", "some")
    job = work([str(EXAMPLES)], device="mps")
    checkpoint = resolve("tcy-snn")
    job = Assignment(
        checkpoint.config.read_bytes(), checkpoint.weights.read_bytes(), job.sources, job.options
    )
    (chunk,) = chunks_of(job.sources, 0, Done())
    if not torch.backends.mps.is_available():
        with pytest.raises(SnnVoiceError, match="mps"):
            unpack(Worker(lambda: job, Watch().begin)(chunk))
