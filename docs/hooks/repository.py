"""The repository as MkDocs sees it: pages by their paths, so that links are those that GitHub follows.

A site is made of one folder, but the documents of a repository link across it. So each page keeps the path
that it has in the repository, whatever its address in the site, and what a page links to comes along: other
documents as pages, programs as plain text, folders as the list of what is in them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Documents outside of docs/, as patterns of paths.
_PAGES: Final = (
    *("*.md", "benchmarks/README.md", "benchmarks/results/*.md", "benchmarks/study/report.md"),
    *("examples/README.md", "examples/*/README.md", "examples/space/*/README.md"),
    *("model_cards/*.md", "model_cards/*/README.md"),
    *("lite/README.md", "tests/golden/README.md", "web/README.md"),
)
# What browsers show; other files are told to be text.
_SHOWN = {".csv", ".gif", ".json", ".png", ".svg", ".wav"}
_LINK = re.compile(r"(\]\()([^)\s#:]+)(?=[)#])")
_BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_NESTED = re.compile(r"^ {2,3}(?=[-*] )", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Patterns in the navigation, such as `benchmarks/results/*.md`, stand for all that they match."""
    config.nav = _expanded(config.nav)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """All files of the site, by their paths in the repository."""
    folder = Path(config.docs_dir).relative_to(ROOT).as_posix()
    found = Files([])
    for file in files:
        if file.src_dir == config.docs_dir:
            found.append(_named(config, f"{folder}/{file.src_uri}", file.dest_uri))
        else:  # the theme's
            found.append(file)
    for pattern in _PAGES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            found.append(_named(config, name, _address(name)))
    for page in list(found.documentation_pages()):
        for target in _targets(page.src_uri, page.content_string):
            for linked in _linked(config, target):
                if linked.src_uri not in found.src_uris:
                    found.append(linked)
    return found


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """What GitHub takes and MkDocs does not.

    Links to folders, lists in lists that are indented by less, and a comment before the title, as in cards.
    """
    if title := re.search(r"^# (.+)", markdown, re.MULTILINE):
        page.meta.setdefault("title", title[1])
    home = posixpath.dirname(page.file.src_uri)

    def to_readme(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(home, match[2]))
        return f"{match[0].rstrip('/')}/README.md" if (ROOT / target).is_dir() else match[0]

    def outside(text: str) -> str:
        return _NESTED.sub("    ", _LINK.sub(to_readme, text))

    parts, end = [], 0
    for block in _BLOCK.finditer(markdown):
        parts += [outside(markdown[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, outside(markdown[end:])])


def _expanded(nav: Any) -> Any:
    if isinstance(nav, dict):
        return {title: _expanded(inside) for title, inside in nav.items()}
    if not isinstance(nav, list):
        return nav
    found: list[Any] = []
    for entry in nav:
        if isinstance(entry, str) and "*" in entry:
            found += [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(entry))]
        else:
            found.append(_expanded(entry))
    return found


def _named(config: MkDocsConfig, name: str, address: str) -> File:
    file = File.generated(config, name, abs_src_path=str(ROOT / name))
    file.dest_uri = address
    return file


def _address(name: str) -> str:
    """Where a document from outside of docs/ lies in the site."""
    if name == "README.md":  # the site has a home page of its own
        return "readme/index.html"
    stem = name.removesuffix(".md").removesuffix("README").rstrip("/")
    return f"{stem.lower()}/index.html"


def _targets(name: str, text: str) -> list[str]:
    """Paths that a document links to."""
    links = [match[2] for match in _LINK.finditer(_BLOCK.sub("", text))]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) for link in links]


def _linked(config: MkDocsConfig, target: str) -> list[File]:
    """What a link brings into the site; nothing where MkDocs is to say that it leads nowhere."""
    path = ROOT / target
    if path.is_dir() and not (path / "README.md").exists():
        inside = sorted(entry for entry in path.iterdir() if entry.is_file())
        lines = [f"# {target}", *(f"- [{entry.name}]({entry.name})" for entry in inside)]
        listing = File.generated(config, f"{target}/README.md", content="\n\n".join(lines) + "\n")
        return [listing, *(_source(config, entry) for entry in inside)]
    return [_source(config, path)] if path.is_file() and path.suffix != ".md" else []


def _source(config: MkDocsConfig, path: Path) -> File:
    name = path.relative_to(ROOT).as_posix()
    return _named(config, name, name if path.suffix in _SHOWN else f"{name}.txt")
