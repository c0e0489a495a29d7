"""Lists of clips as other tools write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.training.clips.manifest import ManifestRow, read_manifest
from snn_voice_hub.training.measuring.held_out import load_test
from tests.training.clips.source_helpers import load, write

FILES = [f"sound/{n}.wav" for n in range(6)]
WORDS = ["yes", "no"] * 3
PARTS = ["train"] * 4 + ["test"] * 2


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., list[ManifestRow]]:
    write(tmp_path, *FILES)

    def read(text: str, name: str = "m.csv", encoding: str = "utf-8") -> list[ManifestRow]:
        (tmp_path / name).write_text(text, encoding=encoding)
        found, skipped = read_manifest(tmp_path / name)
        assert skipped == []
        assert [row.path.resolve() for row in found] == [tmp_path / file for file in FILES]
        return found

    return read


def sheet(columns: str, *cells: list[str], by: str = ",") -> str:
    return "\n".join([columns, *(by.join(row) for row in zip(FILES, WORDS, *cells, strict=True))]) + "\n"


@pytest.mark.parametrize(
    "columns",
    [
        *(
            "path,label",
            "file_name,label",
            "filename,category",
            "file,class",
            "audio,word",
            "Audio File,Text",
        ),
        *("audio_filepath,command", "FNAME,Label", "path,sentence", "filepath,target", "wav, keyword "),
    ],
)
def test_columns_of_other_tools(rows: Callable[..., list[ManifestRow]], columns: str) -> None:
    found = rows(sheet(columns))
    assert [row.label for row in found] == WORDS
    assert [row.name for row in found] == FILES
    assert not any(row.part or row.speaker for row in found)


@pytest.mark.parametrize("by", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["m.csv", "m.tsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_separators_and_encodings(
    rows: Callable[..., list[ManifestRow]], by: str, name: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.WORDS", ["größe", "ja, gern"] * 3)
    quoted = [f'"{word}"' for word in WORDS]
    text = (
        by.join(["path", "label"]) + "\n" + "\n".join(by.join(row) for row in zip(FILES, quoted, strict=True))
    )
    assert [row.label for row in rows(text, name, encoding)] == WORDS
    if name == "m.csv":
        assert [row.label for row in rows(f"sep={by}\n{text}", name, encoding)] == WORDS


def test_a_number_and_a_name_of_a_class(rows: Callable[..., list[ManifestRow]]) -> None:
    """ESC-50 and others have both; what is more is passed over."""
    numbers = [str(WORDS.index(word)) for word in WORDS]
    for columns in ("filename,category,fold,target,take", "path,class_name,a,label,b", "file,word,x,class,y"):
        cells = [["1"] * 6, numbers, ["A"] * 6]
        assert [row.label for row in rows(sheet(columns, *cells))] == WORDS
    lines = [",".join(pair) for pair in zip(FILES, numbers, strict=True)]
    assert [row.label for row in rows("\n".join(["path,label", *lines]))] == numbers


@pytest.mark.parametrize("column", ["split", "subset", "Split", "partition"])
def test_parts_by_other_names(rows: Callable[..., list[ManifestRow]], column: str) -> None:
    given = ["training", "TRAIN", "validation", "dev", "Testing", "eval"]
    found = rows(sheet(f"path,label,{column},speaker_id", given, list("aabbcc")))
    assert [row.part for row in found] == ["train", "train", "val", "val", "test", "test"]
    assert [row.speaker for row in found] == list("aabbcc")


def test_backslashes_and_places(tmp_path: Path) -> None:
    write(tmp_path, "corpus/audio/a.wav", "corpus/meta/clips/b.wav", "corpus/meta/deep/c.wav")
    names = ["a.wav", "b.wav", ".\\deep\\c.wav"]
    (tmp_path / "corpus/meta/list.csv").write_text(
        "\n".join(["filename,label", *(f"{n},yes" for n in names)])
    )
    found, _ = read_manifest(tmp_path / "corpus/meta/list.csv")
    assert [row.path.resolve().relative_to(tmp_path / "corpus").as_posix() for row in found] == [
        "audio/a.wav",
        "meta/clips/b.wav",
        "meta/deep/c.wav",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json(rows: Callable[..., list[ManifestRow]], encoding: str) -> None:
    nemo = [
        {"audio_filepath": file, "duration": 0.5, "label": word}
        for file, word in zip(FILES, WORDS, strict=True)
    ]
    lines = "\n".join(map(json.dumps, nemo))
    for text, name in ((lines, "m.json"), (lines, "m.jsonl"), (json.dumps(nemo, indent=1), "m.json")):
        assert [row.label for row in rows(text, name, encoding)] == WORDS
    own = [
        {"audio": {"path": file, "bytes": None}, "category": word, "split": part}
        for file, word, part in zip(FILES, WORDS, PARTS, strict=True)
    ]
    assert [row.part for row in rows("\n".join(map(json.dumps, own)), "m.jsonl")] == PARTS


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("m.jsonl", '{"path": "sound/0.wav", "label": "yes"}\n{"path"\n', "line 2 of .* is not valid JSON"),
        ("m.json", '[{"path": "sound/0.wav", "label": "yes"}, 5]', "row 2 of .* is no JSON object"),
        ("m.jsonl", '{"path": "sound/0.wav", "label": null}', "has no label"),
        (
            "m.jsonl",
            '{"wave": "sound/0.wav", "label": "yes"}',
            r"its columns are 'wave', 'label' \(a column path",
        ),
        ("m.json", "[]", "no column of files"),
        ("m.tsv", "path,label\n", "lists no clips"),
        ("m.csv", "id;start;end\n1;2;3\n", "its columns are 'id', 'start', 'end'"),
        ("m.csv", "path,label,Speekers\nsound/0.wav,yes,a\n", "unknown column 'Speekers' .is it speaker"),
        ("m.csv", "path,label,spilt\nsound/0.wav,yes,a\n", "unknown column 'spilt' .is it split"),
        ("m.csv", "path,label,Label\nsound/0.wav,yes,yes\n", "the column 'label' twice"),
        ("m.json", '[{"path": "sound/0.wav", "label": ["yes", "no"]}]', "line 1 of .* has no label"),
        ("m.csv", "audio_filepath,offset,command\nsound/0.wav,0.50,yes\n", "part of a file, from 0.50 s"),
    ],
)
def test_what_is_no_manifest(name: str, text: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, *FILES)
    (tmp_path / name).write_text(text)
    with pytest.raises(SnnVoiceError, match=says):
        read_manifest(tmp_path / name)


def test_text_in_no_encoding(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes("path,label\n0.wav,größe\n".encode("latin-1"))
    with pytest.raises(SnnVoiceError, match="not UTF-8 or UTF-16"):
        read_manifest(tmp_path / "m.csv")


def test_missing_files_are_listed(tmp_path: Path) -> None:
    """As files are that can't be decoded; the others are learned from."""
    write(tmp_path, *FILES)
    gone = ["gone.wav,yes,train", "C:\\sound\\far.wav,no,train"]
    lines = [f"{file},{word},{part}" for file, word, part in zip(FILES, WORDS, PARTS, strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split", *lines[:3], *gone, *lines[3:]]))
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        found = load(tmp_path / "m.csv", cache=cache, val_share=0.5)
        assert found.skipped == [("gone.wav", "does not exist"), ("C:\\sound\\far.wav", "does not exist")]
        assert len(found.train) + len(found.val) == 4
        assert found.test is not None
        assert len(found.test) == 2
    write(tmp_path, "gone.wav")
    assert len(load(tmp_path / "m.csv", cache=tmp_path / "cache", val_share=0.5).skipped) == 1


@pytest.mark.parametrize("name", ["a\\u0000.wav", "\\ud800.wav", "loop.wav", "sound/0.wav/x.wav"])
def test_names_that_no_file_has_are_missing_files(name: str, tmp_path: Path) -> None:
    write(tmp_path, *FILES)
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    rows = [{"path": path, "label": word, "offset": 0.0} for path, word in zip(FILES, WORDS, strict=True)]
    (tmp_path / "m.json").write_text(
        json.dumps([{"path": "NAME", "label": "no"}, *rows]).replace("NAME", name)
    )
    clips, _ = load_test(tmp_path / "m.json", None, sample_rate=16_000, num_samples=800)
    assert len(clips) == 6
    assert [path for path, _ in clips.skipped] == [json.loads(f'"{name}"')]


def test_a_folder_of_datasets(tmp_path: Path) -> None:
    write(tmp_path, *FILES)
    lines = [f"{file},{word}" for file, word in zip(FILES, WORDS, strict=True)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    found = load(tmp_path, val_share=0.5)
    assert sorted({*found.train.names, *found.val.names}) == FILES
    assert set(found.train.labels) == {"yes", "no"}
    clips, _ = load_test(tmp_path, None, sample_rate=16_000, num_samples=800)
    assert clips.labels == WORDS


def test_a_table_about_something_else(tmp_path: Path) -> None:
    """Folders are named by words, and the table holds what was said, or no word at all."""
    write(tmp_path, *[f"{word}/{n}.wav" for word in ("yes", "no") for n in range(3)])
    for columns in ("file_name,transcription", "file_name,age", "id,label"):
        (tmp_path / "metadata.csv").write_text(f"{columns}\nyes/0.wav,x\n")
        assert set(load(tmp_path).train.labels) == {"yes", "no"}
