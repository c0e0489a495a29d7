"""NIR, the exchange format of spiking networks: written, read back, compared."""

from snn_voice_hub.export.nir.files import ExportedNir, compare, export_nir, load

__all__ = ["ExportedNir", "compare", "export_nir", "load"]
