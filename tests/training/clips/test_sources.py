"""Every form of `data`, on sound made here: what is found, how it is divided, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from snn_voice_hub.errors import ConfigError, SnnVoiceError
from tests.training.clips.source_helpers import check_sound, everything, load, packed, words, write


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
    single = write(tmp_path / "single", *words(5, "yes"))
    with pytest.raises(SnnVoiceError, match="of one word only, 'yes'"):
        load(single)
    assert set(load(single, alone=True).train.labels) == {"yes"}
    with pytest.raises(SnnVoiceError, match="of one word only, '_unknown_'"):
        load(write(tmp_path / "unknown", *words(5, "_unknown_")), alone=True)
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
