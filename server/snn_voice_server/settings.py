"""Everything that an operator can set: flags of `snn-voice serve`, or `SNN_VOICE_*` in the environment."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, CliApp, NoDecode, SettingsConfigDict, SettingsError

from snn_voice_hub.config import MAX_THREADS
from snn_voice_hub.errors import ConfigError
from snn_voice_hub.inference.engines.names import ENGINES
from snn_voice_server.process.door import DoorLimits
from snn_voice_server.queue.places import Limits
from snn_voice_server.teaching.lessons import TeachLimits

logger = logging.getLogger(__name__)

PREFIX = "SNN_VOICE_"
# Read elsewhere in this package and its library.
_OTHERS = ("SNN_VOICE_CACHE", "SNN_VOICE_KERNELS", "SNN_VOICE_NATIVE")

_ORIGIN = re.compile(r"https?://[\w*.-]+(:\d+)?", re.ASCII)

# In the environment a list is written with commas, on the command line also by giving the flag again.
Listed = Annotated[list[str], NoDecode]


class Settings(BaseSettings):
    """What an operator can set; `options` shows it as the options of the command."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_prefix_target="all",
        extra="forbid",
        frozen=True,
        cli_prog_name="snn-voice serve",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_exit_on_error=False,
    )

    host: str = Field("127.0.0.1", description="Address; 0.0.0.0 lets other machines in.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    page: bool = Field(True, description="Serve the page at /.")

    model: Listed = Field(
        [],
        description="Bundled name, folder or Hub id, owner/name or owner/name@revision; the bundled default "
        "if none is given. The first is loaded at the start and answers where a request names none; "
        "the others when first asked for.",
    )
    packages: Listed = Field(
        [],
        validation_alias="import",  # which Python doesn't take as a name
        description="Packages, or files ending in .py, that have networks of your own.",
    )
    device: str = Field(
        "auto", description="auto, cpu, mps, cuda (every GPU, a replica each), cuda:0,cuda:1."
    )
    engine: str = Field("auto", description=f"How networks are run: {', '.join(ENGINES)}.")
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="What networks compute in."
    )
    max_models_mb: float = Field(
        2048.0,
        gt=0,
        description="Weights of models loaded at once; beyond it, the one unused for longest goes.",
    )

    max_batch_size: int = Field(32, ge=1, description="Windows that run together.")
    max_batch_audio_seconds: float = Field(64.0, gt=0, description="Sound that runs together, in seconds.")
    max_queue: int = Field(512, ge=1, description="Windows that wait; more are refused with 503.")
    key_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Part of the queue that one API key may hold; more is refused with 429. By default a "
        "half if there are several keys.",
    )
    deadline: float = Field(10.0, gt=0, description="Seconds until a request is given up with 504.")
    max_seconds: float = Field(60.0, gt=0, description="Longest sound.")
    max_body_mb: float = Field(25.0, ge=0.001, description="Largest request body, in megabytes.")
    max_body_memory_mb: float = Field(
        256.0, gt=0, description="Request bodies held at once, in megabytes; more are refused with 503."
    )
    max_files: int = Field(64, ge=1, description="Files in a request to /classify/batch.")

    max_streams: int = Field(
        256, ge=1, description="Open streams of sound; more are refused. One API key may hold its share."
    )
    stream_idle_timeout: float = Field(
        60.0, gt=0, description="Seconds until a stream is closed on which nothing comes."
    )

    max_connections: int = Field(
        1024,
        ge=1,
        description="Open connections; more are refused with 503. Fewer where `ulimit -n` allows no more.",
    )
    max_header_kb: float = Field(32.0, gt=0, description="Largest request line and headers, in kilobytes.")
    max_headers: int = Field(100, ge=1, description="Headers of a request.")
    first_byte_timeout: float = Field(
        30.0, gt=0, description="Seconds that a new connection may stay silent."
    )
    header_timeout: float = Field(20.0, gt=0, description="Seconds that a request's headers may take.")
    body_timeout: float = Field(
        30.0, gt=0, description="Seconds that a request's body may take, and one more for each 16 kB of it."
    )

    threads: int = Field(
        0, ge=0, le=MAX_THREADS, description="PyTorch's threads; 0: one fewer than cores, at most 4."
    )
    decode_threads: int = Field(
        0, ge=0, le=MAX_THREADS, description="Threads that decode sound; 0: one a core, at most 4."
    )

    api_keys: Listed = Field([], repr=False, description="Keys that callers need: Authorization: Bearer KEY.")
    api_keys_file: Path | None = Field(
        None, description="File with a line for each key: its name, and the SHA-256 of the key in hex."
    )
    cors_origins: Listed = Field([], description="Origins whose pages may call; * for all. Off by default.")
    frame_origins: Listed = Field(
        [], description="Origins whose pages may show the service's page in a frame; nobody by default."
    )

    allow_teach: bool = Field(
        False,
        description="Let callers teach new words by POST /teach (extra [train]); one training at a time.",
    )
    teach_folder: Path | None = Field(
        None, description="Where clips and new models are kept; by default they go with the service."
    )
    teach_words: int = Field(20, ge=1, description="Words of a training.")
    teach_clips: int = Field(200, ge=1, description="Clips of each word.")
    teach_mb: float = Field(64.0, gt=0, description="Clips of a training, in megabytes.")
    teach_seconds: float = Field(3600.0, gt=0, description="Seconds that a training may take.")
    teach_memory_mb: float = Field(
        6144.0, gt=0, description="Memory that a training may hold, in megabytes (on Linux)."
    )
    teach_keep: int = Field(10, ge=1, description="Trainings whose clips and models stay; older ones go.")

    drain_delay: float = Field(
        0.0, ge=0, description="Seconds after SIGTERM in which /ready says no and requests are still taken."
    )
    grace: float = Field(30.0, gt=0, description="Seconds that accepted requests get to finish after that.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="info adds a line for each request."
    )
    log_format: Literal["text", "json"] = Field("text", description="Form of the log on stderr.")
    ray: bool = Field(False, description="Run on Ray Serve (extra [ray]).")
    ray_min_replicas: int = Field(1, ge=1, description="With --ray: copies of each model at least.")
    ray_max_replicas: int = Field(4, ge=1, description="With --ray: copies of each model at most.")
    ray_cpus: float = Field(1.0, ge=0, description="With --ray: cores that a copy reserves; 0.5 is legal.")

    @field_validator("model", "packages", "api_keys", "cors_origins", "frame_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list):
            return value
        return [part.strip() for text in texts for part in str(text).split(",") if part.strip()]

    @field_validator("frame_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        if not all(_ORIGIN.fullmatch(origin) for origin in value):  # they become a part of a header
            raise ValueError("origins such as https://huggingface.co")
        return value

    @field_validator("engine")
    @classmethod
    def _engine(cls, value: str) -> str:
        if value not in ENGINES:
            raise ValueError(f"one of {', '.join(ENGINES)}")
        return value

    @field_validator(
        *("max_seconds", "max_body_mb", "max_body_memory_mb", "deadline", "drain_delay", "grace"),
        *("max_header_kb", "first_byte_timeout", "header_timeout", "body_timeout"),
        *("stream_idle_timeout", "teach_mb", "teach_seconds", "teach_memory_mb"),
    )
    @classmethod
    def _finite(cls, value: float) -> float:
        if value != value or value == float("inf"):
            raise ValueError("a finite number")
        return value

    @model_validator(mode="after")
    def _body_fits(self) -> Settings:
        if self.max_body_mb > self.max_body_memory_mb:
            raise ValueError("max_body_mb is more than max_body_memory_mb: no such body could be read")
        if self.allow_teach and self.teach_mb > self.max_body_memory_mb:
            raise ValueError("teach_mb is more than max_body_memory_mb: no such body could be read")
        return self

    def limits(self, keys: int = 0) -> Limits:
        """Of a model's queue, where so many callers have keys."""
        return Limits(
            batch_windows=self.max_batch_size,
            batch_seconds=self.max_batch_audio_seconds,
            queue_windows=self.max_queue,
            share=self.key_share or (0.5 if keys > 1 else 1.0),
        )

    @property
    def door(self) -> DoorLimits:
        """What clients may take before anybody knows what they want."""
        return DoorLimits(
            connections=self.max_connections,
            header_bytes=int(self.max_header_kb * 1e3),
            headers=self.max_headers,
            first_byte_seconds=self.first_byte_timeout,
            header_seconds=self.header_timeout,
        )

    @property
    def teaching(self) -> TeachLimits:
        """How much callers may teach."""
        return TeachLimits(
            words=self.teach_words,
            clips=self.teach_clips,
            max_bytes=int(self.teach_mb * 1e6),
            seconds=self.teach_seconds,
            memory_mb=self.teach_memory_mb,
            keep=self.teach_keep,
            folder=self.teach_folder,
        )

    def check_for_ray(self) -> None:
        """Refuse what replicas can't do.

        Raises:
            ConfigError: The service is to teach.
        """
        if self.allow_teach:
            raise ConfigError(
                "--allow-teach is not possible on Ray: replicas take in no new models",
                hint="snn-voice serve without --ray",
            )

    @property
    def max_body_bytes(self) -> int:
        """Largest request body."""
        return int(self.max_body_mb * 1e6)


def read_settings(arguments: Sequence[str]) -> Settings:
    """Settings of a command line and the environment.

    Raises:
        ConfigError: One is not legal; the message names it in the way that it was given.
    """
    try:
        settings: Settings = CliApp.run(Settings, cli_args=list(arguments))
    except ValidationError as error:
        raise _explained(error, arguments) from error
    except SettingsError as error:
        text = str(error).removeprefix("error parsing CLI: ")
        raise ConfigError(text, hint="snn-voice serve --help shows all settings") from error
    return settings


def warn_of_unknown() -> None:
    """Log variables of the environment that look like settings and are none."""
    for name in _unknown(os.environ):
        near = difflib.get_close_matches(name, setting_variables(), n=1)
        logger.warning("%s is no setting%s", name, f"; is {near[0]} meant?" if near else "")


def setting_variables() -> list[str]:
    """The variables of the environment that are settings."""
    fields = Settings.model_fields.items()
    return [PREFIX + str(field.validation_alias or name).upper() for name, field in fields]


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {*setting_variables(), *_OTHERS}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _explained(error: ValidationError, arguments: Sequence[str]) -> ConfigError:
    first = error.errors()[0]
    reason = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if not first["loc"]:
        return ConfigError(reason)
    name = str(first["loc"][0])
    flag = "--" + name.replace("_", "-")
    given = any(argument == flag or argument.startswith(f"{flag}=") for argument in arguments)
    shown: Any = first["input"]
    if name == "port" and not given and str(shown).startswith("tcp://"):
        reason = (
            "Kubernetes sets it for a Service called snn-voice: enableServiceLinks: false, or another name"
        )
    return ConfigError(f"{flag if given else PREFIX + name.upper()}={shown} is not legal", hint=reason)
