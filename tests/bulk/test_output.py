"""The dataset of bulk classification: parts, the manifest, what is done already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="the extra [ray] is not installed")

from pyarrow import parquet as pq  # noqa: E402

from snn_voice_hub.bulk.output import SCHEMA, Done, Manifest, Output, digest  # noqa: E402
from snn_voice_hub.errors import SnnVoiceError  # noqa: E402


def manifest(**changes: Any) -> Any:
    content = {
        "model": "m",
        "checkpoint": {"weights_sha256": "1"},
        "options": {"top_k": 3, "min_score": None},
    }
    return Manifest(**(content | changes))


def table(*paths: str, code: str | None = None) -> Any:
    return pa.Table.from_pylist([{"path": path, "error_code": code} for path in paths], schema=SCHEMA)


def test_rows_are_there_for_the_next_run(tmp_path: Path) -> None:
    target = str(tmp_path / "new" / "out.parquet")
    first = Output(target, manifest())
    assert len(first.done()) == 0
    first.write(table("/a.wav", "/b.wav"))
    first.write(table("/c.wav", code="empty"))
    first.close()
    second = Output(target, manifest(model="the same by another name"))
    done = second.done()
    assert (len(done), done.errors) == (3, 1)
    assert ["/a.wav" in done, "/c.wav" in done, "/d.wav" in done] == [True, True, False]
    second.write(table("/d.wav"))
    second.close()
    whole = pq.read_table(target)  # the manifest is in nobody's way
    assert sorted(whole["path"].to_pylist()) == ["/a.wav", "/b.wav", "/c.wav", "/d.wav"]


def test_digests_that_end_in_zeros_differ() -> None:
    done = Done(b"ab" + bytes(14) + b"abc" + bytes(13) + bytes(16))
    assert len(done) == 3
    assert len(set(done._digests.tolist())) == 3


def test_every_name_of_many_is_found() -> None:
    names = [f"/{i}.wav" for i in range(3000)]
    assert any(digest(name).endswith(b"\0") for name in names)
    done = Done(b"".join(map(digest, names)))
    assert all(name in done for name in names)
    assert not any(f"s3:/{name}" in done for name in names)


def test_a_killed_runs_rest_does_not_count_and_goes(tmp_path: Path) -> None:
    target = tmp_path / "out"
    Output(str(target), manifest()).close()
    (target / ".part-1.parquet.part").write_bytes(b"half a file")
    output = Output(str(target), manifest())
    assert len(output.done()) == 0
    output.close()
    assert [path.name for path in target.iterdir()] == ["_snn_voice.json"]


def test_a_run_killed_before_its_manifest_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:

    (tmp_path / "._snn_voice.json.part").write_bytes(b"{")
    Output(str(tmp_path), manifest()).close()
    assert [path.name for path in tmp_path.iterdir()] == ["_snn_voice.json"]


def test_a_part_that_cannot_be_written_leaves_nothing_behind_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    output = Output(str(tmp_path / "out"), manifest())

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SnnVoiceError, match="No space left"):
        output.write(table("/a.wav"))
    monkeypatch.undo()
    assert len(output.done()) == 0
    output.write(table("/a.wav"))
    assert len(output.done()) == 1
    output.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": {"weights_sha256": "2"}, "model": "n"}, "holds answers of model m, this run has n"),
        ({"checkpoint": {"weights_sha256": "2"}}, "other weights or another configuration of m"),
        ({"options": {"top_k": 1, "min_score": None}}, "made with --top-k=3, this run has 1"),
        ({"options": {"top_k": 3, "min_score": 0.5}}, "made with --min-score=None, this run has 0.5"),
    ],
)
def test_another_model_or_other_options_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:

    Output(str(tmp_path / "out"), manifest()).close()
    with pytest.raises(SnnVoiceError, match=message):
        Output(str(tmp_path / "out"), manifest(**changes))
    Output(str(tmp_path / "out"), manifest()).close()  # the refusal keeps nobody out


def test_a_dataset_of_before_an_option_was_made_without_it(tmp_path: Path) -> None:
    Output(str(tmp_path / "out"), manifest()).close()
    without = {"top_k": 3, "min_score": None, "words_only": False}
    with pytest.raises(SnnVoiceError, match="made with --words-only=False, this run has True"):
        Output(str(tmp_path / "out"), manifest(options=without | {"words_only": True}))
    Output(str(tmp_path / "out"), manifest(options=without)).close()


def test_what_is_no_dataset_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SnnVoiceError, match="is a file"):
        Output(str(tmp_path / "file"), manifest())
    with pytest.raises(SnnVoiceError, match=r"is there already and has no _snn_voice\.json"):
        Output(str(tmp_path), manifest())
    with pytest.raises(SnnVoiceError, match="can't be opened"):
        Output(str(tmp_path / "file" / "out"), manifest())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    damaged = tmp_path / "damaged"
    for content in ("", "{}", "[]", '{"format": 1}', "\x00"):
        damaged.mkdir(exist_ok=True)
        (damaged / "_snn_voice.json").write_text(content)
        with pytest.raises(SnnVoiceError, match="damaged"):
            Output(str(damaged), manifest())


def test_a_part_that_was_damaged_is_named(tmp_path: Path) -> None:
    output = Output(str(tmp_path), manifest())
    (tmp_path / "part-1.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(SnnVoiceError, match=r"part-1.parquet is no readable part"):
        output.done()
    output.close()


def test_a_byte_of_a_part_that_changed_is_no_other_clip(tmp_path: Path) -> None:
    output = Output(str(tmp_path), manifest())
    output.write(table(*(f"clips/ä{number}.wav" for number in range(200))))
    (part,) = tmp_path.glob("part-*")
    content = part.read_bytes()
    # The rows; what follows describes them.
    for at in range(4, len(content) - pq.ParquetFile(part).metadata.serialized_size - 8, 17):
        part.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            done = output.done()
        except SnnVoiceError:
            continue
        assert len(done) == 200  # a page that is not read here, or nothing that counts
        assert all(f"clips/ä{number}.wav" in done for number in range(200))
    output.close()


def test_two_runs_do_not_write_at_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")

    first = Output(str(tmp_path / "out"), manifest())
    with pytest.raises(SnnVoiceError, match="another run is writing"):
        Output(str(tmp_path / "out"), manifest())
    first.close()
    Output(str(tmp_path / "out"), manifest()).close()
