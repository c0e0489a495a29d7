"""`snn-voice listen`: files, pipes, a microphone that is none."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import typer.testing
from rich.console import Console
from snn_voice_lite.shell import live as chunks
from snn_voice_lite.shell.live import LiveSound, of_file

import snn_voice_hub as sv
from snn_voice_hub.cli import hearing
from snn_voice_hub.cli.listen import run
from tests.cli.helpers import invoke, refused
from tests.cli.test_streams import PROGRAM
from tests.lacking import lack
from tests.places import EXAMPLES
from tests.voice.stream_helpers import follower

MODEL = ("--model", "resmel-snn")
YES = str(EXAMPLES / "yes.wav")


def sound(rate: int = 16_000) -> np.ndarray[Any, np.dtype[np.int16]]:
    wave, _ = sf.read(YES, dtype="int16")
    quiet = np.zeros(8_000, dtype=np.int16)
    return np.concatenate([quiet, wave, quiet])


def told(*arguments: str, stdin: bytes = b"") -> list[dict[str, Any]]:
    done = invoke("listen", *arguments, *MODEL, "--json", stdin=stdin)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_words_of_a_file() -> None:
    (line,) = invoke("listen", "--file", YES, *MODEL).stdout.splitlines()
    assert line.split()[1:4] == ["s", "yes", line.split()[3]]
    (event,) = told("--file", YES)
    assert set(event) == {"label", "score", "start", "end", "time"}
    assert event["label"] == "yes"
    assert 0 <= event["start"] < event["end"] < event["time"]


def test_a_network_whose_steps_are_those_of_the_sound(tmp_path: Path) -> None:
    voice = follower()
    voice.save_pretrained(tmp_path / "follower")
    chosen = ("--model", str(tmp_path / "follower"), "--engine", "torch", "--json")
    wave = np.concatenate([sound()] * 2)
    for options, hop in (((), None), (("--hop", "0.04"), 0.04)):
        wanted = list(voice.listen([wave], sample_rate=16_000, hop=hop))
        assert wanted
        done = invoke("listen", "-", *options, *chosen, stdin=wave.tobytes())
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(event["label"], event["time"]) for event in found] == [
            (event.label, round(event.time, 3)) for event in wanted
        ]


def test_a_file_of_another_rate(tmp_path: Path) -> None:
    sf.write(tmp_path / "two.wav", np.repeat(np.stack([sound()] * 2, 1), 2, axis=0), 32_000)
    (event,) = told("--file", str(tmp_path / "two.wav"))
    assert event["label"] == "yes"


def test_real_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(chunks, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    (event,) = told("--file", YES, "--realtime")
    assert event["label"] == "yes"
    assert now == pytest.approx(sf.info(YES).duration)
    assert len(list(of_file(YES, realtime=False).chunks)) == 8


@pytest.mark.parametrize("encoding", ["pcm16", "float32"])
def test_raw_samples_on_stdin(encoding: str) -> None:
    raw = sound().tobytes() if encoding == "pcm16" else (sound() / 32_768).astype("<f4").tobytes()
    (event,) = told("-", "--encoding", encoding, stdin=raw + b"\x00")
    assert (event["label"], 0.3 < event["start"] < 1.0) == ("yes", True)
    assert told("-", stdin=b"") == []


def test_stdin_at_another_rate() -> None:
    (event,) = told("-", "--sample-rate", "48000", stdin=np.repeat(sound(), 3).tobytes())
    assert (event["label"], 0.3 < event["start"] < 1.0) == ("yes", True)


def test_words_and_thresholds() -> None:
    assert told("--file", YES, "--words", "stop,no", "--words", "go") == []
    assert told("--file", YES, "--threshold", "1.0") == []
    assert told("--file", YES, "--threshold", "0.5", "--threshold", "yes=1") == []
    assert len(told("--file", YES, "--threshold", "1", "--threshold", "yes=0.5")) == 1
    assert len(told("--file", YES, "--threshold", "yes=0.5", "--hop", "0.05")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["yes.wav"], "snn-voice listen --file yes.wav"),
        (["-", "--file", YES], "- and --file do not go together"),
        (["--realtime"], "--realtime goes with --file"),
        (["--file", YES, "--sample-rate", "16000"], "--sample-rate does not go with --file"),
        (["--file", "absent.wav"], "absent.wav' does not exist"),
        (["--file", YES, "--words", "lumos"], "'lumos' is no word of the model"),
        (["--file", YES, "--threshold", "loud"], "--threshold loud is not legal"),
        (["--file", YES, "--threshold", "7"], "threshold=7.0 is not legal"),
        (["-", "--sample-rate", "1"], "sample_rate must be"),
        (["-", "--encoding", "mp3"], "encoding='mp3' is not legal"),
    ],
)
def test_mistakes_are_told(arguments: list[str], said: str) -> None:
    assert said in refused("listen", *arguments, *MODEL)


def test_a_file_on_stdin_is_told() -> None:
    wav = Path(YES).read_bytes()
    runner = typer.testing.CliRunner()
    from snn_voice_hub.cli import app

    done = runner.invoke(app, ["listen", "-", *MODEL], input=wav)
    assert isinstance(done.exception, sv.AudioError)
    assert "stdin holds WAV, not raw samples" in str(done.exception)


# --- the program ------------------------------------------------------------------------------------------


def test_what_was_said_before_ctrl_c_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> Iterator[Any]:
        yield sound()[:20_000]  # the word, and no silence behind it
        raise KeyboardInterrupt

    voice = sv.SnnVoice.from_pretrained(MODEL[1])
    with pytest.raises(KeyboardInterrupt):
        run(voice, LiveSound("stdin", 16_000, interrupted()), {}, hearing.JsonWords())
    assert json.loads(capsys.readouterr().out)["label"] == "yes"


def test_a_pipe_is_heard_as_it_comes_and_ctrl_c_ends_it() -> None:
    process = subprocess.Popen(
        [PROGRAM, "listen", "-", "--json", *MODEL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(sound().tobytes())
    process.stdin.flush()
    first = json.loads(process.stdout.readline())  # while the pipe is open
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")
    assert (first["label"], rest) == ("yes", b"")


# --- a microphone -----------------------------------------------------------------------------------------


class PortAudioError(Exception):
    pass


class StubSound:
    """What is used of `sounddevice`, with a microphone that hears a sound once."""

    PortAudioError = PortAudioError

    def __init__(self, refuses: str = "", devices: int = 1) -> None:
        self.refuses = refuses
        self.devices = devices
        self.asked: dict[str, Any] = {}

    def query_devices(self, device: object = None, kind: str | None = None) -> Any:
        silent = {"name": "HDMI", "max_input_channels": 0, "default_samplerate": 44_100.0}
        real = {"name": "USB [mic]", "max_input_channels": 2, "default_samplerate": 48_000.0}
        if kind is None:
            return [silent, *[real] * self.devices]
        if device not in (None, 1, "USB"):
            raise ValueError(f"No input device matching {device!r}")
        if not self.devices:
            raise PortAudioError("Error querying device -1")
        return real

    def check_input_settings(self, **settings: Any) -> None:
        if self.refuses:
            raise PortAudioError(self.refuses)

    def RawInputStream(self, **settings: Any) -> StubStream:  # noqa: N802
        self.asked = settings
        return StubStream(**settings)


class StubStream:
    active = False

    def __init__(self, *, samplerate: int, blocksize: int, callback: Any, **_: Any) -> None:
        wave = np.repeat(sound(), samplerate // 16_000)
        for begin in range(0, len(wave), blocksize):
            data = memoryview(wave[begin : begin + blocksize].tobytes())
            callback(data, blocksize, None, None)

    def __enter__(self) -> StubStream:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> StubSound:
    stub = StubSound()
    monkeypatch.setitem(sys.modules, "sounddevice", stub)
    return stub


@pytest.mark.parametrize("asked", [[], ["--device", "1"], ["--device", "USB", "--sample-rate", "16000"]])
def test_a_microphone(microphone: StubSound, asked: list[str]) -> None:
    """The stub's stream ends, as one does that is unplugged."""
    runner = typer.testing.CliRunner()
    from snn_voice_hub.cli import app

    done = runner.invoke(app, ["listen", *asked, *MODEL, "--json"])
    assert "the microphone gives no more sound" in str(done.exception)
    (event,) = map(json.loads, done.stdout.splitlines())
    assert event["label"] == "yes"
    assert microphone.asked["samplerate"] == (16_000 if "--sample-rate" in asked else 48_000)
    assert microphone.asked["device"] == {0: None, 2: 1, 4: "USB"}[len(asked)]


def test_devices_are_listed(microphone: StubSound) -> None:
    shown = invoke("listen", "--list-devices").stdout
    assert "USB [mic]" in shown
    assert "HDMI" not in shown
    microphone.devices = 0
    assert "there is no microphone" in refused("listen", "--list-devices")


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ({"devices": 0}, [], "the microphone can't be used: Error querying device -1"),
        ({"refuses": "Invalid sample rate"}, [], "the microphone can't be used: Invalid sample rate"),
        ({}, ["--device", "Webcam"], "No input device matching 'Webcam'"),
    ],
)
def test_a_microphone_that_is_refused(
    microphone: StubSound, change: dict[str, Any], arguments: list[str], said: str
) -> None:
    vars(microphone).update(change)
    message = refused("listen", *arguments, *MODEL)
    assert said in message
    assert "--list-devices" in message


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, "sounddevice")
    assert "[listen]" in refused("listen", *MODEL)


def test_without_portaudio_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    assert "PortAudio library not found (on Debian or Ubuntu: apt-get" in refused("listen", *MODEL)


# --- the live view ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [24, 40, 100])
def test_the_live_view_shows_level_and_scores(width: int) -> None:
    stream = sv.SnnVoice.from_pretrained(MODEL[1]).stream(sample_rate=16_000)
    stream.feed(np.concatenate([sound(), np.zeros(8_000, dtype=np.int16)]))
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(hearing.view("[mic]", stream, width))
    head, level, *likely = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert head.startswith("[mic]  2.2 s")
    assert level.split() == ["·" * max(8, min(30, width - 30)), "-120", "dB"]
    assert len(likely) == 3, "no line is broken"
    assert "  (no" in likely[0]
    assert ("(none of the words)" in likely[0]) == (width > 24)


def test_in_the_live_view_words_stand_above_what_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    monkeypatch.setattr("rich.live.get_console", lambda: console)
    stream = sv.SnnVoice.from_pretrained(MODEL[1]).stream(sample_rate=16_000)
    live = hearing.Live("stdin")
    assert "stdin: no sound yet" in out.getvalue()
    events = stream.feed(np.concatenate([sound(), np.zeros(8_000, dtype=np.int16)]))
    assert [event.label for event in events] == ["yes"]
    live.heard(stream, events)
    live.close()
    assert out.getvalue().count(" yes  ") == 1, "a word is printed once, and stays"


def test_words_are_not_typed() -> None:
    """On a terminal `listen -` would wait for ever."""
    main, terminal = pty.openpty()
    with os.fdopen(main), os.fdopen(terminal) as stdin:
        done = subprocess.run(
            [PROGRAM, "listen", "-"], stdin=stdin, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("snn-voice: error: stdin is a terminal (arecord")
