"""Neural networks: tensors in, logits out. A CNN and its spiking twin stand side by side in one file."""

from snn_voice_hub.models.architectures.hjh import HjhCNN, HjhSCNN, HjhSNN
from snn_voice_hub.models.architectures.m5 import M5CNN, M5SNN
from snn_voice_hub.models.architectures.piczak import PiczakCNN, PiczakSNN
from snn_voice_hub.models.architectures.resmel import ResMelCNN, ResMelSNN
from snn_voice_hub.models.architectures.tcy import TcyCNN, TcySNN
from snn_voice_hub.models.base import ConvNetwork, Network
from snn_voice_hub.models.lif import lif_scan, lif_step
from snn_voice_hub.models.lif_layer import Lif
from snn_voice_hub.models.network import Pass, SpikingNetwork, over_time

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
