"""What PyPI and npm show: links that lead somewhere, where the project's address is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.markdown_links import links
from tests.places import ROOT
from tests.release import __main__ as program
from tests.release import building
from tests.release.contents import opened
from tests.release.description import dead_links, with_addresses

ADDRESS = "https://example.org/owner/name"

TEXT = """\
[page](docs/a.md#part), [`code`](docs/a.md) and [folder](docs), ![picture](docs/p.png), [other](https://example.org/x),
[here](#page), [mail](mailto:a@example.org), `[no](link.md)`.

```python
answers["a"](docs)
```
"""


def test_links_lead_to_the_tag(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    at = f"{ADDRESS}/{{}}/v1/docs"
    expected = TEXT
    for old, kind in (("/a.md#part", "blob"), ("/a.md)", "blob"), (")", "tree"), ("/p.png", "raw")):
        expected = expected.replace(f"](docs{old}", f"]({at.format(kind)}{old}")
    assert expected.count(ADDRESS) == 4 + 1, "the one in the code as well"
    expected = expected.replace(f'answers["a"]({at.format("tree")})', 'answers["a"](docs)')
    assert with_addresses(TEXT, ADDRESS, "v1", tmp_path) == expected


def test_no_link_of_the_readme_is_left() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [link for link in links(text) if not link.startswith("#")]
    assert [link for link in links(with_addresses(text, ADDRESS, "v1")) if not link.startswith("#")] == []


def test_dead_links_are_told(hub_wheel: Path, lite_wheel: Path) -> None:
    dead = dead_links(opened(hub_wheel))
    assert "docs/tutorial.md" in dead
    assert dead_links(opened(lite_wheel)) == []
    assert [line for line in (ROOT / "web" / "README.md").read_text("utf-8").split() if "](" in line] == []
    archives = {"hub wheel": opened(hub_wheel), "lite wheel": opened(lite_wheel)}
    (told,) = (line for line in program.hindrances(archives) if "lead nowhere" in line)
    assert f"of the hub wheel's description {len(dead)} links" in told


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git is not here")
def test_the_packages_are_built_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lite_wheel: Path
) -> None:
    """All but the builder itself, which would fetch what it needs."""
    read: list[str] = []
    run = building.run

    def fake(*words: str | Path, **options: object) -> str:
        if "build" not in words:
            return run(*words, **options)  # type: ignore[arg-type]
        source = Path(words[-1])
        read.append((source / "README.md").read_text("utf-8"))
        assert (source / "snn_voice_hub" / "__init__.py").exists() or source.name == "lite"
        return ""

    monkeypatch.setattr(building, "run", fake)
    monkeypatch.setattr(program, "repository", lambda: ADDRESS)
    monkeypatch.setattr(program, "pack_npm", lambda out: None)
    monkeypatch.setattr(program, "PRODUCTS", {})
    assert program.built(tmp_path) == {}
    lite, hub = read
    assert f"]({ADDRESS}/blob/v" in hub
    assert lite == (ROOT / "lite" / "README.md").read_text("utf-8")
