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
import csv
import dataclasses
import hashlib
import logging
import sys
import tempfile
from pathlib import Path

from snn_voice_hub import SnnVoice, SnnVoiceError
from snn_voice_hub.training import RECIPES, Job, evaluate, fit, load_dataset, synthesize

WORDS = ("yes", "no", "up", "down", "left", "right")


def gather(given: Path | None, work: Path) -> tuple[Path, str]:
    """Clips, word/clip.wav, and a name for where they are from."""
    if given is not None:
        if not given.is_dir():
            raise SnnVoiceError(f"{given} does not exist, or is no folder", hint="a folder of folders")
        return given, given.name
    try:
        # Same seed, same utterances: 40 of each word, by voices, speeds and pitches drawn at random.
        made = synthesize(WORDS, work / "clips", count=40)
    except SnnVoiceError as error:
        raise SnnVoiceError(
            error.message, hint=f"{error.hint or 'mend it'}, or give --data FOLDER"
        ) from error
    print(f"{sum(word.kept for word in made.words)} utterances synthesised")
    return made.folder, f"Words synthesised by {', '.join(made.engines)}"


def divide(clips: Path, synthetic: bool, manifest: Path) -> Path:
    """Write which file is which word, and what it is for; the first of the test's is returned."""
    first: dict[str, Path] = {}
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for clip in sorted(clips.resolve().glob("*/*")):
            # Nobody may be heard both in training and in the test, or the test says little. So a checksum of
            # the speaker decides, who stands before `_nohash_` in the names of Speech Commands. Synthesisers
            # have too few voices for that: their figures will be better than any for people.
            who = f"{clip.parent.name}/{clip.name}" if synthetic else clip.name.split("_nohash_")[0]
            bucket = hashlib.sha1(who.encode()).digest()[0] % 10
            part = "train" if bucket < 7 else "val" if bucket == 7 else "test"
            writer.writerow([clip, clip.parent.name, part])
            first.setdefault(part, clip)
    if len(first) < 3:
        raise SnnVoiceError(
            f"{clips} has too few speakers to keep some apart", hint="at least twenty for each word"
        )
    return first["test"]


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
        manifest = work / "clips.csv"
        unheard = divide(clips, given.data is None, manifest)

        # Train. The recipe of the bundled default, in small: from its weights, so that the network need not
        # learn to hear, only to tell these words apart. The weights of the best epoch are kept, and with them
        # the temperature after which a score of 0.9 means: right in about nine of ten cases.
        recipe = dataclasses.replace(
            RECIPES["resmel-snn"],
            description="A small spiking network, trained by examples/push_trained_model.py",
            epochs=given.epochs,
            batch_size=16,
            distil=0.0,
        )
        job = Job(name=given.repo_id.rpartition("/")[2], recipe=recipe, start="resmel-snn")
        fit(job, load_dataset(manifest), work / "run", on_epoch=print)

        # Measure, and say where the sound is from and what others may do with the weights. What stands under
        # `metrics` is what the card shows, and nothing else: a figure that is not there is not on the card.
        model = SnnVoice.from_pretrained(work / "run")
        figures = evaluate(model, manifest)
        print(f"top-1 {figures['top1']:.3f} on the test clips")
        model.config = dataclasses.replace(
            model.config,
            data=[{"name": origin}],
            license=given.license,
            metrics={**model.config.metrics, "parameters": model.num_parameters(), "test": figures},
        )

        # Push: config.json, model.safetensors and the card, in one commit.
        print("pushed:", model.push_to_hub(given.repo_id, private=given.private or None))

        # Load it as anybody else would, and let it hear a clip that it was not trained on.
        best = SnnVoice.from_pretrained(given.repo_id).classify(unheard, top_k=1)[0]
        print(f"{unheard.parent.name}/{unheard.name}: {best.label} {best.score:.2f}")


if __name__ == "__main__":
    try:
        main()
    except SnnVoiceError as error:
        sys.exit(f"error: {error}")
