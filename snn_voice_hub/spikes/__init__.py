"""What the spikes of a network did: recorded, counted, drawn."""

from snn_voice_hub.spikes.figures import (
    LayerFigures,
    dead,
    first_spikes,
    in_time,
    layer_figures,
    rates,
    saturated,
)
from snn_voice_hub.spikes.record import Recording, Row

__all__ = [
    "LayerFigures",
    "Recording",
    "Row",
    "dead",
    "first_spikes",
    "in_time",
    "layer_figures",
    "rates",
    "saturated",
]
