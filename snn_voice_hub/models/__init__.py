"""Neural networks: tensors in, logits out. A CNN and its spiking twin stand side by side in one file."""

from snn_voice_hub.models.base import ConvNetwork, Network
from snn_voice_hub.models.hjh import HjhCNN, HjhSCNN, HjhSNN
from snn_voice_hub.models.m5 import M5CNN, M5SNN
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time
from snn_voice_hub.models.piczak import PiczakCNN, PiczakSNN
from snn_voice_hub.models.resmel import ResMelCNN, ResMelSNN
from snn_voice_hub.models.spiking import Lif, lif_scan, lif_step
from snn_voice_hub.models.tcy import TcyCNN, TcySNN

__all__ = [
    "M5CNN",
    "M5SNN",
    "ConvNetwork",
    "HjhCNN",
    "HjhSCNN",
    "HjhSNN",
    "Lif",
    "Network",
    "Pass",
    "PiczakCNN",
    "PiczakSNN",
    "ResMelCNN",
    "ResMelSNN",
    "SpikingNetwork",
    "TcyCNN",
    "TcySNN",
    "lif_scan",
    "lif_step",
    "over_time",
]
