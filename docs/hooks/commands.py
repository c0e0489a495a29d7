"""The reference of the commands, out of the parsers that read them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import typer.main
from mkdocs.structure.pages import Page
from snn_voice_lite.shell.program import make_parser

from snn_voice_hub.cli import app
from snn_voice_hub.notation import markdown_table

MARKERS: Final = {"<!-- commands of snn-voice -->", "<!-- commands of snn-voice-lite -->"}


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """The page of the commands with what stands for its two markers."""
    if not any(marker in markdown for marker in MARKERS):
        return markdown
    told = {"snn-voice": _of_hub, "snn-voice-lite": _of_lite}
    for program, tell in told.items():
        markdown = markdown.replace(f"<!-- commands of {program} -->", "\n\n".join(tell()))
    return markdown


def _of_hub() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    context = group.context_class(group, info_name="snn-voice")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inside = command.context_class(command, info_name=f"snn-voice {name}")
        records = (option.get_help_record(inside) for option in command.get_params(inside))
        yield f"### snn-voice {name}"
        yield command.help
        yield _table(record for record in records if record)


def _of_lite() -> Iterator[str]:
    (commands,) = (
        action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, parser in commands.choices.items():
        yield f"### snn-voice-lite {name}"
        yield f"{parser.description}."
        formatter = parser.formatter_class(prog=parser.prog)
        yield _table((formatter._format_action_invocation(a), a.help or "") for a in parser._actions)


def _table(records: Iterable[tuple[str, str]]) -> str:
    rows = [(f"`{_plain(option)}`", _escaped(text)) for option, text in records if "--help" not in option]
    return markdown_table(("option", ""), rows, words=2)


def _plain(option: str) -> str:
    """An option as it is typed: its kind is `<str>` or `<list[str]>` to the parser, `TEXT` to a reader."""
    names = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "path": "PATH"}
    kind = re.compile(r" <(?:list\[)?(\w+)(?: range)?\]?>")
    return kind.sub(lambda match: f" {names.get(match[1], match[1].upper())}", option)


def _escaped(text: str) -> str:
    return re.sub(r"(?<!`)([<>*_])(?!`)", r"\\\1", " ".join(text.split()))
