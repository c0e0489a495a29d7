"""What is shipped for deployment, read; and the service that it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
import yaml
from fastapi.testclient import TestClient
from snn_voice_server.app import create_app

import snn_voice_hub as sv
from tests.places import ROOT

DEPLOY = ROOT / "server" / "deploy"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DOCS = (ROOT / "docs" / "deployment.md").read_text()
DASHBOARD = json.loads((DEPLOY / "grafana" / "snn-voice.json").read_text())
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
COMPOSE = {
    name: yaml.safe_load((DEPLOY / name).read_text())
    for name in sorted(p.name for p in DEPLOY.glob("compose*.yaml"))
}
KUBERNETES = {d["kind"]: d for d in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    torch.manual_seed(0)
    with TestClient(create_app(sv.SnnVoice.from_pretrained("tcy-snn"))) as found:
        yield found


def expressions() -> dict[str, str]:
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    }
    found |= {rule["alert"]: rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]}
    return found
