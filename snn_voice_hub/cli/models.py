"""`snn-voice models`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from snn_voice_hub.cli.output import say_json, show
from snn_voice_hub.errors import SnnVoiceError
from snn_voice_hub.notation import percent, whole
from snn_voice_hub.terminal import rich_table

if TYPE_CHECKING:
    from snn_voice_hub.hub.catalog import ModelInfo
    from snn_voice_hub.hub.remote.search import HubListing


def models(
    pattern: Annotated[str, typer.Argument(help='Shell-style, for example "*snn*".')] = "*",
    hub: Annotated[
        str | None,
        typer.Option(metavar="QUERY", help='Search the Hub instead; "" for every model of this library.'),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many of the Hub's.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Every figure of all bundled models, as CSV.")
    ] = False,
) -> None:
    """List the bundled models, the default first; or those on the Hub."""
    if as_csv:
        if as_json or hub is not None or pattern != "*":
            raise SnnVoiceError("--csv goes alone", hint="snn-voice models --csv")
        from snn_voice_hub.hub.catalog import results_csv

        typer.echo(results_csv(), nl=False)
        return
    if hub is None:
        from snn_voice_hub.hub.catalog import list_models

        bundled = list_models(pattern)
        if not bundled:
            everything = ", ".join(info.name for info in list_models())
            raise SnnVoiceError(f"no bundled model matches {pattern!r}", hint=f"there are {everything}")
        _show(bundled, _COLUMNS, map(_row, bundled), 2, as_json)
        return
    if pattern != "*":
        raise SnnVoiceError("a pattern and --hub do not go together", hint=f"--hub {pattern.strip('*')}")
    from snn_voice_hub.hub.remote.search import search_models

    found = search_models(hub, limit=limit)
    if not found and not as_json:
        what = f" matches {hub!r}" if hub else ""
        raise SnnVoiceError(f"no model of this library on the Hub{what}")
    _show(found, _HUB_COLUMNS, map(_hub_row, found), 3, as_json)


_COLUMNS = ("name", "architecture", "steps", "parameters", "test top-1", "size")
_HUB_COLUMNS = ("id", "network", "licence", "downloads", "likes", "changed")


def _row(info: ModelInfo) -> tuple[str, ...]:
    from snn_voice_hub.hub.catalog import told_steps

    return (
        info.name,
        info.architecture,
        told_steps(info.num_steps, info.step_seconds),
        whole(info.parameters),
        percent(info.accuracy),
        f"{info.size / 1e6:.2f} MB",
    )


def _hub_row(listing: HubListing) -> tuple[str, ...]:
    return (
        listing.id + (" (private)" if listing.private else ""),
        "spiking" if listing.spiking else "-",
        listing.license or "-",
        f"{listing.downloads:,}",
        f"{listing.likes:,}",
        listing.updated or "-",
    )


def _show(
    found: Sequence[ModelInfo | HubListing],
    columns: Sequence[str],
    rows: Iterable[tuple[str, ...]],
    words: int,
    as_json: bool,
) -> None:
    if as_json:
        say_json([dataclasses.asdict(item) for item in found], indent=2)
    else:
        show(rich_table(columns, rows, words=words, wrap=False))
