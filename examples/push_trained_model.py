"""Train a small spiking network on six words, measure it, publish it, and use it from the Hub.

    python examples/push_trained_model.py me/my-words --private

takes a minute or two. The words are spoken by espeak-ng, flite or festival; with recordings of your own
(a folder of folders, word/clip.wav) it is

    python examples/push_trained_model.py me/my-words --data recordings/

Log in before: hf auth login. To rehearse without an account, run `snn-voice hub-sandbox` in another terminal
and set the variables that it prints (HF_ENDPOINT is where models go to and come from).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import io
import logging
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from snn_voice_hub import SnnVoice, SnnVoiceError
from snn_voice_hub.hub.bundled import bundled_root
from snn_voice_hub.training.clips.corpus import COVERED
from snn_voice_hub.training.clips.data import encoded_files, load_clips, speaker
from snn_voice_hub.training.clips.sources import load_dataset
from snn_voice_hub.training.clips.synthesis import available_engines, speak_words
from snn_voice_hub.training.fitting.fit import Job, fit
from snn_voice_hub.training.fitting.recipes import RECIPES
from snn_voice_hub.training.measuring.evaluate import clip_logits, evaluate, fit_temperature

WORDS = ("yes", "no", "up", "down", "left", "right")


def gather(given: Path | None, work: Path) -> tuple[Path, str]:
    """Clips, word/clip.wav, and a name for where they are from."""
    if given is not None:
        return given, given.name
    try:
        # Same seed, same utterances: 40 of each word, by voices, speeds and pitches drawn at random.
        count = sum(1 for _ in speak_words(dict.fromkeys(WORDS, 40), work / "clips"))
    except SnnVoiceError as error:
        raise SnnVoiceError(
            error.message, hint=f"{error.hint or 'mend it'}, or give --data FOLDER"
        ) from error
    print(f"{count} utterances synthesised")
    return work / "clips", f"Words synthesised by {', '.join(available_engines())}"


def split(clips: Path, synthetic: bool, data: Path) -> None:
    """Write train.tar, val.tar and test.tar, and some background noise, as training wants them."""
    words: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    with contextlib.ExitStack() as stack:
        tars = {part: stack.enter_context(tarfile.open(data / f"{part}.tar", "w")) for part in words}
        for name, sound in encoded_files(clips):
            # Nobody may be heard both in training and in the test, or the test says little. So a checksum of
            # the speaker decides, who stands before `_nohash_` in the names of Speech Commands. Synthesisers
            # have too few voices for that: their figures will be better than any for people.
            who = name if synthetic else speaker(name)
            bucket = hashlib.sha1(who.encode()).digest()[0] % 10
            part = "train" if bucket < 7 else "val" if bucket == 7 else "test"
            word = Path(name).parent.name
            entry = tarfile.TarInfo(f"{word}/{Path(name).name}")
            entry.size = len(sound)
            tars[part].addfile(entry, io.BytesIO(sound))
            words[part].add(word)
    if not words["train"] & set(COVERED):
        raise SnnVoiceError(
            f"{clips} has none of the words by which training picks its best epoch",
            hint=f"at least one folder of: {', '.join(COVERED)}",
        )
    if not words["val"] or not words["test"] or not words["val"] | words["test"] <= words["train"]:
        raise SnnVoiceError(
            f"{clips} has too few speakers to keep some apart", hint="at least twenty for each word"
        )
    noise = np.random.default_rng(0).standard_normal(160_000)
    soundfile.write(data / "hiss.wav", 0.05 * noise, 16_000)
    soundfile.write(data / "rumble.wav", np.convolve(noise, np.ones(40) / 200, "same"), 16_000)
    with tarfile.open(data / "background_noise.tar", "w") as archive:
        for name in ("hiss.wav", "rumble.wav"):
            archive.add(data / name, f"noise/{name}")


def measure(run: Path, data: Path) -> SnnVoice:
    """The trained model, calibrated on the validation clips and measured on the test clips."""
    model = SnnVoice.from_pretrained(run)
    # After this a score of 0.9 means: right in about nine of ten cases.
    val = load_clips(data / "val.tar")
    targets = torch.tensor([model.labels.index(word) for word in val.labels])
    temperature = fit_temperature(clip_logits(model, val), targets)
    model.config = dataclasses.replace(model.config, temperature=temperature)
    # What stands under `metrics` is what the card shows, and nothing else: a figure that is not there is not
    # on the card either.
    figures = {"parameters": model.num_parameters(), "test": evaluate(model, data / "test.tar")}
    model.config = dataclasses.replace(model.config, metrics=figures)
    return model


def main() -> None:
    """Train, measure, push, load, classify."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("repo_id", help="where it goes, for example me/my-words")
    parser.add_argument("--data", type=Path, help="folder of folders, word/clip.wav; default: synthesised")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--license", default="MIT", help="of the weights that you publish")
    parser.add_argument("--private", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("snn_voice_hub").setLevel(logging.INFO)

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clips, origin = gather(given.data, work)
        split(clips, given.data is None, work)

        # Train. The recipe of the bundled default, in small: from its weights, so that the network need not
        # learn to hear, only to tell these words apart.
        recipe = dataclasses.replace(
            RECIPES["resmel-snn"],
            description="A small spiking network, trained by examples/push_trained_model.py",
            epochs=given.epochs,
            batch_size=16,
            distil=0.0,
        )
        name = given.repo_id.rpartition("/")[2]
        job = Job(name=name, recipe=recipe, start=bundled_root() / "resmel-snn")
        fit(job, load_dataset(work), work / "run", on_epoch=print)

        # Evaluate, and say where the sound is from and what others may do with the weights.
        model = measure(work / "run", work)
        model.config = dataclasses.replace(model.config, data=[{"name": origin}], license=given.license)
        print(f"top-1 {model.config.metrics['test']['top1']:.3f} on the test clips")

        # Push: config.json, model.safetensors and the card, in one commit.
        print("pushed:", model.push_to_hub(given.repo_id, private=given.private or None))

        # Load it as anybody else would, and let it hear a clip that it was not trained on.
        loaded = SnnVoice.from_pretrained(given.repo_id)
        heard, sound = next(encoded_files(work / "test.tar"))
        best = loaded.classify(sound, top_k=1)[0]
        print(f"{heard}: {best.label} {best.score:.2f}")


if __name__ == "__main__":
    try:
        main()
    except SnnVoiceError as error:
        sys.exit(f"error: {error}")
