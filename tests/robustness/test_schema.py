"""What `/openapi.json` says, the service does: schemathesis asks what is in it, and what it forbids."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from snn_voice_server.app import create_app
from snn_voice_server.settings import Settings

from snn_voice_hub import TcySNN
from tests.robustness import zoo
from tests.robustness.amount import amount
from tests.server.conftest import on_a_socket

KEY = "a-key-of-this-test"
# Its one answer is that it is a WebSocket.
NO_SUCCESS = {"GET /stream"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    TcySNN().save_pretrained(folder)
    app = create_app(settings=Settings(model=[str(folder)], api_keys=[KEY]))
    with on_a_socket(app) as (host, port):
        yield f"http://{host}:{port}"


def clips() -> list[bytes]:
    """What stands where the document asks for a sound file."""
    sound = (0.3 * np.sin(2 * math.pi * 440 * np.arange(4_000) / 16_000)).astype(np.float32)[:, np.newaxis]
    made = [
        zoo.encoded(sound, 16_000, *kind) for kind in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AU", "ULAW"))
    ]
    return [clip for clip in made if clip]


def test_the_service_does_what_its_document_says(address: str) -> None:
    load_all_checks()
    assert len(CHECKS.get_all()) > 10
    sounds = st.sampled_from(clips())
    schemathesis.openapi.format("binary", sounds)
    schemathesis.openapi.format("byte", sounds.map(lambda clip: base64.b64encode(clip).decode()))
    for kind in ("audio/*", "application/octet-stream"):
        schemathesis.openapi.media_type(kind, sounds)
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    answers, wrong = Counter[int](), list[str]()
    for found in document.get_all_operations():
        operation = found.ok()
        # Where nothing is asked for, nothing can be wrong.
        modes = list(GenerationMode) if operation.query or operation.body else [GenerationMode.POSITIVE]
        for mode in modes:
            try:
                ask(operation, mode, answers)
            except Exception as error:
                parts = error.exceptions if isinstance(error, ExceptionGroup) else [error]
                wrong += [f"{operation.label}, {mode.name}: {part}" for part in parts]
    assert not wrong, "\n\n".join(wrong)
    assert {200, 400, 404} <= answers.keys()
    assert answers.total() > 60


def ask(operation: Any, mode: GenerationMode, answers: Counter[int]) -> None:
    """Send requests of one kind to one route, and hold the answers against the document."""
    headers = {"Authorization": f"Bearer {KEY}"}
    without = [positive_data_acceptance] if operation.label in NO_SUCCESS else []

    @settings(
        max_examples=amount(4, 200),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def one(case: schemathesis.Case) -> None:
        answer = case.call(headers=headers)
        answers[answer.status_code] += 1
        case.validate_response(answer, headers=headers, excluded_checks=without)

    one()
