"""Sound in, words and spikes out, as a page by Gradio."""

from __future__ import annotations

from functools import cache
from typing import Any

import gradio as gr

from snn_voice_hub import SnnVoice, SnnVoiceError

MODELS = ["resmel-snn", "tempo-snn", "m5-snn"]


@cache
def voice_of(name: str) -> SnnVoice:
    """A model, loaded when it is first asked for; all callers share it."""
    return SnnVoice.from_pretrained(name)


def hear(sound: tuple[int, Any] | None, name: str) -> tuple[dict[str, float], list[list[str]]]:
    """The best words of a sound `(rate, samples)` with their scores, and how much each layer fires."""
    if sound is None:
        raise gr.Error("Record something first, or choose a file.")
    voice = voice_of(name)
    try:
        with voice.record_spikes() as recorded:
            words = voice.classify(sound, top_k=5, max_seconds=30)
    except SnnVoiceError as error:  # says what is wrong with the sound
        raise gr.Error(str(error)) from error
    layers = [
        [layer, f"{figures.neurons:,}", f"{100 * figures.rate:.1f} %"]
        for layer, figures in recorded.figures().items()
    ]
    return {word.label: word.score for word in words}, layers


demo = gr.Interface(
    hear,
    inputs=[
        gr.Audio(sources=["microphone", "upload"], type="numpy", label="Sound"),
        gr.Dropdown(MODELS, value=MODELS[0], label="Model"),
    ],
    outputs=[
        gr.Label(label="Words"),
        gr.Dataframe(headers=["layer", "neurons", "fire in a step"], label="Spikes"),
    ],
    title="Words by spiking neurons",
    description="35 English words: yes, no, stop, go, left, right, marvin, the digits, and more.",
    flagging_mode="never",  # it would keep what people say
)

if __name__ == "__main__":
    demo.launch()
