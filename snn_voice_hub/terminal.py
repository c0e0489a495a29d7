"""Tables as a terminal shows them, by rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from snn_voice_lite.visible import LINE_LIMIT, visible

if TYPE_CHECKING:
    from rich.table import Table


def rich_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    words: int = 1,
    wrap: bool = True,
) -> Table:
    """A table to print with a `rich.console.Console`; its text is shown as it is, and harmless.

    Args:
        columns: Their titles.
        rows: The cells, one a column.
        title: Above the table.
        words: So many columns are text; those after them are figures, and stand to the right.
        wrap: Break cells for which the terminal is too narrow; else they end in an ellipsis.
    """
    from rich.markup import escape
    from rich.table import Table

    said = None if title is None else escape(visible(title, LINE_LIMIT))
    table = Table(title=said, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(
            escape(visible(column)),
            justify="left" if i < words else "right",
            overflow="fold" if wrap else "ellipsis",
            no_wrap=not wrap,
        )
    for row in rows:
        table.add_row(*(escape(visible(cell)) for cell in row))
    return table
