"""The documentation as a site: it builds without a warning, is complete, and needs no network."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import snn_voice_lite
import typer.main

import snn_voice_hub as sv
from snn_voice_hub import training
from snn_voice_hub.cli import app
from snn_voice_hub.hub.bundled import bundled_names
from tests.browser import chromium
from tests.places import ROOT

NEEDED = ("mkdocs", "material", "mkdocstrings", "fastapi")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if missing := [name for name in NEEDED if not find_spec(name)]:
        pytest.skip(f"the extra docs is not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "server"), str(ROOT / "lite")])
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name / "index.html").read_text(encoding="utf-8")


def test_every_document_is_a_page(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert (site / name.removesuffix("README") / "index.html").exists(), name
    for name in ("readme", "changelog", "contributing", "benchmarks", "examples/own_network"):
        assert (site / name / "index.html").exists(), name
    results = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    assert results == {path.parent.name for path in (site / "benchmarks" / "results").glob("*/index.html")}


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loads = re.findall(r"<(?:script|img|iframe|source|audio)\b[^>]*?\bsrc=\"?(https?:)?//", text)
        loads += re.findall(r"<link\b[^>]*?\bhref=\"?(?:https?:)?//", text)
        assert loads == [], path
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", path.read_text(encoding="utf-8")), path


def test_links_in_the_site_lead_somewhere(site: Path) -> None:
    """Also those that were rewritten: to folders, programs and data."""
    for path in site.rglob("*.html"):
        for target in re.findall(r"\bhref=\"([^\"#?:]+)(?:[#?][^\"]*)?\"", path.read_text(encoding="utf-8")):
            if path.name != "404.html":
                assert (path.parent / html.unescape(target)).exists(), f"{path}: {target}"


@pytest.mark.parametrize(("module", "name"), [(sv, "hub"), (snn_voice_lite, "lite"), (training, "hub")])
def test_the_reference_has_every_public_name(module: ModuleType, name: str) -> None:
    text = (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
    named = {line.rpartition(".")[2] for line in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}
    assert set(module.__all__) - {"__version__"} <= named


def test_the_reference_says_what_docstrings_say(site: Path) -> None:
    text = page(site, "reference/hub")
    for told in ("Raises", "from_pretrained", "record_spikes", "lif_scan", "on_error"):
        assert told in text, told


def test_every_command_is_told(site: Path) -> None:
    text = page(site, "reference/commands")
    group = typer.main.get_command(app)
    for name in group.list_commands(group.context_class(group)):  # type: ignore[attr-defined]
        assert f"snn-voice {name}" in text
    for told in ("snn-voice-lite classify", "--max-queue", "--endpoint-handler", "--top-k NUMBER"):
        assert told in text, told


def test_every_route_is_told(site: Path) -> None:
    text = page(site, "reference/http")
    for told in ("POST /classify", "POST /spikes", "GET /models/{name}", "over_share", "top_k"):
        assert told in text, told


@pytest.mark.slow
def test_the_gallery_sorts(site: Path) -> None:
    """By the first click best first, by the second worst first, and what was not measured last."""
    with chromium() as browser:
        shown = browser.new_page()
        shown.goto((site / "gallery" / "index.html").as_uri())

        def column(number: int) -> list[str]:
            return shown.locator(f".sortable tbody tr td:nth-child({number})").all_inner_texts()

        assert sorted(column(1)) == sorted(bundled_names())
        assert column(1)[0] == bundled_names()[0]
        titles = shown.locator(".sortable th").all_inner_texts()
        for title, ends in (("top-1", " %"), ("parameters", ""), ("commands missed", " %")):
            number = 1 + titles.index(title)
            for reverse in (True, False):
                shown.get_by_role("button", name=title, exact=True).click()
                cells = [text.removesuffix(ends).replace(",", "") for text in column(number)]
                values = [float(text) for text in cells if text != "-"]
                assert values == sorted(values, reverse=reverse)
                assert set(cells[len(values) :]) <= {"-"}
            heads = shown.locator(".sortable th[aria-sort='ascending']")
            assert heads.all_inner_texts() == [title]


def test_the_site_is_not_part_of_the_project() -> None:
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("no clone")
    command = ["git", "check-ignore", "site/index.html"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0
