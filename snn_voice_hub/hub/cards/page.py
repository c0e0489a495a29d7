"""The README.md that goes with a checkpoint: metadata that the Hub reads, and prose that people read.

The generated prose stands between two HTML comments, the first of which holds its checksum. So a later push
can tell it from words that somebody wrote: the former follows the configuration, the latter stay untouched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import model_index_to_eval_results

from snn_voice_hub.config import LIBRARY_NAME, SPEECH_COMMANDS, VoiceConfig, is_word
from snn_voice_hub.errors import CheckpointError
from snn_voice_hub.hub.cards.figures import changed_clips, is_number
from snn_voice_hub.hub.cards.text import card_body

PIPELINE_TAG = "audio-classification"

# Marks our own results in a model-index among those that others have added.
_MEASURED_BY = {"measured_by": f"{LIBRARY_NAME} evaluate"}
# Licences that the Hub knows (https://huggingface.co/docs/hub/repositories-licenses); its validator refuses
# others, which go under `license: other` with their name.
_LICENCES = (
    *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigcode-openrail-m"),
    *("bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause"),
    *("bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0"),
    *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0"),
    *("cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0"),
    *("creativeml-openrail-m", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "gfdl", "gpl"),
    *("gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "lppl-1.3c", "mit"),
    *("mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "openrail++", "osl-3.0"),
    *("other", "pddl", "postgresql", "unknown", "unlicense", "wtfpl", "zlib"),
)
# SPDX names what the Hub calls by the short name.
_SPDX_ENDING = re.compile(r"-(only|or-later)$")
# Samples that the Hub itself serves; they stand in the cards of its own keyword-spotting models, for example
# superb/hubert-base-superb-ks.
_SAMPLES = "https://cdn-media.huggingface.co/speech_samples/keyword_spotting_{}.wav"
_SAMPLE_WORDS = ("down", "go")
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_DATASET_URL = re.compile(r"https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)")
# The order of the keys in the card.
_ORDER = ["library_name", "pipeline_tag", "language", "license", "license_name", "base_model", "datasets"]
_ORDER += ["tags", "metrics", "widget"]
# Lists that people add to: an update puts ours beside theirs.
_SHARED_LISTS = ("tags", "datasets", "metrics")

_FRONT_MATTER = re.compile(r"\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|$)", re.DOTALL)
_BLOCK = re.compile(r"<!-- snn-voice-hub ([0-9a-f]{12}):[^\n]*-->\n(.*?)\n<!-- /snn-voice-hub -->", re.DOTALL)


def make_card(config: VoiceConfig, repo_id: str | None = None, beside: Collection[str] = ()) -> ModelCard:
    """The card of a checkpoint, made of what its configuration knows.

    Figures that were not measured are left out. The same configuration gives the same text.

    Args:
        config: The checkpoint's configuration.
        repo_id: Where it will be published; stands in the examples.
        beside: Files in the repository that hold the model in other formats, of `hub.beside.PLACES`.

    Returns:
        The card, with its metadata.
    """
    data = _metadata(config, repo_id)
    body = card_body(config, repo_id or ".", beside)
    block = (
        f"<!-- snn-voice-hub {_checksum(body)}: made from config.json. Write above or below; what you change "
        f"in here is kept too, but no longer updated. -->\n{body}\n<!-- /snn-voice-hub -->"
    )
    return ModelCard(f"---\n{data.to_yaml(original_order=_ORDER)}\n---\n\n{block}\n")


def update_card(existing: str, fresh: ModelCard) -> ModelCard:
    """Bring an existing card up to date.

    Every word that somebody wrote stays. The generated part is replaced where nobody has changed it. In the
    metadata our keys win and others are kept; tags, datasets and metrics are joined, widget examples stay,
    and of the model-index only the results that this package measured are replaced.

    Args:
        existing: The text of the card as it is.
        fresh: The card as `make_card` makes it now.

    Returns:
        The card to write.

    Raises:
        CheckpointError: The existing card's metadata can't be read.
    """
    text = existing.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    match = _FRONT_MATTER.match(text)
    old = _read_yaml(match[1]) if match else {}
    body = text[match.end() :] if match else "\n" + text.lstrip("\n")
    new = _BLOCK.search(fresh.text)
    if new is not None:
        body = _BLOCK.sub(lambda found: new[0] if _untouched(found) else found[0], body)
    data = ModelCardData(**_merge(old, fresh.data.to_dict()))  # type: ignore[no-untyped-call]
    order = [*old, *(key for key in _ORDER if key not in old)]
    merged = f"---\n{data.to_yaml(original_order=order)}\n---\n{body}"
    return ModelCard(merged.replace("\n", "\r\n") if "\r\n" in existing else merged)


def has_own_words(text: str) -> bool:
    """Whether a card holds anything besides metadata and the generated part as it was generated."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    rest = _FRONT_MATTER.sub("", text, count=1)
    return bool(_BLOCK.sub(lambda found: "" if _untouched(found) else found[0], rest).strip())


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:12]


def _untouched(block: re.Match[str]) -> bool:
    return _checksum(block[2]) == block[1]


# --- metadata -------------------------------------------------------------------------------------


def _metadata(config: VoiceConfig, repo_id: str | None) -> ModelCardData:
    words = [label for label in config.labels if is_word(label)]
    samples = [word for word in _SAMPLE_WORDS if word in words]
    results = _results(config)
    base = _base_model(config)
    return ModelCardData(
        library_name=LIBRARY_NAME,
        pipeline_tag=PIPELINE_TAG,
        language="en" if words and set(words) <= set(SPEECH_COMMANDS) else None,
        **_licence(config.license),
        base_model=base[0] if len(base) == 1 else base or None,
        datasets=sorted({i for i in map(_dataset, config.data) if i}) or None,
        tags=_tags(config),
        metrics=["accuracy"] if results else None,
        model_name=(repo_id or config.title).rpartition("/")[2] if results else None,
        eval_results=results or None,
        widget=[
            {"example_title": f'Speech Commands "{word}"', "src": _SAMPLES.format(word)} for word in samples
        ]
        or None,
    )


def _tags(config: VoiceConfig) -> list[str]:
    spiking = ["spiking-neural-network", "snn", "neuromorphic"] if config.is_spiking else []
    return [PIPELINE_TAG, "keyword-spotting", *spiking, "pytorch"]


def _licence(name: str) -> dict[str, Any]:
    """`license`, and `license_name` for one that the Hub does not know."""
    short = _SPDX_ENDING.sub("", name.strip().lower())
    if not short:
        return {}
    if short in _LICENCES:
        return {"license": short}
    # The Hub wants a name of lower-case letters, digits and hyphens.
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", short).strip("-") or "unnamed"}


def _base_model(config: VoiceConfig) -> list[str]:
    """Repositories of the Hub from whose weights training started.

    `start` is often the bare name of a folder, which the Hub would take for another model.
    """
    named = config.training.get("base_model") or config.training.get("start")
    names = [str(name).partition("@")[0] for name in (named if isinstance(named, list) else [named])]
    return [name for name in names if _is_repo_id(name)]


def _is_repo_id(name: object) -> bool:
    return isinstance(name, str) and _REPO_ID.fullmatch(name) is not None


def _dataset(source: dict[str, Any]) -> str | None:
    """The Hub's id of a source of training data, where it has one."""
    if named := _DATASET_URL.match(str(source.get("url", ""))):
        return named[1]
    return "google/speech_commands" if "speech commands" in str(source.get("name", "")).lower() else None


def _results(config: VoiceConfig) -> list[EvalResult]:
    """The figures of the test set, as the Hub's model-index wants them."""
    test = config.metrics.get("test")
    if not isinstance(test, dict):
        return []
    # What the test clips are, if whoever measured said so; else they are taken for a part of the training
    # data's source. Which of several, the configuration does not say.
    said = test.get("data")
    sources = [{"name": said}] if isinstance(said, str) and said else config.data
    known = [_dataset(source) for source in sources]
    single = known[0] if len(set(known)) == 1 else None
    names = " and ".join(str(source.get("name")) for source in sources if source.get("name"))
    name = "Speech Commands" if single == "google/speech_commands" else names or "labelled clips"
    clips = test.get("clips")
    covered = test.get("covered_words")
    metrics: list[tuple[Any, str, dict[str, Any] | None]] = [
        (test.get("top1"), "Top-1 accuracy", None),
        (test.get("top2"), "Top-2 accuracy", {"top_k": 2}),
        (test.get("top5"), "Top-5 accuracy", {"top_k": 5}),
        (test.get("covered_mean"), "Mean top-1 accuracy over the covered words", {"words": covered}),
    ]
    metrics += [
        (share, f"Top-1 accuracy, {change}", {"change": change}) for change, share in changed_clips(test)
    ]
    return [
        EvalResult(
            task_type=PIPELINE_TAG,
            task_name="Audio Classification",
            dataset_type=single or "custom",
            dataset_name=f"{name}, {clips:,} test clips" if is_number(clips) else f"{name}, test clips",
            # Mostly a part of a data set's test split. The client also joins results of one configuration and
            # split under the first one's name, and somebody's figure for the whole split must not land here.
            dataset_config=f"{clips} clips" if is_number(clips) else LIBRARY_NAME,
            dataset_split="test",
            dataset_args=_MEASURED_BY | ({"clips": clips} if is_number(clips) else {}),
            metric_type="accuracy",
            metric_name=title,
            metric_value=value,
            metric_args=arguments,
        )
        for value, title, arguments in metrics
        if is_number(value)
    ]


# --- update ---------------------------------------------------------------------------------------


def _read_yaml(block: str) -> dict[str, Any]:
    """The metadata of a card.

    Raises:
        CheckpointError: It is no YAML mapping, or its model-index is not one.
    """
    hint = "mend README.md, or replace the card"
    try:
        data = yaml.safe_load(block) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 2})" if mark else ""
        raise CheckpointError(f"the card's metadata is no valid YAML{where}", hint=hint) from error
    if not isinstance(data, dict):
        raise CheckpointError("the card's metadata is no YAML mapping", hint=hint)
    if index := data.get("model-index"):
        try:
            model_index_to_eval_results(index)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError("the card's model-index can't be read", hint=hint) from error
    return {str(key): value for key, value in data.items()}


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = old | new
    if "license" in new:
        for key in ("license_name", "license_link"):
            if key not in new and new["license"] != "other":
                merged.pop(key, None)
    for key in _SHARED_LISTS:
        joined = list(dict.fromkeys([*_listed(old.get(key)), *_listed(new.get(key))]))
        if joined:
            merged[key] = joined
    if old.get("widget"):
        merged["widget"] = old["widget"]
    if index := _merge_index(old.get("model-index") or [], new.get("model-index") or []):
        merged["model-index"] = index
    else:
        merged.pop("model-index", None)
    return merged


def _listed(value: object) -> Iterable[str]:
    return [] if value is None else map(str, value) if isinstance(value, list) else [str(value)]


def _merge_index(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Our results as they are now, then those of others."""
    ours = [result for entry in new for result in entry["results"]]
    theirs = [r for entry in old for r in entry["results"] if not _is_ours(r) and r not in ours]
    if not ours and not theirs:
        return []
    return [{"name": (new or old)[0]["name"], "results": [*ours, *theirs]}]


def _is_ours(result: dict[str, Any]) -> bool:
    arguments = result["dataset"].get("args")
    return isinstance(arguments, dict) and _MEASURED_BY.items() <= arguments.items()
