"""`enroll`: a model of other words, from a few clips of each and without training."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
import torch
from snn_voice_lite.streaming.detector import UNTUNED, against_no_word
from torch import Tensor, nn

from snn_voice_hub.config import UNKNOWN, DetectionConfig, VoiceConfig, check_bool, check_text, is_word
from snn_voice_hub.enrolment.rows import Floats, Ints, LastLayer, Windows, learned, left_out, measured, shares
from snn_voice_hub.enrolment.shown import ShownClip, Wave, checked_words, no_words, read_shown
from snn_voice_hub.errors import ConfigError, SnnVoiceError
from snn_voice_hub.inference.ends import Ends
from snn_voice_hub.models.base import Network
from snn_voice_hub.models.head import head_of, headless, with_head

# Of windows that run together.
_BATCH: Final = 32
# By so many windows it is seen that a network only adds up what its last layer gives.
_LOOKED_AT: Final = 4
_ROUNDING: Final = 1e-3
# A word counts in a stream from the score that this share of the clips reaches, heard without themselves; at
# least from the one of a model that nobody tuned. Fewer clips say nothing.
_HEARD: Final = 0.7
_SUREST: Final = 0.99
_FEWEST: Final = 4


class Enroller:
    """The part of a model that learns words from a few clips; what it needs of the others is named here."""

    config: VoiceConfig
    engine: str

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """What the network computes in."""

    @abstractmethod
    def to_device(self, waveforms: Tensor) -> Tensor:
        """Values where the weights are."""

    @abstractmethod
    def forward(self, waveforms: Tensor) -> Tensor:
        """Logits of waveforms."""

    @abstractmethod
    def _bare_network(self) -> nn.Module: ...

    @classmethod
    @abstractmethod
    def _made_of(cls, network: Network, config: VoiceConfig) -> Self: ...

    def enroll(
        self,
        words: Mapping[str, Any],
        *,
        keep: bool = False,
        name: str = "",
        sample_rate: int | None = None,
        max_seconds: float = 600.0,
    ) -> Self:
        """A model of other words, from a few clips of each, in about a second: nothing is trained.

            mine = model.enroll({"lumos": ["anna_1.wav", "ben_1.wav"], "nox": ["anna_2.wav"]})
            mine.classify("someone_says_lumos.wav")
            mine.save_pretrained("runs/mine")

        All layers but the last stay as they are. There a word gets a row that says how near a sound is to
        the mean of its clips. Labels that are no word (`_silence_`, `_unknown_`) stay. How well that works,
        and where training is better, stands in `docs/training.md`.

        Args:
            words: Word -> its clips: one clip, or any iterable of clips, as `classify` takes them. Of a clip
                that is longer than the model's window, the window around its word is taken. Clips of
                `_unknown_`, where the model has that label, are speech without the words.
            keep: Whether the words that the model knows stay, beside the new ones; where it has the label
                `_unknown_`.
            name: Of the new model.
            sample_rate: Rate in Hz of arrays that come without one.
            max_seconds: Longer clips are an error.

        Returns:
            Another model, in evaluation mode, on the same device; this one stays as it is.

        Raises:
            AudioError: A clip can't be used, or holds no sound; the message says which.
            ConfigError: There is no word, or no clip of one; a word is none (`_x_`), comes twice, is known
                already (with `keep`), or is the only label; the model lacks `_unknown_`, and it is needed; or
                another argument is not legal.
            SnnVoiceError: The network's last layer is none that can be exchanged.
        """
        check_bool("keep", keep)
        check_text("name", name)
        given = checked_words(words)
        new = [word for word in given if is_word(word)]
        network = self._checked(given, new, keep)
        ends = Ends(self.config, sample_rate=sample_rate, max_seconds=max_seconds)
        shown = {word: read_shown(ends, word, clips) for word, clips in given.items()}
        windows, layer, counted = self._seen(network, shown)
        labels, last, told = self._joined(windows, layer, new, keep)
        made = with_head(network, torch.from_numpy(last.weight), torch.from_numpy(last.bias / counted))
        model = self._made_of(made.to(self.dtype), self._config_of(made, labels, shown, told, keep, name))
        model.engine = self.engine
        return model

    def _checked(self, given: Mapping[str, Any], new: Sequence[str], keep: bool) -> Network:
        """The network, if it can learn these words."""
        network, labels = self._bare_network(), self.config.labels
        if not isinstance(network, Network):
            raise SnnVoiceError(
                f"a {type(network).__name__} can't learn words by enroll()",
                hint="a network of a registered architecture; see register_architecture",
            )
        if UNKNOWN in given and UNKNOWN not in labels:
            raise ConfigError(f"{self.config.title} has no label {UNKNOWN}", hint="train it with --negatives")
        if keep and UNKNOWN not in labels:
            raise ConfigError(
                f"keep=True: {self.config.title} has no label {UNKNOWN} that new words could be held against",
                hint="keep=False, or a model that has it, such as the default",
            )
        if keep and (known := [word for word in new if word in labels]):
            raise ConfigError(
                f"{known[0]!r} is a word of the model already", hint="another word, or keep=False"
            )
        if len(new) < 2 and not keep and all(map(is_word, labels)):
            raise ConfigError(
                f"{new[0]!r} would be the only label, and whatever is heard would be taken for it",
                hint=f"several words, or a model with {UNKNOWN} such as the default",
            )
        return network

    def _seen(
        self, network: Network, shown: Mapping[str, Sequence[ShownClip]]
    ) -> tuple[Windows, LastLayer, float]:
        """What the last layer sees of all clips; that layer, and how often its bias counts in a logit."""
        words = [word for word in shown if is_word(word)]
        # Window, what is in it, the clip it was made of, and whether it is that clip.
        rows = [
            (wave, number, clip, place == 0)
            for number, word in enumerate(words)
            for clip, given in enumerate(shown[word])
            for place, wave in enumerate(given.windows())
        ]
        strange = [wave for clip in shown.get(UNKNOWN, ()) for wave in clip.windows()]
        strange += no_words({word: shown[word] for word in words})
        rows += [(wave, len(words), clip, True) for clip, wave in enumerate(strange)]
        waves = [wave for wave, *_ in rows]
        bare = headless(network)
        layer = network.get_submodule(head_of(network))
        assert isinstance(layer, nn.Linear)
        weight, bias = layer.weight.detach().float().cpu(), layer.bias.detach().float().cpu()
        # By one engine and in one batch, or rounding may flip a spike.
        few = waves[:_LOOKED_AT]
        found = self._like(bare, "torch")._outputs(few)
        logits = self._like(with_head(network, weight, bias), "torch")._outputs(few)
        counted = float(found[0, -1])
        last = LastLayer(weight.double().numpy(), counted * bias.double().numpy())
        if counted <= 0 or np.abs(last(found[:, :-1]) - logits).max() > _ROUNDING * np.abs(logits).max():
            raise SnnVoiceError(
                f"{type(network).__name__} does more than add up what its last layer gives",
                hint="snn-voice train --from learns words of any network",
            )
        features = self._like(bare, self.engine)._outputs(waves)[:, :-1]
        targets, clips, asked = (np.array([row[i] for row in rows]) for i in (1, 2, 3))
        scores = LastLayer(last.weight / self.config.temperature, last.bias / self.config.temperature)
        return Windows(features, targets, clips, asked, len(words)), scores, counted

    def _like(self, network: Network, engine: str) -> Self:
        """This model with another network, whose outputs need not be words."""
        count = network.num_classes
        config = dataclasses.replace(
            self.config,
            labels=[str(i) for i in range(count)],
            network=network.arguments(),
            detection=None,
        )
        model = self._made_of(network, config)
        model.engine = engine
        return model

    @torch.inference_mode()
    def _outputs(self, waves: Sequence[Wave]) -> Floats:
        """What the network gives for windows `[N]`, a few at a time."""
        # Statistics of a batch would make a clip's features depend on the others.
        size = 1 if self.config.features.normalization == "batch" else _BATCH
        batches = (torch.from_numpy(np.stack(waves[i : i + size])) for i in range(0, len(waves), size))
        return torch.cat([self.forward(self.to_device(batch)).cpu() for batch in batches]).double().numpy()

    def _joined(
        self, windows: Windows, layer: LastLayer, new: Sequence[str], keep: bool
    ) -> tuple[list[str], LastLayer, _HeardApart]:
        """Labels and last layer of the new model, and how it does on clips that it did not learn from."""
        old = self.config.labels
        words = [i for i, label in enumerate(old) if is_word(label)] if keep else []
        quiet = [i for i, label in enumerate(old) if not is_word(label)]
        labels = [*(old[i] for i in words), *new, *(old[i] for i in quiet)]
        unknown = quiet.index(old.index(UNKNOWN)) if UNKNOWN in old else -1
        # What a word is held against: other speech, where the model knows it.
        base = layer.pick(quiet if unknown < 0 else [quiet[unknown]]).mean()
        told = left_out(windows)
        seen = windows.features[told.which]
        beside = layer.pick(quiet)(seen)
        # The words that stay have no say in it: they would have to give way to the new ones.
        scale, middle = measured(told, len(new), base(seen)[:, 0], beside, unknown)
        rows = learned(windows)
        own = LastLayer(base.weight + scale * rows.weight, base.bias + scale * (rows.bias - middle))
        logits = np.concatenate(
            [layer.pick(words)(seen), base(seen) + scale * (told.said - middle), beside], 1
        )
        apart = told.targets < len(new)
        heard = _HeardApart(shares(logits[apart]), told.targets[apart] + len(words))
        return labels, layer.pick(words).and_then(own).and_then(layer.pick(quiet)), heard

    def _config_of(
        self,
        network: Network,
        labels: list[str],
        shown: Mapping[str, Sequence[ShownClip]],
        heard: _HeardApart,
        keep: bool,
        name: str,
    ) -> VoiceConfig:
        counts = {word: len(waves) for word, waves in shown.items()}
        told = ", ".join(f"{word} {count}" for word, count in counts.items())
        c = self.config
        return dataclasses.replace(
            c,
            network=network.arguments(),
            labels=labels,
            temperature=1.0,
            detection=self._point(heard, labels, [word for word in counts if is_word(word)], keep),
            name=name or f"{c.title}-enrolled",
            description=f"{c.title}, with words that it was shown a few clips of",
            dtype="float32",
            data=[*c.data, {"name": f"enrolled clips ({told})"}],
            training={
                "start": c.title,
                "enrolled": counts,
                "keep": keep,
                "left_out": heard.figures(),
                "before": c.training,
            },
            metrics={},
        )

    def _point(
        self, heard: _HeardApart, labels: Sequence[str], new: Sequence[str], keep: bool
    ) -> DetectionConfig | None:
        """The operating point: of the words that stay their own, of the new ones what the clips tell."""
        before = self.config.detection if keep else None
        if len(heard.targets) < _FEWEST or (keep and before is None):
            return before
        words = np.array([is_word(label) for label in labels])
        own = against_no_word(heard.scores.astype(np.float32), words, knows_others=UNKNOWN in labels)
        column = np.cumsum(words)[heard.targets] - 1
        reached = float(np.quantile(own[np.arange(len(column)), column], 1 - _HEARD))
        threshold = round(min(_SUREST, max(UNTUNED.threshold, reached)), 4)
        if before is None:
            return dataclasses.replace(UNTUNED, threshold=threshold)
        thresholds = before.thresholds | dict.fromkeys(new, threshold)
        return dataclasses.replace(before, thresholds=thresholds)


@dataclasses.dataclass(frozen=True)
class _HeardApart:
    """Clips of the new words, as they are heard by what was learned without them.

    Attributes:
        scores: `[m, C]`.
        targets: Label of each, `[m]`.
    """

    scores: Floats
    targets: Ints

    def figures(self) -> dict[str, float]:
        """How many they are, and the share of them that is right; nothing of none."""
        if not len(self.targets):
            return {}
        right = float((self.scores.argmax(1) == self.targets).mean())
        return {"clips": len(self.targets), "right": round(right, 4)}
