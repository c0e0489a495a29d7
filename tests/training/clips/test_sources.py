"""Every form of `data`, on sound made here: what is found, how it is divided, and what is refused."""

from __future__ import annotations

import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.training.clips import data as data_module
from snn_voice_hub.training.clips.data import Clips, Reader, load_clips
from snn_voice_hub.training.clips.sources import Dataset, load_dataset


def sound(level: float = 0.1, samples: int = 800) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.full(samples, level, np.float32), 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def write(root: Path, *names: str, content: bytes | None = None) -> Path:
    """Sound files whose level tells them apart; the tenth of a second is quick to decode."""
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(0.001 * (i + 1)) if content is None else content)
    return root


def words(count: int = 10, *labels: str) -> list[str]:
    return [f"{word}/{n}.wav" for word in labels or ("yes", "no") for n in range(count)]


def packed(folder: Path, tar: Path, mode: str = "w") -> Path:
    with tarfile.open(tar, mode) as archive:  # type: ignore[call-overload]
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return tar


def load(data: str | Path, **settings: object) -> Dataset:
    return load_dataset(data, **({"num_samples": 800} | settings))  # type: ignore[arg-type]


def everything(found: Dataset) -> list[str]:
    parts = [found.train, found.val, *([found.test] if found.test else [])]
    return sorted(name for part in parts for name in part.names)


def check_sound(clips: Clips, levels: dict[str, float]) -> None:
    """Each name still has its own sound after the division."""
    for name, row in zip(clips.names, clips.waveforms, strict=True):
        assert abs(row[:800].mean() / 32768 - levels[name]) < 2e-4


def test_a_folder_and_a_tar_of_it_are_the_same(tmp_path: Path) -> None:
    names = words(20)
    folder = write(tmp_path / "w", *names)
    found = load(folder)
    assert (len(found.train), len(found.val), found.test) == (36, 4, None)
    assert Counter(found.val.labels) == {"yes": 2, "no": 2}
    assert everything(found) == sorted(names)
    assert found.rule.startswith("by word, about 10 % of each to validate with, seed 0")
    assert found.facts == [{"name": "w (36 training clips)"}]
    assert found.train.waveforms.dtype == np.int16
    levels = {name: 0.001 * (i + 1) for i, name in enumerate(names)}
    for part in (found.train, found.val):
        check_sound(part, levels)
    for tar in (packed(folder, tmp_path / "w.tar"), packed(folder, tmp_path / "w.tgz", "w:gz")):
        again = load(tar)
        assert again.val.names == found.val.names
        assert np.array_equal(again.train.waveforms, found.train.waveforms)
    assert load(folder, seed=1).val.names != found.val.names
    assert len(load(folder, val_share=0.25).val) == 10


def test_speakers_stay_on_one_side(tmp_path: Path) -> None:
    names = [f"{word}/s{who}_nohash_{n}.wav" for word in ("yes", "no") for who in range(10) for n in range(2)]
    found = load(write(tmp_path, *names), val_share=0.2)
    sides = [{name.split("/")[1].split("_")[0] for name in part.names} for part in (found.train, found.val)]
    assert not sides[0] & sides[1]
    assert len(found.val) == 8
    assert found.rule == "by speaker, about 20 % of the clips to validate with, seed 0"
    alone = write(tmp_path / "one", *[f"{word}/me_nohash_{n}.wav" for word in ("a", "b") for n in range(4)])
    assert load(alone).rule.startswith("by word")


def test_lists_and_background_noise_are_honoured_in_folder_and_tar(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", *words(4), "_background_noise_/hum.wav")
    (folder / "validation_list.txt").write_bytes(b"\xef\xbb\xbfyes/0.wav\r\nno/1.wav\r\n")
    (folder / "testing_list.txt").write_text("./yes/2.wav\n\nno/3.wav\n")
    (folder / "README.md").write_text("not a clip")
    for source in (folder, packed(folder, tmp_path / "c.tar")):
        found = load(source, cache=tmp_path / "cache")
        again = load(source, cache=tmp_path / "cache")
        for own in (found, again):
            assert own.test is not None
            assert sorted(own.val.names) == ["no/1.wav", "yes/0.wav"]
            assert sorted(own.test.names) == ["no/3.wav", "yes/2.wav"]
            assert len(own.train) == 4
            assert set(own.train.labels) == {"yes", "no"}
            assert list(own.noises) == ["hum"]
            assert own.noises["hum"].shape == (800,)
            assert own.skipped == []
            assert own.rule == "as validation_list.txt and testing_list.txt say"
    (folder / "validation_list.txt").unlink()
    found = load(folder)
    assert found.rule.startswith("as testing_list.txt says; the rest by word")
    assert found.test is not None
    assert (len(found.test), len(found.val), len(found.train)) == (2, 2, 4)


def test_a_folder_of_parts(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("val", 2), ("test", 1)):
        packed(write(tmp_path / f"{part}_words", *words(count)), tmp_path / f"{part}.tar")
    packed(write(tmp_path / "noise", "any/tap.wav", "any/broken.wav"), tmp_path / "background_noise.tar")
    broken = write(tmp_path / "noise", "any/broken.wav", content=b"x")
    packed(broken, tmp_path / "background_noise.tar")
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        found = load(tmp_path, cache=cache)
        assert found.test is not None
        assert (len(found.train), len(found.val), len(found.test)) == (10, 4, 2)
        assert list(found.noises) == ["tap"]
        assert [name for name, _ in found.skipped] == ["background_noise.tar/any/broken.wav"]
        assert found.rule == "as divided into train.tar and val.tar and test.tar"
    folders = tmp_path / "folders"
    write(folders / "train", *words(5))
    write(folders / "val", *words(2))
    found = load(folders)
    assert (len(found.train), len(found.val), found.test) == (10, 4, None)
    (tmp_path / "val.tar").unlink()
    (tmp_path / "test.tar").unlink()
    assert load(tmp_path).rule.startswith("by word")
    assert len(load(tmp_path, val=folders / "val").val) == 4


def test_a_manifest(tmp_path: Path) -> None:
    write(tmp_path, *[f"clips/{n}.wav" for n in range(12)], "hum.wav")
    lines = [f"clips/{n}.wav, {'yes' if n % 2 else 'no'},s{n // 4}" for n in range(12)]
    sheet = tmp_path / "w.csv"
    sheet.write_text(
        "\n".join(["path,label,speaker", *lines, "clips/0.wav,no,s0", "hum.wav,_background_noise_,"])
    )
    found = load(sheet, cache=tmp_path / "cache")
    assert (len(found.train), len(found.val)) == (8, 4)
    assert len({int(name[6:-4]) // 4 for name in found.val.names}) == 1
    assert found.rule.startswith("by speaker")
    assert found.skipped == [("clips/0.wav", "listed twice")]
    assert list(found.noises) == ["hum"]
    assert load(sheet, cache=tmp_path / "cache").skipped == found.skipped
    parts = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = [f"{line.rpartition(',')[0]},{part}" for line, part in zip(lines, parts, strict=True)]
    sheet.write_text("\n".join(["path,label,split", *rows]), encoding="utf-8-sig")
    found = load(sheet, cache=tmp_path / "cache")
    assert found.test is not None
    assert (found.val.names, found.test.names) == (
        ["clips/8.wav", "clips/9.wav"],
        ["clips/10.wav", "clips/11.wav"],
    )
    assert found.rule == "as the column split of w.csv says"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column of files; its columns are none"),
        ("path\n0.wav\n", "no column of words; its columns are 'path'"),
        ("sound;label\n0.wav;yes\n", r"its columns are 'sound', 'label' \(a column path, file_name, "),
        ("0.wav,yes\n1.wav,no\n", r"its columns are '0.wav', 'yes'"),
        ("path,label,speeker\n0.wav,yes,a\n", "unknown column 'speeker'"),
        ("path,label,label\n0.wav,yes,a\n", "the column 'label' twice"),
        ("path,label\n", "lists no clips"),
        ("path,label\n0.wav\n", r"line 2 of .* has 1 cells, the header 2"),
        ("path,label\n0.wav,\n", r"line 2 of .* has no label"),
        ("path,label,split\n0.wav,yes,devil\n", r"line 2 of .* has split 'devil' \(one of train, "),
        ("path,label,splitt\n0.wav,yes,dev\n", r"unknown column 'splitt' \(is it split"),
        ("path,label,split\n0.wav,yes,\n", "has split ''"),
        ("path,label\nx.wav,yes\ny.wav,no\n", r"none of the 2 files of .* the first is x.wav \(line 2\)"),
        ("path,label\n0.wav,yes\n1.wav,yes\nx.wav,no\n", "no clip of the word 'no' .* files are there"),
        ("path,label\n0.wav,yes\n./0.wav,no\n", r"listed twice in .*, as 'yes' and as 'no' \(line 3\)"),
        ("path,label,split\n0.wav,yes,train\n0.wav,yes,val\n", "as 'yes, train' and as 'yes, val'"),
        ('path,label\n"0.wav,yes\n', "is not a CSV file"),
        ("path,label\n0.wav,yes\n1.wav,yes\n", "one word only, 'yes'"),
        ("path,label,split\n0.wav,yes,train\n1.wav,no,train\n2.wav,up,val\n", "'up' has clips in val"),
        ("path,label,split\n0.wav,yes,val\n1.wav,no,val\n", "no clips to learn from"),
        ("path,label\n0.wav,yes\n1.wav,yes\nbad.wav,no\n", "no clip of the word 'no' .* can be read"),
    ],
)
def test_a_manifest_that_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    write(tmp_path, *[f"{n}.wav" for n in range(3)])
    (tmp_path / "bad.wav").write_bytes(b"x")
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(SnnVoiceError, match=says):
        load(tmp_path / "m.csv")


def test_data_that_nothing_can_be_learned_from(tmp_path: Path) -> None:
    with pytest.raises(SnnVoiceError, match=r"none does not exist \(a folder of folders"):
        load(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SnnVoiceError, match="holds no sound files of words"):
        load(tmp_path / "empty")
    with pytest.raises(SnnVoiceError, match=r"\(2 skipped\), for example 0.wav: not in a folder named by"):
        load(write(tmp_path / "flat", "0.wav", "1.wav"))
    with pytest.raises(SnnVoiceError, match="of one word only, 'yes'"):
        load(write(tmp_path / "single", *words(5, "yes")))
    with pytest.raises(SnnVoiceError, match="one clip of each word"):
        load(write(tmp_path / "few", *words(1)))
    write(tmp_path / "lost", *words(3))
    with pytest.raises(SnnVoiceError, match=r"no clip of the word 'up' in .* can be read"):
        load(write(tmp_path / "lost", "up/0.wav", "up/1.wav", content=b"x"))
    whole = write(tmp_path / "whole", *words(5))
    with pytest.raises(SnnVoiceError, match="'up' has clips in val, and none to learn from"):
        load(whole, val=write(tmp_path / "other", *words(2, "yes", "up")))
    write(whole, *words(2, "wow"))
    (whole / "validation_list.txt").write_text("wow/0.wav\nwow/1.wav\n")
    with pytest.raises(SnnVoiceError, match="'wow' has clips in val"):
        load(whole)
    with pytest.raises(SnnVoiceError, match="validation clips of its own"):
        load(whole, val=tmp_path / "other")
    tar = packed(whole, tmp_path / "cut.tar")
    tar.write_bytes(tar.read_bytes()[:3000])
    with pytest.raises(SnnVoiceError, match=r"cut.tar is damaged or cut off"):
        load(tar)
    gz = packed(whole, tmp_path / "cut.tgz", "w:gz")
    gz.write_bytes(gz.read_bytes()[: gz.stat().st_size // 2])
    with pytest.raises(SnnVoiceError, match=r"cut.tgz is damaged or cut off"):
        load(gz)
    for wrong in ({"val_share": 0.0}, {"val_share": 1.0}, {"num_samples": 0}, {"sample_rate": 100}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            load(whole, **wrong)


def test_what_is_no_clip_is_left_out_or_listed(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", *words(3), "caf\u00e9/a.wav", "cafe\u0301/b.wav", "caf\u00e9/ü ß.wav")
    write(folder, "yes/._0.wav", ".git/x.wav", "__MACOSX/yes/0.wav", "yes/.hidden/0.wav", content=b"x")
    write(folder, "yes/broken.wav", "stray.wav", "yes/phone.m4a", "yes/empty.wav", content=b"x")
    (folder / "yes" / "empty.wav").write_bytes(b"")
    write(folder, "yes/old/deep.wav")
    (folder / "no" / "folder.wav").mkdir()
    (folder / "no" / "gone.wav").symlink_to(tmp_path / "gone.wav")
    (folder / "no" / "loop").symlink_to(folder)
    os.mkfifo(folder / "no" / "pipe.wav")
    (folder / "linked").symlink_to(write(tmp_path / "elsewhere", "0.wav", "1.wav"))
    (folder / "no" / "linked.wav").symlink_to(folder / "no" / "0.wav")
    found = load(folder)
    assert Counter([*found.train.labels, *found.val.labels]) == {"yes": 3, "no": 3, "café": 3, "linked": 2}
    reasons = dict(found.skipped)
    assert set(reasons) == {
        *("yes/broken.wav", "stray.wav", "yes/phone.m4a", "yes/empty.wav", "yes/old/deep.wav"),
        *("no/folder.wav", "no/gone.wav", "no/pipe.wav", "no/linked.wav"),
    }
    assert reasons["no/linked.wav"] == "the same file as no/0.wav"
    assert reasons["no/gone.wav"] == "does not exist"
    assert reasons["no/pipe.wav"] == "not a file"
    assert reasons["no/folder.wav"] == "an empty folder"
    assert reasons["stray.wav"] == "not in a folder named by its word"
    assert reasons["yes/old/deep.wav"] == "in a folder inside the folder of the word 'yes'"


def test_a_clip_of_several_names_is_on_one_side_only(tmp_path: Path) -> None:
    """Its own name counts before that of a link, and a folder's own name before that of a link to it."""
    folder = write(tmp_path / "w", *words(4))
    (folder / "best").mkdir()
    (folder / "best" / "of_all.wav").symlink_to(folder / "yes" / "0.wav")
    (folder / "yes" / "z.wav").hardlink_to(folder / "yes" / "1.wav")
    (folder / "also_yes").symlink_to("yes")
    (folder / "stop").symlink_to(write(tmp_path / "elsewhere", "0.wav", "1.wav", "2.wav"))
    (folder / "stop_too").symlink_to(tmp_path / "elsewhere")
    found = load(folder)
    names = [*found.train.names, *found.val.names]
    assert sorted(names) == sorted([*words(4), *(f"stop/{i}.wav" for i in range(3))])
    reasons = dict(found.skipped)
    assert reasons["best/of_all.wav"] == "the same file as yes/0.wav"
    assert reasons["also_yes"] == f"the same folder as {folder}/yes"
    assert reasons["stop_too"] == f"the same folder as {folder}/stop"
    assert len(reasons) == 4


def test_a_wrapped_corpus_with_a_stray_clip(tmp_path: Path) -> None:
    found = load(write(tmp_path, *[f"corpus/{name}" for name in words(4)], "corpus/stray.wav"))
    assert set(found.train.labels) == {"yes", "no"}
    assert found.skipped == [("corpus/stray.wav", "not in a folder named by its word")]


def test_odd_members_of_a_tar(tmp_path: Path) -> None:
    tar = packed(write(tmp_path / "w", *words(2)), tmp_path / "w.tar")
    with tarfile.open(tar, "a") as archive:
        for name, kind, target in (
            ("./yes/hard.wav", tarfile.LNKTYPE, "yes/0.wav"),
            ("yes/soft.wav", tarfile.SYMTYPE, "1.wav"),
            ("yes/gone.wav", tarfile.SYMTYPE, "9.wav"),
            ("yes/pipe.wav", tarfile.FIFOTYPE, ""),
            ("yes/self.wav", tarfile.SYMTYPE, "self.wav"),
            ("stop", tarfile.SYMTYPE, "../elsewhere"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        odd = tarfile.TarInfo("no\udcff/x.wav")
        odd.size = len(sound())
        archive.addfile(odd, io.BytesIO(sound()))
    clips = load_clips(tar, num_samples=800)
    assert sorted(clips.names) == [*words(2, "no"), *words(2, "yes")]
    assert dict(clips.skipped) == {
        "yes/hard.wav": "the same file as yes/0.wav",
        "yes/soft.wav": "the same file as yes/1.wav",
        "yes/gone.wav": "a link to what is not in the tar",
        "yes/self.wav": "a link to what is not in the tar",
        "stop": "a link to a folder, which tar --dereference would have packed",
        "yes/pipe.wav": "not a file",
        "no\\xff/x.wav": "the name of its folder is not UTF-8",
    }


def test_the_cache_notices_every_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = write(tmp_path / "w", *words(3)), tmp_path / "cache"
    write(folder, "yes/broken.wav", content=b"x")
    decoded: list[int] = []
    decode = data_module.decode

    def counted(*args: object, **settings: object) -> object:
        decoded.append(1)
        return decode(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(data_module, "decode", counted)

    def times(**settings: int) -> int:
        decoded.clear()
        Reader(cache=cache, **({"num_samples": 800} | settings)).read(folder)
        return len(decoded)

    assert (times(), times()) == (1, 0)
    kept = Reader(cache=cache, num_samples=800).read(folder)
    assert [name for name, _ in kept.clips.skipped] == ["yes/broken.wav"]
    state = (folder / "yes" / "0.wav").stat()
    (folder / "yes" / "0.wav").write_bytes(sound(0.5))  # as long as before, and as old
    os.utime(folder / "yes" / "0.wav", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert times() == 1
    changed = Reader(cache=cache, num_samples=800).read(folder).clips
    assert changed.waveforms[changed.names.index("yes/0.wav"), 0] == 16_384
    assert len(list(cache.glob("*.npz"))) == 1
    (folder / "validation_list.txt").write_text("yes/0.wav\n")
    assert (times(), times()) == (1, 0)
    (folder / "yes" / "2.wav").rename(folder / "no" / "9.wav")
    assert (times(), times()) == (1, 0)
    assert (times(num_samples=400), times(sample_rate=8000), times()) == (1, 1, 0)
    for file in cache.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:2000])
    assert (times(), times()) == (1, 0)
    assert not list(cache.glob("*.part"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SnnVoiceError, match="file can't be made"):
        Reader(cache=tmp_path / "file").read(folder)


def corpus(root: Path) -> Path:
    """What torchaudio unpacks."""
    below = root / "SpeechCommands" / "speech_commands_v0.02"
    names = [f"{word}/{n:08x}_nohash_0.wav" for word in ("yes", "no") for n in range(6)]
    write(below, *names, "_background_noise_/hum.wav", "yes/._00000000_nohash_0.wav")
    (below / "validation_list.txt").write_text("yes/00000000_nohash_0.wav\nno/00000001_nohash_0.wav\n")
    (below / "testing_list.txt").write_text("yes/00000002_nohash_0.wav\n")
    return below


def test_speech_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNN_VOICE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SnnVoiceError, match=r"Speech Commands under \. is not there"):
        load("speech_commands")
    below = corpus(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for _ in range(2):
        found = load("speech_commands", cache=tmp_path / "cache")
        assert found.test is not None
        assert (len(found.train), len(found.val), len(found.test)) == (9, 2, 1)
        assert found.rule == "by the lists of Speech Commands"
        assert list(found.noises) == ["hum"]
        assert found.facts[0]["name"] == "Speech Commands v0.02 (9 training clips)"
        assert found.facts[0]["attribution"].startswith("Pete Warden")
    # The last clip to learn from becomes the first to validate with: the order of all stays as it is.
    before = (below / "validation_list.txt").read_text()
    (below / "validation_list.txt").write_text(f"yes/00000005_nohash_0.wav\n{before}")
    assert len(load("speech_commands", cache=tmp_path / "cache").val) == 3
    (below / "validation_list.txt").write_text("yes/00000000_nohash_0.wav\n")
    assert len(load("speech_commands", cache=tmp_path / "cache").val) == 1
    monkeypatch.chdir(elsewhere)
    assert len(load(f"speech_commands:{tmp_path}").train) == 10
    assert len(load(f"speech_commands:{tmp_path / 'SpeechCommands'}").train) == 10
    monkeypatch.setenv("SNN_VOICE_DATA", str(tmp_path))
    assert len(load("speech_commands").train) == 10
    assert load(below).facts[0]["license"] == "CC-BY-4.0"  # the same files as a folder of folders
    (below / "testing_list.txt").unlink()
    with pytest.raises(SnnVoiceError, match=r"can't be read: .*testing_list.txt"):
        load("speech_commands")


def test_speech_commands_is_downloaded_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchaudio.datasets.speechcommands as theirs

    tar = packed(corpus(tmp_path / "made"), tmp_path / "corpus.tar.gz", "w:gz")
    fetched: list[str] = []

    def fetch(url: str, target: str, hash_prefix: str) -> None:
        fetched.append(url)
        Path(target).write_bytes(tar.read_bytes())

    monkeypatch.setattr(theirs, "download_url_to_file", fetch)
    root = tmp_path / "new" / "root"
    assert len(load(f"speech_commands:{root}", download=True).train) == 9
    assert len(load(f"speech_commands:{root}", download=True).train) == 9
    assert len(fetched) == 1

    def fail(url: str, target: str, hash_prefix: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(theirs, "download_url_to_file", fail)
    with pytest.raises(SnnVoiceError, match="could not be downloaded: no route to host"):
        load(f"speech_commands:{tmp_path / 'third'}", download=True)
