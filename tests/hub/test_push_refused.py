"""What nobody could open does not reach the Hub; what others have pushed under wrappers' names opens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.hub.publishing import COMMAND, PUSH, folder
from tests.sandbox.helpers import Sandbox

__all__ = ["folder"]

CHANGES = {
    "head": ("net.fc = nn.Linear(net.fc.in_features, 3)", "num_classes=3 and as many labels"),
    "added": ("net.adapter = nn.Linear(2, 2)", "has unknown adapter.weight"),
    "normed": ("nn.utils.parametrizations.weight_norm(net.fc)", "remove_parametrizations"),
    "nan": ("net.fc.bias.data[0] = float('nan')", "fc.bias holds 1 NaN of 35 values"),
    "labels": ("voice.config.labels.pop()", "labels has 34 entries"),
}


def test_nothing_of_a_refused_model_reaches_the_hub(hub: Sandbox) -> None:
    works = "\n".join(
        f"""
voice = sv.SnnVoice.from_pretrained("tcy-snn")
net = voice.network
{change}
found.append(refusal(lambda: voice.push_to_hub("me/{name}", quiet=True)))
found.append(refusal(lambda: net.push_to_hub("me/{name}-network", quiet=True)))
"""
        for name, (change, _) in CHANGES.items()
    )
    begin = f"{PUSH}\nfrom torch import nn\nimport snn_voice_hub as sv\nfound = []\n"
    ran = hub.run(f"{begin}{works}\nprint(json.dumps(found))")
    for index, (name, (_, said)) in enumerate(CHANGES.items()):
        for code, message in ran.value[2 * index : 2 * index + (1 if name == "labels" else 2)]:
            assert code in ("bad_checkpoint", "bad_config")
            assert said in message
    for name in CHANGES:
        assert not hub.api().repo_exists(f"me/{name}")


def test_the_command_looks_at_the_weights(hub: Sandbox, folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    for name, value, said in (
        ("fc.bias", torch.zeros(3), "fc.bias has shape [3], the network wants [35]"),
        ("fc.bias", torch.full((35,), torch.inf), "fc.bias holds 35 infinite of 35 values"),
        ("fc.bias", torch.zeros(35, dtype=torch.int8), "fc.bias is int8"),
        ("other", torch.zeros(1), "has unknown other"),
    ):
        save_file(weights | {name: value}, path)
        arguments = ["snn-voice", "push", str(folder), "me/by-command"]
        ran = hub.run(f"import sys; sys.argv = {arguments!r}; {COMMAND}", check=False)
        assert ran.code == 2, ran.err
        assert said in ran.err
        assert len(ran.err.splitlines()) == 1
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n")
    ran = hub.run(PUSH + f"print(json.dumps(refusal(lambda: push_folder({str(folder)!r}, 'me/by-command'))))")
    assert ran.value[0] == "lfs_pointer"
    assert not hub.api().repo_exists("me/by-command")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
def test_weights_under_the_names_of_wrappers_open_from_the_hub(
    prefix: str, hub: Sandbox, folder: Path
) -> None:
    path = folder / "model.safetensors"
    save_file({prefix + key: value for key, value in load_file(path).items()}, path)
    hub.push("me/wrapped", {name: folder / name for name in ("config.json", "model.safetensors")})
    ran = hub.run("import snn_voice_hub as sv; print(len(sv.SnnVoice.from_pretrained('me/wrapped').labels))")
    assert ran.out == "35\n"
