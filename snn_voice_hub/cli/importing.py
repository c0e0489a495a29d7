"""`--import`, which every command has, before and after its name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from snn_voice_hub.packages import use_packages

Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="PACKAGE",
        help="Import a package, or a file ending in .py, that has networks of your own; may be repeated. "
        "SNN_VOICE_IMPORT names them for every command.",
    ),
]


def with_imports(command: Callable[..., None]) -> Callable[..., None]:
    """A command that also takes `--import`. It imports when it runs, so that `--help` needs nothing."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*arguments: Any, imports: list[str] | None = None, **options: Any) -> None:
        use_packages(imports or ())
        command(*arguments, **options)

    option = inspect.Parameter("imports", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Imports)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option]
    )
    # Releases of Typer differ in which of the two they read.
    run.__annotations__ = {name: p.annotation for name, p in run.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return run
