"""Whatever file comes, its sound is read as it is, or an `AudioError` says why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from snn_voice_lite import Voice, audio
from snn_voice_lite.errors import AudioError

from tests.places import EXAMPLES
from tests.quiet import quietly
from tests.robustness import contract, zoo
from tests.robustness.amount import amount
from tests.robustness.targets.audio import run

pytestmark = [pytest.mark.timeout(3600), pytest.mark.usefixtures("quiet")]


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """The decoder of MP3 writes its notes to the terminal."""
    with quietly():
        yield


def test_whole_files_are_read_as_they_are() -> None:
    wrong, counts = [], Counter[str]()
    for whole in zoo.wholes(amount(200, 1)):
        data = whole.data()
        if data is None:
            continue
        told = contract.run(run, data)
        counts["sound" if told == "sound" else "refused"] += 1
        if (told == "sound") != (whole.fmt in zoo.DECODED):
            wrong.append((whole, told))
        elif told == "sound" and (what := whole.wrong(audio.load(data))):
            wrong.append((whole, what))
    assert not wrong, wrong[:20]
    assert min(counts["sound"], counts["refused"]) > 30


def test_a_word_is_heard_in_every_encoding() -> None:
    voice = Voice()
    wave = audio.load(EXAMPLES / "yes.wav")[:, np.newaxis]
    heard = Counter[str]()
    for fmt, subtype in zoo.encodings():
        for rate in (16_000, 8_000):
            sound = (
                wave
                if rate == 16_000
                else audio.load(wave.T, sample_rate=16_000, target_rate=rate)[:, np.newaxis]
            )
            data = zoo.encoded(sound, rate, fmt, subtype)
            coarse = rate == 8_000 and subtype in zoo.COARSE
            if fmt in zoo.DECODED and data is not None and not coarse:
                heard[voice.classify(data)[0].label] += 1
    assert heard.keys() == {"yes"}
    assert heard.total() > 100


def test_a_file_is_what_its_bytes_are(tmp_path: Path) -> None:
    names = [*audio.SUFFIXES, "", ".txt", ".npz", ".json"]
    for number, (fmt, subtype) in enumerate(zoo.encodings()):
        if not (data := zoo.small(fmt, subtype)):
            continue
        path = tmp_path / f"x{names[number % len(names)]}"
        path.write_bytes(data)
        if fmt in zoo.DECODED:
            assert np.array_equal(audio.load(path), audio.load(data)), (path, fmt, subtype)
        else:
            with pytest.raises(AudioError):
                audio.load(path)


def test_a_file_that_was_cut_is_not_taken_for_a_whole_one() -> None:
    taken = []
    for part in zoo.parts(amount(20, 1)):
        data = part.data()
        if contract.run(run, data) == "sound":
            whole = zoo.small(part.fmt, part.subtype)
            found, expected = audio.load(data), audio.load(whole)
            # Between two pages of Ogg nothing tells a cut, an MP3 may lack a frame, and a length that is off
            # by a header is that of a recorder which counts it in.
            odd = part.fmt in ("OGG", "MP3") or len(whole) - part.size <= zoo.HEADER
            if not odd or len(found) > len(expected):
                taken.append(part)
    assert not taken, taken[:20]


def test_headers_that_lie_break_nothing() -> None:
    heard = Counter(contract.run(run, lie.data()) for lie in zoo.lies(amount(40, 1)))
    assert heard.total() > 500
    assert len(heard) > 3


ZERO_RATES = {
    "WAV": ("<I", 24),
    "WAVEX": ("<I", 24),
    "RF64": ("<I", None),
    "W64": ("<I", None),
    "AIFF": (">q", None),
    "CAF": (">q", 20),
    "AU": (">I", 16),
    "FLAC": (">H", 18),
}


@pytest.mark.parametrize("fmt", ZERO_RATES)
def test_a_rate_of_zero_is_none(fmt: str) -> None:
    data = zoo.small(fmt, "PCM_16")
    form, place = ZERO_RATES[fmt]
    if place is None:
        marks = {"RF64": (b"fmt ", 12), "W64": (b"fmt \xf3\xac", 28), "AIFF": (b"COMM", 16)}
        mark, behind = marks[fmt]
        place = data.index(mark) + behind
    size = {"<I": 4, ">I": 4, ">q": 8, ">H": 3}[form]
    changed = data[:place] + bytes(size) + data[place + size :]
    assert changed != data
    assert contract.run(run, changed).startswith("refused: ")
