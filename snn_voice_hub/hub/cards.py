"""The README.md that goes with a saved checkpoint, with metadata that the Hub reads."""

from __future__ import annotations

from huggingface_hub import ModelCard, ModelCardData

from snn_voice_hub.config import LIBRARY_NAME, VoiceConfig, is_word

_PAPER = (
    "John Chang, *Retraining SNN Conversions: CNN to SNN for Audio Classification Tasks*, "
    "Nanyang Technological University, 2023 (code: https://github.com/Eve-ning/snn_voice)"
)


def make_card(config: VoiceConfig, repo_id: str | None = None) -> ModelCard:
    """A card made of what the configuration knows; figures that were not measured are left out.

    Args:
        config: The checkpoint's configuration.
        repo_id: Where it will be published; stands in the example.

    Returns:
        The card, with its metadata.
    """
    name = config.name or config.architecture
    data = ModelCardData(
        library_name=LIBRARY_NAME,
        pipeline_tag="audio-classification",
        license=config.license.lower() or None,
        language="en" if config.data else None,
        tags=["keyword-spotting", *(["spiking-neural-network"] if "num_steps" in config.network else [])],
    )
    words = [label for label in config.labels if is_word(label)]
    lines = [f"# {name}", "", config.description or f"{config.architecture}, saved by {LIBRARY_NAME}.", ""]
    lines += ["```python", "from snn_voice_hub import SnnVoice", ""]
    lines += [
        f'model = SnnVoice.from_pretrained("{repo_id or name}")',
        'print(model.classify("yes.wav"))',
        "```",
        "",
    ]
    lines += [f"{len(words)} words: {', '.join(words)}.", ""]
    measured = config.metrics.get("test")
    if isinstance(measured, dict):
        lines += ["| measured on the test speakers | |", "| --- | --- |"]
        lines += [
            f"| {key.replace('_', ' ')} | {value} |"
            for key, value in measured.items()
            if not isinstance(value, dict)
        ]
        lines += [""]
    for source in config.data:
        lines += [
            f"Training data: {source.get('name')}, {source.get('attribution')}, {source.get('license')}.",
            "",
        ]
    lines += [f"The networks of this library come from {_PAPER}.", ""]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines))
