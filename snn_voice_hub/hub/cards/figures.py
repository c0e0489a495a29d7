"""What was measured, as Markdown of a model card; and the pieces of Markdown that a card is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from snn_voice_lite.visible import LINE_LIMIT, visible

from snn_voice_hub.config import VoiceConfig
from snn_voice_hub.notation import markdown_table, microjoules, percent, whole

# What `snn_voice_hub.training.measuring.evaluate` calls its figures, and what a reader is told of them.
_FIGURES = (
    ("top1", "top-1 accuracy, all clips"),
    ("top2", "top-2 accuracy, all clips"),
    ("top5", "top-5 accuracy, all clips"),
    ("covered_mean", "top-1, mean over the {covered_words} covered words"),
    ("thin_top1", "top-1 on the thin words, {thin_clips} clips together"),
)

# The same for `snn_voice_hub.spikes.energy.layers`.
_ENERGY = (
    ("num_steps", "time steps"),
    ("dense", "operations, if nothing is skipped"),
    ("macs", "effective multiply-accumulates (MACs)"),
    ("acs", "effective accumulates (ACs)"),
    ("synops", "synaptic operations (SynOps): both"),
    ("activation_sparsity", "zeros among the activations"),
    ("neuron_updates", "neuron updates, not in the energy"),
    ("footprint_bytes", "bytes of parameters and buffers"),
    ("membrane_bytes", "bytes of membranes"),
    ("energy_uj", "energy of the effective operations, µJ"),
    ("energy_once_uj", "the same, if the input layer runs once, µJ"),
    ("energy_dense_uj", "energy, if nothing is skipped, µJ"),
)
# Of a second of listening, and of a second of silence.
_SECOND = (
    ("macs", "effective MACs"),
    ("acs", "ACs"),
    ("energy_uj", "energy, µJ"),
    ("energy_once_uj", "the same, if the input layer runs once, µJ"),
)
_SHARES = (
    ("effective", "if both skip zeros"),
    ("effective_once", "if its input layer runs once as well"),
    ("dense", "if only it skips zeros"),
    ("dense_once", "if its input layer runs once as well"),
)


# --- Markdown -------------------------------------------------------------------------------------


def section(title: str, *parts: str) -> str:
    """A section of those parts that are not empty; nothing where all are."""
    kept = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *kept]) if kept else ""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of `config.json` is a figure."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_dict(value: object) -> dict[str, Any]:
    """The value, or an empty dictionary where it is none."""
    return value if isinstance(value, dict) else {}


def readable(key: str) -> str:
    """A key of `config.json` in words."""
    return key.replace("_", " ")


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Nested values as rows; what is empty or None says nothing."""
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{readable(name)}: ")
        elif isinstance(value, list):
            if value:
                rows.append(
                    (
                        prefix + readable(name),
                        " to ".join(map(str, value)) if _is_range(value) else _list(value),
                    )
                )
        elif value is not None:
            rows.append((prefix + readable(name), value))
    return rows


def _is_range(value: list[Any]) -> bool:
    return len(value) == 2 and all(map(is_number, value))


def _list(value: list[Any]) -> str:
    return ", ".join(map(str, value))


# --- figures --------------------------------------------------------------------------------------


def figures(config: VoiceConfig) -> str:
    """The section of what was measured."""
    test = as_dict(config.metrics.get("test"))
    rows = [
        (title.format_map(_Known(test)), percent(test[key]))
        for key, title in _FIGURES
        # Where all words are thin ones, their figure is that of all clips.
        if is_number(test.get(key)) and (key != "thin_top1" or test.get("covered_words") != 0)
    ]
    if is_number(error := test.get("calibration_error")):
        rows.append(("calibration error of the scores (ECE, 15 bins)", percent(error)))
    if is_number(before := test.get("calibration_error_before")):
        rows.append(("calibration error at temperature 1", percent(before)))
    clips = test.get("clips")
    head = (f"on {clips:,} test clips" if is_number(clips) else "on the test clips", "")
    parts = [markdown_table(head, rows)]
    if is_number(test.get("covered_mean")) and is_number(test.get("thin_top1")):
        parts.append(
            "Covered words are those with enough recordings for a figure of their own. The thin ones are the "
            "others: their figure is as uncertain as their clips are few."
        )
    parts.append(
        markdown_table(
            ("top-1 on the same clips, changed", ""),
            [(name, percent(share)) for name, share in changed_clips(test)],
        )
    )
    if is_number(test.get("cpu_ms_one_clip")):
        parts.append(
            f"Time: {test['cpu_ms_one_clip']:.1f} ms of one CPU thread from WAV bytes to label, the median "
            "over single clips, on the machine that measured it."
        )
    rates = {name: rate for name, rate in as_dict(test.get("spike_rates")).items() if is_number(rate)}
    if rates:
        mean = sum(rates.values()) / len(rates)
        parts.append(
            f"Spikes: the share of a layer's neurons that fire in a step, {percent(mean)} on average over "
            "the layers."
        )
        parts.append(markdown_table(("layer", "spikes"), [(f"`{k}`", percent(v)) for k, v in rates.items()]))
    parts += _energy(as_dict(config.metrics.get("energy")) or as_dict(test.get("energy")))
    parts += _false_alarms(as_dict(test.get("false_alarms")))
    listening = as_dict(test.get("listening"))
    if rows := listened(listening):
        parts.append(
            "Where it listens: words follow each other over noise that goes on, and other speech holds none "
            "of them. A word is heard if its event comes within a second after its end."
        )
        parts.append(markdown_table((heard_by(listening), ""), rows))
    parts += _lesson(as_dict(config.metrics.get("lesson")))
    return section("Measured", *parts)


def _lesson(lesson: Mapping[str, Any]) -> list[str]:
    """How a word that was taught is heard by those who were kept back."""
    if not (rows := taught(lesson)):
        return []
    return [
        "Of clips and sound that were kept back while it learned. The threshold was chosen by them, so "
        "strangers will be heard a little worse.",
        markdown_table((heard_by(lesson), ""), rows),
    ]


def taught(lesson: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Words missed by who says them, and false alarms an hour.

    Args:
        lesson: `lesson` of the figures of a checkpoint that `teach` made.
    """
    clips, times = as_dict(lesson.get("clips")), as_dict(lesson.get("times_said"))
    rows = [
        (f"{readable(name)} ({said(clips[name], times.get(name))}): missed in noise at 10 dB", percent(share))
        for name, share in as_dict(lesson.get("missed")).items()
        if is_number(share) and is_number(clips.get(name))
    ]
    rows += [
        (f"false alarms an hour of other {readable(sound)}", f"{count:.1f}")
        for sound, count in as_dict(lesson.get("false_alarms")).items()
        if is_number(count)
    ]
    return rows


def changed_clips(test: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Accuracy under noise and shifts: what was done to the clips in words, and top-1.

    Args:
        test: The figures of the test set.
    """
    return [
        (f"{readable(kind)}, {readable(name).replace(' db', ' dB')}", share)
        for kind, shares in as_dict(test.get("robustness")).items()
        for name, share in as_dict(shares).items()
        if is_number(share)
    ]


def listened(listening: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Words missed and false alarms an hour, of all words and of the ten commands.

    Args:
        listening: `listening` of the figures of the test set.
    """
    rows = []
    for name, title in (("words", "all words"), ("commands", "the ten commands")):
        found = as_dict(listening.get(name))
        for snr, share in as_dict(found.get("missed")).items():
            if is_number(share):
                rows.append((f"{title}: missed at {readable(snr).replace(' db', ' dB')}", percent(share)))
        for sound, count in as_dict(found.get("false_alarms")).items():
            if is_number(count):
                rows.append((f"{title}: false alarms an hour of {readable(sound)}", f"{count:.1f}"))
        if is_number(single := found.get("single")):
            rows.append((f"{title}: other single words taken for one", percent(single)))
    return rows


def said(clips: float, times: object) -> str:
    """How many clips of words were said; and how many times, lest their sayings be taken for people."""
    again = is_number(times) and times > 1
    return f"{clips:,} clips, said {times} times" if again else f"{clips:,} clips"


def heard_by(listening: Mapping[str, Any]) -> str:
    """With which threshold it was listened, to how many words, and for how long to what is none."""
    threshold = listening.get("threshold")
    hours = [
        f"{count:g} h of {readable(sound)}"
        for sound, count in as_dict(listening.get("hours")).items()
        if is_number(count)
    ]
    told = [f"threshold {threshold:g}"] if is_number(threshold) else []
    if is_number(clips := listening.get("clips")):  # of a lesson they are told by who says them
        told.append(said(clips, listening.get("times_said")))
    return ", ".join(["listening", *told, *hours])


class _Known(dict[str, Any]):
    """Figures for `str.format_map`; one that is not there leaves no gap."""

    def __missing__(self, key: str) -> str:
        return ""


def _energy(energy: Mapping[str, Any]) -> list[str]:
    twin = as_dict(energy.get("twin"))
    both = [energy, twin] if twin else [energy]
    rows = [
        (title, *(_energy_figure(key, v) if is_number(v := one.get(key)) else "-" for one in both))
        for key, title in _ENERGY
        if any(is_number(one.get(key)) for one in both)
    ]
    if not rows:
        return []
    # A twin whose weights are not known was not run: it has no windows.
    shapes = "" if twin.get("windows") else " (shapes only)"
    names = [f"`{visible(one.get('model') or 'model')}`" for one in both]
    head = ("one window of sound", *(name + (shapes if i else "") for i, name in enumerate(names)))
    shares = as_dict(energy.get("share_of_twin"))
    said = [f"{v:.2f} times {what}" for key, what in _SHARES if is_number(v := shares.get(key))]
    against = f"Energy against {names[1]}: {', '.join(said)}." if twin and said else ""
    return [_energy_note(energy), markdown_table(head, rows), against, *_second(both, names)]


def _second(both: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """What a second of listening costs a network and its twin."""
    known = [(name, as_dict(one.get("second"))) for name, one in zip(names, both, strict=True)]
    known = [(name, second) for name, second in known if is_number(second.get("energy_uj"))]
    if not known:
        return []
    heard = [
        f"windows every {hop:g} s" if is_number(hop := second.get("hop")) else "each frame once"
        for _, second in known
    ]
    rows = [("hears", *heard)]
    for part, prefix in ((None, ""), ("silence", "in silence: ")):
        for key, title in _SECOND:
            values = [(second if part is None else as_dict(second.get(part))).get(key) for _, second in known]
            if any(map(is_number, values)):
                told = (_energy_figure(key, value) if is_number(value) else "-" for value in values)
                rows.append((prefix + title, *told))
    table = markdown_table(("one second of listening", *(name for name, _ in known)), rows)
    return [table, "Silence is counted as any sound: a stream whose gate finds silence runs no network."]


def _energy_figure(key: str, value: float) -> str:
    if key == "activation_sparsity":
        return percent(value)
    return microjoules(value) if key.endswith("_uj") else whole(value)


def _energy_note(energy: Mapping[str, Any]) -> str:
    """What the estimate is, and is not, as far as the configuration says so."""
    note = "Energy, an estimate of the arithmetic alone"
    if is_number(windows := energy.get("windows")):
        note += f", on average over {windows:,} windows"
    if is_number(mac := energy.get("pj_a_mac")) and is_number(ac := energy.get("pj_an_ac")):
        note += f": {mac} pJ a MAC, {ac} pJ an AC"
        if isinstance(source := energy.get("constants"), str):
            note += f" ({visible(source)})"
    left_out = energy.get("left_out")
    return f"{note}. Left out: {visible(left_out, LINE_LIMIT)}." if isinstance(left_out, str) else f"{note}."


def _false_alarms(alarms: Mapping[str, Any]) -> list[str]:
    rows = [
        (readable(name), figures["windows"], f"{figures['score_95']:.3f}", percent(figures["below_half"]))
        for name, figures in alarms.items()
        if isinstance(figures, dict)
        and all(is_number(figures.get(key)) for key in ("windows", "score_95", "below_half"))
    ]
    head = (
        "where none of the words is said",
        "windows",
        "95 % of best word scores below",
        "no word reaches 0.5",
    )
    return [markdown_table(head, rows)] if rows else []
