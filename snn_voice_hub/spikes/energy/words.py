"""How the figures of an energy estimate are written."""

from __future__ import annotations


def whole(value: float | None) -> str:
    """A number of operations or bytes."""
    return "-" if value is None else f"{value:,.0f}"


def microjoules(value: float | None) -> str:
    """Microjoules with three significant digits, or as a whole number."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """A share in percent."""
    return "-" if share is None else f"{100 * share:.1f} %"


def times(share: float | None) -> str:
    """A share of the twin's energy, as a factor."""
    return "-" if share is None else f"{share:.2f} times" if share >= 0.1 else f"{share:.2g} times"
