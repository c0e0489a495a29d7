"""Flags and variables: the same settings by both doors, and one clear line for what is not legal."""

from __future__ import annotations

import logging
import os
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import ValidationError
from snn_voice_server.settings import Settings, read_settings, warn_of_unknown
from typer.testing import CliRunner

from snn_voice_hub import ConfigError
from snn_voice_hub.cli import app

FIELDS = sorted(Settings.model_fields)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SNN_VOICE_"):
            monkeypatch.delenv(name)


def said(name: str) -> str:
    """What a field is called outside of Python, where "import" is a name as good as any."""
    return str(Settings.model_fields[name].validation_alias or name)


def flag_of(name: str) -> str:
    return "--" + said(name).replace("_", "-")


def variable_of(name: str) -> str:
    return "SNN_VOICE_" + said(name).upper()


def type_of(name: str) -> Any:
    """The type of a setting, without "or None"."""
    annotation = Settings.model_fields[name].annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def legal(name: str) -> list[tuple[str, object]]:
    """A value that is not the default, and another one: as text, and as they are read."""
    kind = type_of(name)
    if name == "engine":
        return [("loop", "loop"), ("torch", "torch")]
    if name == "max_body_memory_mb":  # no less than a body may have
        return [("50", 50.0), ("75", 75.0)]
    if kind is bool:
        default = Settings.model_fields[name].default
        return [(str(not default).lower(), not default), (str(default).lower(), default)]
    if get_origin(kind) is Literal:
        others = [value for value in get_args(kind) if value != Settings.model_fields[name].default]
        return [(value, value) for value in (others * 2)[:2]]
    if name == "frame_origins":
        return [
            ("https://x.y", ["https://x.y"]),
            ("http://*.z:80, https://a", ["http://*.z:80", "https://a"]),
        ]
    if get_origin(kind) is list:
        return [("x, y", ["x", "y"]), ("z", ["z"])]
    return {
        int: [("3", 3), ("5", 5)],
        float: [("0.25", 0.25), ("0.75", 0.75)],
        str: [("somewhere", "somewhere"), ("elsewhere", "elsewhere")],
        Path: [("/a/b", Path("/a/b")), ("/c", Path("/c"))],
    }[kind]


def as_flag(name: str, text: str) -> list[str]:
    if type_of(name) is bool:
        return [flag_of(name) if text == "true" else flag_of(name).replace("--", "--no-")]
    return [flag_of(name), text]


@pytest.mark.parametrize(
    "text", ["*", "huggingface.co", "https://a; script-src *", "https://a/b", "https://a\nx: y"]
)
def test_origins_of_frames_are_origins(text: str) -> None:
    with pytest.raises(ValidationError, match="origins such as"):
        Settings(frame_origins=[text])


# --- every setting --------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_all_as_options(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_VOICE_API_KEYS", "geheim")
    done = CliRunner(env={"COLUMNS": "160", "NO_COLOR": "1"}).invoke(app, ["serve", "--port", "1", flag])
    assert done.exit_code == 0
    assert "Usage: snn-voice serve" in done.output
    assert "SNN_VOICE_MAX_QUEUE" in done.output  # how flags become variables
    assert "geheim" not in done.output
    text = "".join(done.output.replace("│", "").split())
    assert "--packages" not in text  # what --import is called inside
    for name, setting in Settings.model_fields.items():
        assert f"│ {flag_of(name)} " in done.output
        assert setting.description
        assert "".join(setting.description.split()) in text or said(name) == "import"
        if setting.default not in (None, [], True, False):
            assert f"[default:{setting.default}]" in text


@pytest.mark.parametrize("name", FIELDS)
def test_flag_before_variable_before_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Settings.model_fields[name]
    assert getattr(read_settings([]), name) == setting.default
    (low, wanted_low), (high, wanted_high) = legal(name)
    assert wanted_low != setting.default
    monkeypatch.setenv(variable_of(name), low)
    assert getattr(read_settings([]), name) == getattr(Settings(), name) == wanted_low
    assert getattr(read_settings(as_flag(name, high)), name) == wanted_high
    monkeypatch.delenv(variable_of(name))
    assert getattr(read_settings(as_flag(name, high)), name) == wanted_high
    # Nothing else has changed.
    others = read_settings(as_flag(name, high)).model_dump(exclude={name})
    assert others == read_settings([]).model_dump(exclude={name})


def test_a_variable_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("snn_voice_port", "9000")
    assert read_settings([]).port == 9000


# --- lists ----------------------------------------------------------------------------------------


# Of those whose texts may be any.
LISTS = [name for name in FIELDS if get_origin(type_of(name)) is list and name != "frame_origins"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["a"], ["a"]),
        (["a,b"], ["a", "b"]),
        ([" a , b ,,"], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (["a,b", "c"], ["a", "b", "c"]),
        (["https://a.example:8443,me/words"], ["https://a.example:8443", "me/words"]),
        (["x=y"], ["x=y"]),
    ],
)
def test_lists(name: str, values: list[str], wanted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    separate = [word for value in values for word in (flag_of(name), value)]
    assert getattr(read_settings(separate), name) == wanted
    assert getattr(read_settings([f"{flag_of(name)}={value}" for value in values]), name) == wanted
    monkeypatch.setenv(variable_of(name), ",".join(values))
    assert getattr(read_settings([]), name) == wanted
    assert getattr(Settings(**{said(name): values}), name) == wanted  # type: ignore[arg-type]
    monkeypatch.setenv(variable_of(name), "")
    assert getattr(read_settings([]), name) == []


# --- what is not legal ----------------------------------------------------------------------------

ILLEGAL = [
    *[(name, "many") for name in FIELDS if type_of(name) in (int, float)],
    *[(name, "") for name in FIELDS if type_of(name) in (int, float)],
    *[(name, "-1") for name in FIELDS if type_of(name) in (int, float)],
    *[(name, "nan") for name in FIELDS if type_of(name) in (int, float)],
    *[(name, "1.5") for name in FIELDS if type_of(name) is int],
    *[(name, "1e999") for name in FIELDS if type_of(name) is int],
    *[(name, "loud") for name in FIELDS if get_origin(type_of(name)) is Literal],
    ("port", "65536"),
    ("key_share", "0"),
    ("key_share", "1.01"),
    ("max_queue", "0"),
    ("max_batch_size", "0"),
    ("max_files", "0"),
    ("max_batch_audio_seconds", "0"),
    ("deadline", "inf"),
    ("deadline", "0"),
    ("grace", "inf"),
    ("drain_delay", "inf"),
    ("max_body_mb", "0"),
    ("max_models_mb", "0"),
    ("engine", "warp"),
]


@pytest.mark.parametrize(("name", "text"), ILLEGAL)
def test_one_line_names_what_was_given(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([flag_of(name), text], [f"{flag_of(name)}={text}"]):
        if type_of(name) in (int, float) and text == "-1" and len(arguments) == 2:
            continue  # argparse may take it for a flag
        with pytest.raises(ConfigError) as refused:
            read_settings(arguments)
        line = str(refused.value)
        assert "\n" not in line
        if get_origin(type_of(name)) is Literal:
            assert flag_of(name) in line
        else:
            assert line.startswith(f"{flag_of(name)}={text} is not legal (")
    monkeypatch.setenv(variable_of(name), text)
    with pytest.raises(ConfigError) as refused:
        read_settings([])
    line = str(refused.value)
    assert "\n" not in line
    assert line.startswith(f"{variable_of(name)}={text} is not legal (")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--port", "-1"], "--port"),
        (["--port"], "--port"),
        (["--page=maybe"], "--page"),
        (["--no-page=1"], "--no-page"),
        (["--nonsense"], "--nonsense"),
        (["--nonsense", "1"], "--nonsense"),
        (["--max_queue", "1"], "--max_queue"),
        (["--max-q", "1"], "--max-q"),  # what is right today may mean another flag tomorrow
        (["surplus"], "surplus"),
        (["--max-body-mb", "300"], "max_body_memory_mb"),
    ],
)
def test_command_lines_that_are_not_legal(arguments: list[str], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_settings(arguments)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_yes_or_no_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_VOICE_PAGE", "perhaps")
    with pytest.raises(ConfigError, match="SNN_VOICE_PAGE=perhaps is not legal"):
        read_settings([])
    for text, wanted in (("0", False), ("no", False), ("off", False), ("1", True), ("TRUE", True)):
        monkeypatch.setenv("SNN_VOICE_PAGE", text)
        assert read_settings([]).page is wanted


def test_the_port_that_kubernetes_sets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """For a Service called snn-voice, in each pod that starts after it was made."""
    monkeypatch.setenv("SNN_VOICE_PORT", "tcp://10.0.0.1:80")
    with pytest.raises(ConfigError) as refused:
        read_settings([])
    line = str(refused.value)
    assert line.startswith("SNN_VOICE_PORT=tcp://10.0.0.1:80 is not legal (")
    assert "Kubernetes" in line
    assert "enableServiceLinks: false" in line
    # A flag goes before it.
    assert read_settings(["--port", "8000"]).port == 8000
    # Who gives it as a flag has not met Kubernetes.
    with pytest.raises(ConfigError) as refused:
        read_settings(["--port", "tcp://10.0.0.1:80"])
    assert "Kubernetes" not in str(refused.value)


# --- names and secrets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("SNN_VOICE_MAX_QUEU", "SNN_VOICE_MAX_QUEUE"),
        ("SNN_VOICE_MODELS", "SNN_VOICE_MODEL"),
        ("SNN_VOICE_API_KEY", "SNN_VOICE_API_KEYS"),
        ("SNN_VOICE_DEAD_LINE", "SNN_VOICE_DEADLINE"),
        ("SNN_VOICE_ZZZZZZZZZZZZZZZZZZ", ""),
    ],
)
def test_a_variable_that_is_no_setting(
    given: str, near: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(given, "geheim")
    assert read_settings([]) == Settings()
    warn_of_unknown()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    wanted = f"{given} is no setting; is {near} meant?" if near else f"{given} is no setting"
    assert record.getMessage() == wanted


def test_variables_of_the_library_are_no_mistake(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("SNN_VOICE_CACHE", "SNN_VOICE_NATIVE", "SNN_VOICE_KERNELS"):
        monkeypatch.setenv(name, "1")
    for name in FIELDS:
        monkeypatch.setenv(variable_of(name), legal(name)[0][0])
    read_settings([])
    warn_of_unknown()
    assert not caplog.records


def test_keys_are_not_shown() -> None:
    settings = read_settings(["--api-keys", "geheim"])
    assert settings.api_keys == ["geheim"]
    assert "geheim" not in repr(settings)
    assert "geheim" not in str(settings)
    with pytest.raises(ConfigError) as refused:
        read_settings(["--api-keys", "geheim", "--max-body-mb", "300"])
    assert "geheim" not in str(refused.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_settings([]).port = 1
    with pytest.raises(ValidationError, match="no_such"):
        Settings(no_such=1)  # type: ignore[call-arg]


def test_megabytes_are_a_million_bytes() -> None:
    assert Settings(max_body_mb=2.5).max_body_bytes == 2_500_000
