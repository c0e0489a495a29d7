"""What is mutated, and which tests have to notice: those that take seconds and stand nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Target:
    """One module whose tests are tested.

    Attributes:
        path: Of the module, from the root of the repository.
        tests: What pytest is given, the quickest first: it stops at the first test that fails.
    """

    path: str
    tests: tuple[str, ...]


TARGETS: Final = {
    "lif": Target("snn_voice_hub/models/lif.py", ("tests/models/test_lif.py",)),
    "lif_layer": Target(
        "snn_voice_hub/models/lif_layer.py",
        (
            *("tests/models/test_lif_layer.py", "tests/models/test_lif.py"),
            *("tests/models/test_beta_per_channel.py", "tests/native/test_lif.py"),
            "-k",
            "test_lif_layer or (by_parts and atan) or by_hand or snntorch or state or a_layer_equals "
            "or left_to_pytorch",
        ),
    ),
    "network": Target(
        "snn_voice_hub/models/network.py",
        (
            *("tests/models/test_network.py", "tests/models/test_models.py", "tests/models/test_framed.py"),
            "-k",
            "test_network or illegal or stays or silent or changed or hooks or name_each or looked_back_at "
            "or often or loop_equals and (Tcy or M5) or learns and Tcy or does_not_say",
        ),
    ),
    "features": Target("snn_voice_hub/features.py", ("tests/audio/test_features.py",)),
    "batching": Target(
        "server/snn_voice_server/queue/batching.py",
        (
            "tests/server/queue/test_batching.py",
            "tests/server/queue/test_failures.py",
            "tests/server/queue/test_ends.py",
        ),
    ),
    "detector": Target("lite/snn_voice_lite/streaming/detector.py", ("tests/streaming/test_detector.py",)),
}
