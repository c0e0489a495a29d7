"""Dashboard, alerts and their documentation name only metrics, labels and routes that there are."""

from __future__ import annotations

import re

import pytest
import torch
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from snn_voice_server.http.errors import _STATUS
from snn_voice_server.models.metrics import Metrics

from tests.house.shipped import ALERTS, DASHBOARD, DEPLOY, DOCS, client, expressions
from tests.places import ROOT

__all__ = ["client"]

# Of Prometheus itself.
OTHERS = {"up"}


@pytest.fixture(scope="module")
def exposed(client: TestClient) -> dict[str, set[str]]:
    """Samples of `GET /metrics` -> the labels that they have; each metric has been used once."""
    clip = (ROOT / "examples" / "yes.wav").read_bytes()
    assert client.post("/classify", content=clip).status_code == 200
    metrics = client.app.state.service.metrics  # type: ignore[attr-defined]
    metrics.refused.labels("busy").inc()
    metrics.turned_away("silent")
    metrics.trained("done", 1.0)
    found: dict[str, set[str]] = {}
    # The memory of GPUs is there only where one is.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda, "memory_allocated", lambda _: 1)
        patch.setattr(torch.cuda, "memory_reserved", lambda _: 2)
        on_a_gpu = Metrics().page().decode()
    for text in (client.get("/metrics").text, on_a_gpu):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


_SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}|\b(snn_voice_\w+|process_\w+|up)\b")


@pytest.mark.parametrize("name", expressions())
def test_an_expression_names_metrics_and_labels_that_there_are(
    name: str, exposed: dict[str, set[str]]
) -> None:
    expression = expressions()[name]
    added = {"instance", "job"}  # by Prometheus
    named: set[str] = set()
    for metric, selectors, bare in _SELECTOR.findall(expression):
        metric = metric or bare
        named.add(metric)
        assert metric in exposed or metric in OTHERS, metric
        labels = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", selectors))
        assert labels <= exposed.get(metric, set()) | added, (metric, labels)
    assert named, expression
    known = set().union(*(exposed.get(metric, set()) for metric in named)) | added
    for listed in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in listed.split(",")} <= known


def test_the_docs_name_metrics_that_there_are(exposed: dict[str, set[str]]) -> None:
    named = set(
        re.findall(r"\bsnn_voice_(?!hub\b)[a-z_]+\b", DOCS + (DEPLOY / "kubernetes.yaml").read_text())
    )
    assert named
    assert named <= set(exposed)


def test_the_dashboard_shows_all_that_the_service_counts(exposed: dict[str, set[str]]) -> None:
    text = " ".join(expressions().values())
    families = {re.sub(r"_(total|created|bucket|sum|count)$", "", name) for name in exposed}
    assert [name for name in sorted(families) if name.startswith("snn_voice_") and name not in text] == []


def test_the_reasons_and_routes_of_the_alerts_are_the_services(client: TestClient) -> None:
    text = " ".join(expressions().values())
    for reasons in re.findall(r'reason=~?"([^"]+)"', text):
        assert set(reasons.split("|")) <= set(_STATUS)
    paths = client.get("/openapi.json").json()["paths"]
    for pattern in re.findall(r'route=~?"([^"]+)"', text):
        assert any(re.fullmatch(pattern, path) for path in paths)


def test_the_dashboard_is_one_of_grafana() -> None:
    assert {v["name"]: v["type"] for v in DASHBOARD["templating"]["list"]} == {
        "datasource": "datasource",
        "model": "query",
    }
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"


def test_every_alert_says_what_it_is_and_is_tried_out_and_documented() -> None:
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    tried = (DEPLOY / "prometheus" / "alerts.test.yml").read_text()
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert tried.count(rule["alert"]) == 2  # silent when all is well, firing when not
        assert f"`{rule['alert']}`" in DOCS
    assert set(re.findall(r"`(SnnVoice[A-Z]\w+)`", DOCS)) == {rule["alert"] for rule in rules}
