"""Neural networks: tensors in, logits out. The names are imported when they are first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snn_voice_hub.models.architectures import *  # noqa: F403
    from snn_voice_hub.models.base import ConvNetwork as ConvNetwork
    from snn_voice_hub.models.base import Network as Network
    from snn_voice_hub.models.lif import lif_scan as lif_scan
    from snn_voice_hub.models.lif import lif_step as lif_step
    from snn_voice_hub.models.lif_layer import Lif as Lif
    from snn_voice_hub.models.network import Pass as Pass
    from snn_voice_hub.models.network import SpikingNetwork as SpikingNetwork
    from snn_voice_hub.models.network import over_time as over_time
else:
    from snn_voice_lite.lazy import lazily

    from snn_voice_hub.models import architectures

    _HOMES = {
        "architectures": architectures.__all__,
        "base": ("ConvNetwork", "Network"),
        "lif": ("lif_scan", "lif_step"),
        "lif_layer": ("Lif",),
        "network": ("Pass", "SpikingNetwork", "over_time"),
    }
    __getattr__, __dir__, __all__ = lazily(__name__, _HOMES)
