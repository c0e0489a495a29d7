"""What is shipped for deployment names only what there is: settings, routes, files."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from snn_voice_server.http.keys import read_keys
from snn_voice_server.settings import Settings, setting_variables

from snn_voice_hub.native.build import CACHE_VARIABLE, SWITCH_VARIABLE
from snn_voice_hub.native.ready import READY_VARIABLE
from tests.house.shipped import COMPOSE, DEPLOY, DOCKERFILE, DOCS, KUBERNETES, client, expressions
from tests.places import ROOT

__all__ = ["client"]

# Given to Compose by its user, to be passed on under another name.
COMPOSE_ONLY = {"SNN_VOICE_ADDRESS"}


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bSNN_VOICE_[A-Z_]+\b", text))


def image_environment() -> dict[str, str]:
    block = DOCKERFILE[DOCKERFILE.rindex("\nENV ") :].partition("\n\n")[0]
    return dict(re.findall(r"([A-Z_]+)=(\S+)", block))


def container() -> dict[str, Any]:
    found: dict[str, Any] = KUBERNETES["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    return found


# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["Dockerfile", "docs/deployment.md", *sorted(str(p.relative_to(ROOT)) for p in DEPLOY.rglob("*.y*ml"))],
)
def test_every_variable_is_a_setting(path: str) -> None:
    known = set(setting_variables())
    known |= {CACHE_VARIABLE, SWITCH_VARIABLE, READY_VARIABLE}
    if "compose" in path or path.startswith("docs"):
        known |= COMPOSE_ONLY
    assert variables((ROOT / path).read_text()) <= known


def test_the_values_are_legal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = [image_environment()]
    # ${NAME:-default} as Compose does it.
    given += [
        {
            k: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(v))
            for k, v in file["services"]["snn-voice"]["environment"].items()
        }
        for file in COMPOSE.values()
        if "environment" in file["services"].get("snn-voice", {})
    ]
    given.append({entry["name"]: entry.get("value", "2") for entry in container()["env"]})
    for environment in given:
        with monkeypatch.context() as patch:
            for name in variables(" ".join(environment)) - {CACHE_VARIABLE, READY_VARIABLE}:
                patch.setenv(name, environment[name])
            Settings()


def waits(environment: dict[str, str]) -> float:
    """Drain delay and grace together."""
    image = image_environment()
    delay = environment.get("SNN_VOICE_DRAIN_DELAY", image["SNN_VOICE_DRAIN_DELAY"])
    grace = environment.get("SNN_VOICE_GRACE", Settings.model_fields["grace"].default)
    return float(delay) + float(grace)


def test_whoever_stops_it_waits_long_enough() -> None:
    service = COMPOSE["compose.yaml"]["services"]["snn-voice"]
    assert float(service["stop_grace_period"].removesuffix("s")) > waits(service["environment"])
    pod = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
    environment = {entry["name"]: entry.get("value", "") for entry in container()["env"]}
    assert pod["terminationGracePeriodSeconds"] > waits(environment)
    probe = container()["readinessProbe"]
    notices = probe["periodSeconds"] * probe["failureThreshold"]
    assert float(environment["SNN_VOICE_DRAIN_DELAY"]) > notices
    assert float(re.findall(r"docker stop -t (\d+)", DOCS)[0]) > waits({})


# --- the image --------------------------------------------------------------------------------------


def test_the_image_runs_as_nobody_in_particular_and_hears_signals() -> None:
    stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER 10001:10001$", stage, re.MULTILINE)
    assert json.loads(re.search(r"^ENTRYPOINT (.*)$", stage, re.MULTILINE)[1]) == ["snn-voice"]  # type: ignore[index]
    assert json.loads(re.search(r"^CMD (.*)$", stage, re.MULTILINE)[1]) == ["serve"]  # type: ignore[index]
    assert re.search(r"^STOPSIGNAL SIGTERM$", stage, re.MULTILINE)
    # What is written lies in the volume.
    for name in ("HOME", "HF_HOME", CACHE_VARIABLE):
        assert image_environment()[name].startswith("/cache")
    assert 'VOLUME ["/cache"]' in stage


def test_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    copied = [
        path
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for path in line.split()[:-1]
    ]
    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert any(path == keep or path.startswith(f"{keep}/") for keep in kept), path


class _Answer(http.server.BaseHTTPRequestHandler):
    status = 200
    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_health_check_asks_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    command = json.loads(re.search(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
    assert command[0] == "python"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nothing answers

    def check() -> int:
        return subprocess.run([sys.executable, *command[1:]], capture_output=True).returncode

    with http.server.HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SNN_VOICE_PORT", str(server.server_port))
        assert check() == 0
        assert _Answer.seen == ["/health"]
        monkeypatch.setattr(_Answer, "status", 503)
        assert check() != 0
        server.shutdown()
    assert check() != 0  # nobody listens


# --- Compose and Kubernetes --------------------------------------------------------------------------


def test_compose_hardens_the_service_and_mounts_what_is_there() -> None:
    compose = COMPOSE["compose.yaml"]
    service = compose["services"]["snn-voice"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(entry.startswith("/tmp") for entry in service["tmpfs"])
    assert (DEPLOY / service["build"]["context"]).resolve() == ROOT.resolve()
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert set(service["build"]["args"]) <= arguments
    for name, file in COMPOSE.items():
        for each in file["services"].values():
            for volume in each.get("volumes", []):
                source = volume.split(":")[0]
                there = (DEPLOY / source).exists() if source.startswith(".") else source in file["volumes"]
                assert there, (name, volume)
            for secret in each.get("secrets", []):
                assert secret in file["secrets"]
    assert all(
        entry.rsplit(":", 2)[0].startswith(("127.", "${"))
        for s in compose["services"].values()
        for entry in s["ports"]
    )


def test_prometheus_and_grafana_find_each_other() -> None:
    services = COMPOSE["compose.yaml"]["services"]
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (job,) = prometheus["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert host in services
    assert port == image_environment()["SNN_VOICE_PORT"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in prometheus["rule_files"])
    assert set(re.findall(r'job="([^"]+)"', " ".join(expressions().values()))) == {job["job_name"]}
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/snn-voice.yaml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert any(v.split(":")[1].startswith(folder) for v in services["grafana"]["volumes"])


def test_kubernetes_probes_ports_and_permissions(client: TestClient) -> None:
    template = KUBERNETES["Deployment"]["spec"]["template"]
    pod = template["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE
    inside = container()["securityContext"]
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["capabilities"] == {"drop": ["ALL"]}
    (port,) = container()["ports"]
    assert str(port["containerPort"]) == image_environment()["SNN_VOICE_PORT"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/health",
        "readiness": "/ready",
        "liveness": "/health",
    }
    for probe in probes.values():
        assert probe["port"] == port["name"]
        assert client.get(probe["path"]).status_code == 200
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts == {"cache": "/cache", "tmp": "/tmp"}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    labels = template["metadata"]["labels"]
    assert KUBERNETES["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert KUBERNETES["Service"]["spec"]["selector"] == labels
    assert KUBERNETES["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert KUBERNETES["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    target = KUBERNETES["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", KUBERNETES["Deployment"]["metadata"]["name"])


# --- the documentation -------------------------------------------------------------------------------


def test_the_recipe_for_keys_makes_keys(tmp_path: Path) -> None:
    recipe = re.search(r"<!-- keys -->\n```sh\n(.*?)```\n<!-- /keys -->", DOCS, re.DOTALL)
    assert recipe is not None
    keys = []
    for _ in range(2):
        done = subprocess.run(
            ["sh", "-euc", recipe[1]], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        keys.append(done.stdout.removeprefix("for alice: ").strip())
    assert len(set(keys)) == 2
    read = read_keys([], tmp_path / "api-keys")
    assert len(read) == 2
    assert all(len(key) >= 40 and read.who(f"Bearer {key}") == "alice" for key in keys)
    text = (tmp_path / "api-keys").read_text()
    assert hashlib.sha256(keys[0].encode()).hexdigest() in text
    assert keys[0] not in text


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", DOCS):
        if not target.startswith("http"):
            assert (ROOT / "docs" / target).resolve().exists(), target


def test_build_arguments_are_those_of_the_dockerfile() -> None:
    arguments = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    table = DOCS.partition("| build argument |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert listed
    assert listed <= arguments
    assert set(re.findall(r"--build-arg (\w+)", DOCS)) <= arguments
