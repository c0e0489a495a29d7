"""`snn-voice hub-sandbox`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer
from snn_voice_server.process.extra import serve_extra

from snn_voice_hub import ConfigError


def hub_sandbox(
    host: Annotated[str, typer.Option(help="Address; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8800,
    data: Annotated[
        Path | None, typer.Option(help="Folder to keep repositories in.", show_default="forgotten at the end")
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            help="A token, or TOKEN:USER; may be given several times.", show_default="hf_sandbox:me"
        ),
    ] = None,
) -> None:
    """Rehearse a push: a small Hugging Face Hub on this machine, without an account."""
    with serve_extra("the sandbox"):
        from snn_voice_lite.process.sockets import bind, url_of
        from snn_voice_server.process.running import Life, run

        from snn_hub_sandbox.app import create_app
        from snn_hub_sandbox.serving import configuration
    tokens = _tokens(token or ["hf_sandbox:me"])
    with ExitStack() as stack:
        listener = stack.enter_context(closing(bind(host, port)))
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hub-sandbox-")))
        url, (first, user) = url_of(listener), next(iter(tokens.items()))
        greeting = (
            f"snn-voice: a Hub for the user {user} at {url}; "
            f"use it with: HF_ENDPOINT={url} HF_HUB_DISABLE_XET=1 HF_TOKEN={first}"
        )
        # Answers that stall on purpose are cut off, and that is a normal end.
        life = Life(cut_off_code=0)
        run(configuration(create_app(folder, tokens)), listener, greeting, life)


def _tokens(texts: list[str]) -> dict[str, str]:
    tokens = {}
    for text in texts:
        token, colon, user = text.partition(":")
        user = user if colon else "me"
        # A token goes into a header, a user name into addresses.
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise ConfigError(f"--token {text!r} is not a token", hint="letters and digits, as in hf_sandbox")
        if not user.replace("-", "").isalnum() or not user.isascii():
            raise ConfigError(f"--token {text!r} has no legal user name", hint="as in hf_sandbox:me")
        tokens[token] = user
    return tokens
