"""The settings as options of `snn-voice serve`, for its help and for the shell's completion."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
import typer.core
import typer.main
from rich.markup import escape

from snn_voice_hub.cli.completion import engine_names, model_names
from snn_voice_server.process.extra import serve_extra

# Each box of the help begins with the setting named here.
_PANELS = {
    "host": "Where",
    "model": "Models",
    "max_batch_size": "Batches and limits",
    "threads": "Threads",
    "api_keys": "Who may call",
    "allow_teach": "Teaching",
    "drain_delay": "The end",
    "log_level": "Log",
    "ray": "Ray",
}
_COMPLETIONS = {"model": model_names, "engine": engine_names}


class ServeCommand(typer.core.TyperCommand):
    """Shows the settings as its options, and leaves reading them to `settings.read_settings`.

    They need the extra `[serve]`, and so are not looked at before somebody asks: `snn-voice --help` works
    without it.
    """

    allow_extra_args = True
    ignore_unknown_options = True
    _parsing = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what the command declares itself; the settings stay as they are, in `ctx.args`."""
        if not ctx.resilient_parsing and not {"--help", "-h"}.isdisjoint(args):
            if text := ctx.get_help():
                typer.echo(text)
            ctx.exit()
        self._parsing = True
        try:
            return super().parse_args(ctx, args)
        finally:
            self._parsing = False

    def get_params(self, ctx: Any) -> list[Any]:
        """The command's own options, and for those who look at them the settings'."""
        found = super().get_params(ctx)
        if self._parsing:
            return found
        with serve_extra("the service"):
            return [*_options(), *found]


def _options() -> list[Any]:
    from snn_voice_server.settings import Settings

    def settings() -> None: ...

    panel, parameters = "", []
    for name, field in Settings.model_fields.items():
        panel = _PANELS.get(name, panel)
        if field.validation_alias:  # --import, which all commands have
            continue
        option = typer.Option(
            help=escape(field.description or ""),
            rich_help_panel=panel,
            show_default=field.default not in (None, []),
            autocompletion=_COMPLETIONS.get(name),
            **_form(field.annotation),
        )
        annotation = Annotated[_plain(field.annotation), option]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=annotation
            )
        )
    settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    settings.__annotations__ = {p.name: p.annotation for p in parameters}
    app = typer.Typer(add_completion=False)
    app.command()(settings)
    return list(typer.main.get_command(app).params)


def _plain(annotation: Any) -> Any:
    """The type that an option is shown with."""
    if get_origin(annotation) is types.UnionType:
        (annotation,) = (kind for kind in get_args(annotation) if kind is not types.NoneType)
    if get_origin(annotation) is Literal:
        return str
    return annotation if annotation in (bool, int, float, Path) or get_origin(annotation) is list else str


def _form(annotation: Any) -> dict[str, Any]:
    values = get_args(annotation) if get_origin(annotation) is Literal else ()
    return {"metavar": "|".join(values)} if values else {}
