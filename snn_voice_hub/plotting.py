"""How the package's pictures look, whatever they show; matplotlib itself is imported where one is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snn_voice_hub.errors import ConfigError, needs_extra
from snn_voice_hub.writing import check_target, replacing

# Okabe and Ito's colours: told apart by colour-blind readers too.
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
INK, SOFT, LINE = "#222222", "#666666", "#dddddd"

DPI = 100

STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.constrained_layout.use": True,
    # A "$" in somebody's word would not be drawn as it stands.
    "text.parse_math": False,
}


def matplotlib(what: str) -> tuple[Any, Any]:
    """The package matplotlib, and its class `Figure`: drawing on one needs no window and no global state.

    Args:
        what: What needs it, for the error.

    Raises:
        MissingExtraError: It is not installed.
    """
    with needs_extra(what, "plots", "matplotlib", ("matplotlib",)):
        import matplotlib as mpl
        from matplotlib.figure import Figure
    return mpl, Figure


def check_picture(path: Path, what: str) -> None:
    """Refuse a picture that can't be written, before anything long is done for it.

    Args:
        path: The file; its ending says in which format.
        what: What needs it, for the error.

    Raises:
        SnnVoiceError: Its folder does not exist, it is one, or there is no such format.
        MissingExtraError: Matplotlib is not installed.
    """
    _, blank = matplotlib(what)
    check_target(path, hint="a .png file")
    formats = blank().canvas.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in formats:
        raise ConfigError(f"{path} can't be written: {path.suffix} is no format", hint=", ".join(formats))


@contextmanager
def picture(path: Path) -> Iterator[tuple[Path, str]]:
    """Where to draw a picture to, and in which format; at the end it takes the place of `path`, at once.

    Args:
        path: The file; its ending says in which format. Without one it is a PNG, and gets one.

    Raises:
        ConfigError: The file can't be written.
    """
    target = path if path.suffix else path.with_name(f"{path.name}.png")
    try:
        with replacing(target) as part:
            yield part, target.suffix[1:].lower()
    except (OSError, ValueError) as error:  # among the second: a format that is not known
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} can't be written: {reason}", hint="a .png file") from error
