"""examples/push_trained_model.py, on tones in place of words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from huggingface_hub import ModelCard

from tests.nursery import Ran
from tests.places import ROOT
from tests.sandbox.helpers import Sandbox

SCRIPT = ROOT / "examples" / "push_trained_model.py"


def example(hub: Sandbox, *arguments: object, **environment: str) -> Ran:
    argv = [str(SCRIPT), *map(str, arguments)]
    snippet = f"import runpy, sys; sys.argv = {argv!r}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    return hub.run(snippet, check=False, **environment)


def tones(folder: Path, pitches: dict[str, float], speakers: int) -> Path:
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    for word, pitch in pitches.items():
        (folder / word).mkdir(parents=True)
        for n in range(speakers):
            tone = np.sin(2 * np.pi * pitch * rng.uniform(0.95, 1.05) * time) * np.hanning(16_000)
            soundfile.write(folder / word / f"{n:02x}_nohash_0.wav", 0.3 * tone, 16_000)
    return folder


def test_train_evaluate_push_load_classify(hub: Sandbox, tmp_path: Path) -> None:
    clips = tones(tmp_path / "tones", {"yes": 300, "no": 2500}, 30)
    ran = example(hub, "me/example", "--data", clips, "--epochs", 1, "--private", "--license", "CC0-1.0")
    assert ran.code == 0, ran.err
    *_, measured, pushed, heard = ran.out.splitlines()
    top1 = float(measured.split()[1])
    assert pushed.startswith(f"pushed: {hub.url}/me/example/commit/")
    assert heard.split(":")[0].startswith(("yes/", "no/"))
    info = hub.api().model_info("me/example")
    assert info.private
    path = hub.api().hf_hub_download("me/example", "README.md", cache_dir=tmp_path / "cards")
    data = ModelCard(Path(path).read_text()).data
    assert data.license == "cc0-1.0"
    assert data.datasets is None  # these are not Speech Commands
    (top,) = [r for r in data.eval_results if r.metric_name == "Top-1 accuracy"]
    assert top.metric_value == pytest.approx(top1, abs=1e-3)
    assert top.dataset_name.startswith("tones, ")


@pytest.mark.slow
def test_what_is_missing_is_said(hub: Sandbox, tmp_path: Path) -> None:
    # Kokoro, which needs no program, may lie in the cache.
    ran = example(hub, "me/example", PATH="/nowhere", SNN_VOICE_CACHE=str(tmp_path / "cache"))
    assert (ran.code, "or give --data FOLDER" in ran.err) == (1, True)
    ran = example(hub, "me/example", "--data", tones(tmp_path / "a", {"hello": 300}, 30))
    assert "clips of one word only" in ran.err
    ran = example(hub, "me/example", "--data", tones(tmp_path / "b", {"yes": 300}, 2))
    assert "too few speakers" in ran.err
    ran = example(hub, "me/example", "--data", tmp_path / "nowhere")
    assert "does not exist" in ran.err
    assert "Traceback" not in ran.err
