"""The bundler of the page's modules. That the bundle does what they do, the tests in the browser say."""

from __future__ import annotations

from importlib.resources import files

import pytest
from snn_voice_server.web.bundle import bundle_modules, bundle_styles

LEAF = "const SIZE = 1;\nexport function leaf() { return SIZE; }\n"
CLASS = (
    'import { leaf } from "./leaf.js";\n\nconst SIZE = 2;\nexport class Twig {}\nexport const TWO = SIZE;\n'
)
ENTRY = 'import { Twig, TWO } from "./twig.js";\nimport { leaf } from "./leaf.js";\nnew Twig(leaf(TWO));\n'
TREE = {"app.js": ENTRY, "twig.js": CLASS, "leaf.js": LEAF}


def test_each_module_once_after_what_it_imports() -> None:
    text = bundle_modules(TREE, "app.js")
    order = [text.index(f"const module_{name} = ") for name in ("leaf", "twig", "app")]
    assert order == sorted(order)
    assert text.count("const module_leaf = ") == 1
    assert "const { Twig, TWO } = module_twig;" in text
    assert "return { Twig, TWO };" in text
    assert "import " not in text
    assert "export " not in text


def test_what_is_not_imported_is_left_out_and_the_order_of_the_files_is_no_matter() -> None:
    shuffled = dict(reversed([*TREE.items(), ("other.js", "const OTHER = 1;")]))
    assert bundle_modules(shuffled, "app.js") == bundle_modules(TREE, "app.js")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('import leaf from "./leaf.js";', "not known"),
        ('import * as leaf from "./leaf.js";', "not known"),
        ('import { leaf as other } from "./leaf.js";', "leaf as other"),
        ('import "./leaf.js";', "not known"),
        ("import { leaf } from './leaf.js';", "not known"),
        ('  import { leaf } from "./leaf.js";', "not known"),
        ('const leaf = await import("./leaf.js");', "not known"),
        ("export default 1;", "not known"),
        ("export let changed = 1;", "not known"),
        ("export { TREE };", "not known"),
        ('export * from "./leaf.js";', "not known"),
        ('import { leaf } from "./nothing.js";', "nothing.js, which is not there"),
        ('import { bough } from "./leaf.js";', "bough, which leaf.js does not export"),
        ('import { own } from "./app.js";', "app.js -> app.js"),
    ],
)
def test_other_forms_are_refused(line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bundle_modules({"app.js": f"{line}\n", "leaf.js": LEAF}, "app.js")


def test_modules_that_import_each_other_are_refused() -> None:
    ring = {
        name: f'import {{ x }} from "./{other}";\n' for name, other in (("a.js", "b.js"), ("b.js", "a.js"))
    }
    with pytest.raises(ValueError, match=r"a.js -> b.js -> a.js"):
        bundle_modules(ring, "a.js")


def test_comments_may_name_types() -> None:
    text = "/** @type {import('./leaf.js').X} */\n/**\n * @param {import('./leaf.js').X} x\n */\n"
    assert text in bundle_modules({"app.js": text}, "app.js")


def test_styles_in_order() -> None:
    assert bundle_styles({"a.css": "a {}", "b.css": "b {}"}, ["b.css", "a.css"]) == "b {}\na {}"
    with pytest.raises(ValueError, match=r"a.css: @import"):
        bundle_styles({"a.css": '@import "b.css";'}, ["a.css"])


def test_every_file_of_the_page_is_part_of_it() -> None:
    folder = files("snn_voice_server.web").joinpath("page")
    texts = {entry.name: entry.read_text() for entry in folder.iterdir() if entry.name.endswith(".js")}
    text = bundle_modules(texts, "app.js")
    for name in texts.keys() - {"recorder-worklet.js"}:
        assert f"const module_{name.removesuffix('.js').replace('-', '_')} = " in text
