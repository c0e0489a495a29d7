"""Every link of every document leads to a file, and to a title in it, that are there."""

from __future__ import annotations

from tests.house.markdown_links import anchors, broken, links, slug
from tests.house.references import tracked
from tests.places import ROOT


def test_every_link_leads_somewhere() -> None:
    documents = [file for file in tracked() if file.endswith(".md") and (ROOT / file).exists()]
    assert len(documents) > 30
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in documents}
    assert sum(len([*links(text)]) for text in texts.values()) > 200
    assert [found for file, text in texts.items() for found in broken(file, text)] == []


def test_what_a_link_is() -> None:
    text = (
        "[a](b.md#c) ![p](d.png) [e](https://f.org) `[g](h.md)` [i][j]\n\n[j]: k.md\n"
        '<img src="l.svg">\n<!-- [m](n.md) -->\n```\n[o](q.md)\n```\n'
    )
    assert [*links(text)] == ["b.md#c", "d.png", "k.md", "l.svg"]


def test_what_an_anchor_is() -> None:
    assert slug("What `teach` does, [step](a.md) by step") == "what-teach-does-step-by-step"
    text = "# One\n\n## One\n```sh\n# no title\n```\n<a name='x'></a><a id=\"y\"></a>\n"
    assert anchors(text) == {"one", "one-1", "y"}


def test_what_leads_nowhere_is_found() -> None:
    text = "[a](tutorial.md#1-clips) [b](tutorial.md#none) [c](none.md) [d](../../secret) [e](#here) [f](#no)"
    text += " [g](../README.md#python) [h](../examples) [i](../LICENSE#x)\n\n# Here\n"
    assert [found.partition(": ")[2] for found in broken("docs/a.md", text)] == [
        *("tutorial.md#none", "none.md", "../../secret", "#no", "../LICENSE#x")
    ]
