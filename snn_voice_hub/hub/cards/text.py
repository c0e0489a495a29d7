"""The prose of a model card, section by section, from the configuration alone.

A figure that the configuration does not hold is left out: nothing here is estimated or assumed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from snn_voice_lite.visible import LINE_LIMIT, visible

from snn_voice_hub import install
from snn_voice_hub.config import LIBRARY_NAME, SILENCE, UNKNOWN, VoiceConfig, is_word
from snn_voice_hub.hub.beside import PLACES
from snn_voice_hub.hub.cards.figures import as_dict, figures, flat, is_number, section
from snn_voice_hub.hub.paper import LAYOUTS
from snn_voice_hub.notation import markdown_table

_RESETS = {
    "subtract": "by subtraction, undecayed: `m[t] = beta * m[t-1] + x[t] - s[t-1] * threshold` "
    "(snnTorch 0.9.1 and later)",
    "subtract-before-decay": "by subtraction before the decay: "
    "`m[t] = beta * (m[t-1] - s[t-1] * threshold) + x[t]` (snnTorch up to 0.7.0, the paper's neuron)",
}
_ENCODINGS = {
    "repeat": "the same input at every step",
    "rate": "random spikes, the more the larger the input; the clip seeds the draw",
    "latency": "one spike a value, the earlier the larger the input",
    "frames": "each step hears the next frames of the sound, once",
}
# Fields of `training.fitting.recipe.Recipe` and of what training adds, where their name does not say it.
_RECIPE = {
    "silence": "share of a batch that is noise",
    "augmentation": "augmentation",
    "lr": "highest learning rate",
    "ema": "decay a step of the averaged weights",
    "class_power": "a word with n clips is drawn in proportion to n to the power of",
    "synthetic": "weight of a synthetic clip against a recorded one",
    "distil": "weight of the teachers' answers in the loss",
    "start": "started from the weights of",
    "teacher": "learned from the answers of",
    "teachers": "learned from the answers of",
}
_BIBTEX = """\
@techreport{chang2023retraining,
  title       = {Retraining SNN Conversions: CNN to SNN for Audio Classification Tasks},
  author      = {Chang, John},
  institution = {Nanyang Technological University},
  year        = {2023},
  url         = {https://github.com/Eve-ning/snn_voice}
}"""


def card_body(config: VoiceConfig, source: str, beside: Collection[str] = ()) -> str:
    """The card without its metadata.

    Args:
        config: The checkpoint's configuration.
        source: What the examples load: a repository id, or "." for the card's own folder.
        beside: Files beside the checkpoint that hold the model in other formats, of `hub.beside.PLACES`.

    Returns:
        Markdown, without a newline at its end.
    """
    sections = (
        _introduction(config),
        _usage(config, source),
        _formats(source, beside),
        _labels(config),
        figures(config),
        _neuron(config),
        _input(config),
        _training(config),
        _limits(config),
        _citation(config),
        _licence(config),
    )
    return "\n\n".join(section for section in sections if section)


# --- Markdown -------------------------------------------------------------------------------------


def _told(words: Mapping[str, str], value: object) -> str:
    """What a value is in words, where it is known."""
    return words.get(str(value), visible(value))


def _words(config: VoiceConfig) -> list[str]:
    return [visible(label) for label in config.labels if is_word(label)]


# --- sections -------------------------------------------------------------------------------------


def _introduction(config: VoiceConfig) -> str:
    kind = "spiking neural network" if config.is_spiking else "neural network"
    facts = [f"architecture `{visible(config.architecture)}`"]
    parameters = config.metrics.get("parameters")
    if is_number(parameters):
        facts.append(f"{parameters:,} parameters")
    if config.is_framed:
        facts.append("time steps that are the sound's own")
    elif steps := config.network.get("num_steps"):
        facts.append(f"T = {visible(steps)} time steps")
    lines = [f"# {visible(' '.join(config.title.split()))}"]
    if config.description:
        lines.append(visible(" ".join(config.description.split()).rstrip("."), LINE_LIMIT) + ".")
    seconds = f"{config.features.seconds:g} s"
    lines.append(
        f"A {kind} that says which of {len(_words(config))} words is spoken in {seconds} of sound "
        f"({', '.join(facts)}). A checkpoint of the Python package `{LIBRARY_NAME}`: `config.json` and "
        "`model.safetensors` are all that it takes."
    )
    return "\n\n".join(lines)


def _usage(config: VoiceConfig, source: str) -> str:
    words = [word for word in _words(config) if word.isascii() and word.isalnum()]
    clip = f"{'yes' if 'yes' in words or not words else words[0]}.wav"
    remark = "  # this folder, or its path" if source == "." else ""
    package = config.architecture_package
    needs = f" {package.requirement}" if package and package.name else ""
    command = f"snn-voice --import {package.module}" if package else "snn-voice"
    shell = f"""\
{install.command("serve")}{needs}  # in a clone of {LIBRARY_NAME}, which is not on PyPI yet
{command} classify --model {source} {clip}
{command} serve --model {source}     # then, in another terminal:
curl --data-binary @{clip} "http://127.0.0.1:8000/classify?top_k=3\""""
    python = f"""\
{_imported(config)}from snn_voice_hub import SnnVoice

model = SnnVoice.from_pretrained({json.dumps(source)}){remark}
for answer in model.classify("{clip}", top_k=3):
    print(answer.label, round(answer.score, 3))"""
    return section(
        "How to use",
        f"```python\n{python}\n```",
        "A clip is a WAV, FLAC, OGG, MP3 or AIFF file of any rate from 4 to 192 kHz, its bytes, or an array "
        "with `sample_rate=`. On the command line, and as a service over HTTP:",
        f"```sh\n{shell}\n```",
    )


def _formats(source: str, beside: Collection[str]) -> str:
    if not beside:
        return ""
    place = next(iter(beside))
    where = f'hf_hub_download({json.dumps(source)}, "{place}")' if "/" in source else json.dumps(place)
    return section(
        "Other formats",
        "The same model for programs that do not have PyTorch:",
        markdown_table(("file", "what it is"), ((f"`{name}`", PLACES[name]) for name in beside)),
        "Labels, rate, window and the like are in the metadata of each file. In Python, the path of one is "
        f"`{where}`.",
    )


def _imported(config: VoiceConfig) -> str:
    """The line that makes an architecture known that is not this library's own."""
    package = config.architecture_package
    if package is None:
        return ""
    if package.module == "__main__":
        return f"# First define {config.architecture} here, as where this checkpoint was saved.\n"
    where = (
        f"{package}" if package.name else f"the file {package.module.replace('.', '/')}.py, which is needed"
    )
    return f"import {package.module}  # {config.architecture}, of {where.removeprefix('the package ')}\n"


def _labels(config: VoiceConfig) -> str:
    words = _words(config)
    others = [f"`{visible(label)}`" for label in config.labels if not is_word(label)]
    return section(
        "Labels",
        f"{len(words)} words: {', '.join(words)}.",
        _besides(others),
    )


def _besides(others: list[str]) -> str:
    if not others:
        return ""
    *first, last = others
    return (
        f"Besides: {', '.join(first)} and {last}, which are no words."
        if first
        else f"Besides: {last}, which is no word."
    )


def _neuron(config: VoiceConfig) -> str:
    if not config.is_spiking:
        return ""
    known = config.network
    lines = []
    if "num_steps" in known and not config.is_framed:
        lines.append(f"- T = {visible(known['num_steps'])} time steps; the outputs of all steps are summed.")
    if "encoding" in known:
        lines.append(f"- Input: {_told(_ENCODINGS, known['encoding'])}.")
    for key, learn, title in (
        ("beta", "learn_beta", "Membrane decay beta"),
        ("threshold", "learn_threshold", "Threshold"),
    ):
        if key == "threshold" and (found := config.training.get("thresholds")):
            told = ", ".join(f"{value:g}" for value in as_dict(found).values() if is_number(value))
            lines.append(f"- {title}: from the activations of the CNN twin; layer by layer {told}.")
        elif is_number(known.get(key)):
            each = "channel" if key == "beta" and known.get("beta_per_channel") else "layer"
            learned = f", where training started; learned for each {each}" if known.get(learn) else ""
            lines.append(f"- {title}: {known[key]:g}{learned}.")
    if "reset" in known:
        lines.append(f"- Reset: {_told(_RESETS, known['reset'])}.")
    if "surrogate" in known:
        lines.append(f"- Surrogate gradient in training: `{visible(known['surrogate'])}`.")
    return section("Neuron", "Leaky integrate-and-fire.", "\n".join(lines))


def _input(config: VoiceConfig) -> str:
    f = config.features
    steps = [f"Mono sound at {f.sample_rate:,} Hz, {f.seconds:g} s"]
    if f.feature_rate != f.sample_rate:
        steps.append(f"resampled to {f.feature_rate:,} Hz")
    if f.has_bands:
        steps.append(f"{f.title} of {f.n_mels} bands, hop {1000 * f.hop_length / f.feature_rate:g} ms")
    steps.append(
        {
            "fixed": "standardised by constants measured over the training clips",
            "clip": "each clip standardised by itself",
            "batch": "standardised over the batch, so an answer depends on which clips come together",
        }[f.normalization]
    )
    return section(
        "Input",
        " → ".join(steps) + ". Other rates are resampled and channels mixed; longer clips are read in "
        "overlapping windows. All of it is in `config.json`.",
        _frames(config),
    )


def _frames(config: VoiceConfig) -> str:
    """What time steps are, where they are those of the sound."""
    if not config.is_framed:
        return ""
    seconds = config.step_seconds
    long = "" if seconds is None else f"{1000 * seconds:g} ms of "
    said = f"The time steps are the sound's own: each hears the next {long}sound, once, when it comes."
    if is_number(steps := config.network.get("num_steps")):
        together = "" if seconds is None else f", {steps * seconds:g} s of sound"
        said += f" An answer is the sum of the newest {steps} outputs{together}."
    return said


def _training(config: VoiceConfig) -> str:
    sources = []
    for source in config.data:
        name = source.get("name")
        if name:
            told = (source.get(key) for key in ("attribution", "license", "url"))
            said = [visible(name), *(visible(text, LINE_LIMIT) for text in told if text)]
            sources.append(f"- {'. '.join(part.rstrip('.') for part in said)}.")
    return section(
        "Training",
        "Data:" if sources else "",
        "\n".join(sources),
        markdown_table(("recipe", ""), _recipe(config.training)),
    )


def _recipe(training: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """The recipe as rows, and after them those of the run that it went on from."""
    rows: list[tuple[str, object]] = []
    for name, value in training.items():
        if name == "before" and isinstance(value, dict):
            rows += _recipe(value, f"{prefix}before that: ")
        elif name not in ("architecture", "network", "description", "features"):  # told elsewhere in the card
            rows += flat({_RECIPE.get(name, name): value}, prefix)
    return rows


def _limits(config: VoiceConfig) -> str:
    lines = []
    if SILENCE in config.labels:
        lines.append(
            f"- Silence and noise: it knows them as the class `{SILENCE}`; with `min_score=0.5`, `classify` "
            "gives words only, and none where it hears none."
        )
    else:
        lines.append(
            "- Silence and noise: it has no class for them and answers with a word; `min_score=` drops "
            "words that it is not sure of."
        )
    if UNKNOWN in config.labels:
        lines.append(
            f"- Other words: speech that holds none of its words is the class `{UNKNOWN}`, which it learned "
            "from other speakers and languages, and from pieces of its own words. What sounds much like a "
            f"word may still be taken for it. {_alarms(config)}"
        )
    else:
        lines.append(
            "- Other speech: it has no class for it. A word that is not among its labels, or any part of a "
            "conversation, gets the label that sounds most like it to the network, and the score need not be "
            f"low: it is for clips that hold one of its words. {_alarms(config)}"
        )
    f = config.features
    if f.feature_rate < 8000:
        lines.append(
            f"- Bandwidth: it hears nothing above {f.feature_rate / 2000:g} kHz, so s, f and th are hard to "
            "tell apart."
        )
    if f.normalization == "batch":
        lines.append("- Batches: an answer depends on the other clips of its batch.")
    if as_dict(config.metrics.get("lesson")) and "recordings" not in as_dict(
        config.metrics["lesson"].get("missed")
    ):
        lines.append(
            "- Machines alone taught it its words: people say them in more ways. Recordings would help, also "
            "of the people who will use it."
        )
    if config.metrics.get("test") is None and not config.metrics.get("lesson"):
        lines.append("- It has not been measured: how often it is right is not known.")
    return section("Limits", "\n".join(lines))


def _alarms(config: VoiceConfig) -> str:
    """How often it hears one of its words where none is said, as far as that was measured."""
    for name, what in (("test", "speech"), ("listening_validation", "validation speech")):
        found = as_dict(config.metrics.get(name))
        listening = as_dict(found.get("listening")) if name == "test" else found
        hours = as_dict(listening.get("hours")).get("speech")
        alarms = as_dict(as_dict(listening.get("words")).get("false_alarms")).get("speech")
        threshold = listening.get("threshold")
        if is_number(hours) and is_number(alarms) and is_number(threshold):
            return (
                f"Measured on {hours:g} h of {what} without its words, at a threshold of "
                f"{threshold:g}: {_count(alarms)} false alarms an hour."
            )
    return "How many false alarms an hour that makes has not been measured."


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _citation(config: VoiceConfig) -> str:
    papers = config.architecture in {layout.architecture for layout in LAYOUTS}
    *names, last = dict.fromkeys(layout.family for layout in LAYOUTS)
    said = f"The networks {', '.join(names)} and {last} of `{LIBRARY_NAME}` are"
    if papers and config.architecture_package is None:
        said = "The network is"
    return section("Citation", f"{said} from this study:", f"```bibtex\n{_BIBTEX}\n```")


def _licence(config: VoiceConfig) -> str:
    if not config.license:
        return ""
    data = sorted({visible(source["license"]) for source in config.data if source.get("license")})
    attribution = (
        f" Training data: {', '.join(data)}; publish results with their attribution." if data else ""
    )
    return section("Licence", f"Weights: {visible(config.license)}.{attribution}")
