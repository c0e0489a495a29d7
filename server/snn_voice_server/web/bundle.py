"""The page's ES modules as one script, its style sheets as one: a browser loads two files, not twenty."""

from __future__ import annotations

import re
from collections.abc import Mapping

# The forms that the modules keep to. They are ours; whatever else says import or export is refused.
_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./([\w.-]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:(?:async )?function|class|const) (\w+))", re.MULTILINE)
# In comments, import(...) names a type.
_OTHER = re.compile(r"^\s*(?:import|export)\b(?!\.).*|^(?!\s*(?:\*|/\*)).*\bimport\(.*", re.MULTILINE)


def bundle_modules(modules: Mapping[str, str], entry: str) -> str:
    """One module that does what `entry` does with all that it imports.

    Each module becomes a function with a scope of its own, called once, after those that it imports, as a
    browser would do. `import.meta.url` is then that of the bundle, so it has to be served from their folder.

    Args:
        modules: Name -> text.
        entry: Where the page begins.

    Returns:
        The same text for the same modules, whatever their order.

    Raises:
        ValueError: A module says import or export in another form than the ones known here, imports what is
            not there, or two import each other.
    """
    parts: list[str] = []
    done: set[str] = set()

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"modules import each other: {' -> '.join((*importers, name))}")
        if name in done:
            return
        text = modules[name]
        for _, imported in _IMPORT.findall(text):
            if imported not in modules:
                raise ValueError(f"{name} imports {imported}, which is not there")
            add(imported, (*importers, name))
        done.add(name)
        parts.append(_as_function(name, text, modules))

    add(entry, ())
    return "\n".join(parts)


def _as_function(name: str, text: str, modules: Mapping[str, str]) -> str:
    def imported(match: re.Match[str]) -> str:
        names, source = match[1], match[2]
        known = _EXPORT.findall(modules[source])
        for one in names.split(", "):
            if one not in known:
                raise ValueError(f"{name} imports {one}, which {source} does not export")
        return f"const {{ {names} }} = {_identifier(source)};"

    exports = _EXPORT.findall(text)
    text = _EXPORT.sub("", _IMPORT.sub(imported, text))
    if other := _OTHER.search(text):
        raise ValueError(f"{name}: this form of import or export is not known: {other[0].strip()}")
    return f"const {_identifier(name)} = (() => {{\n{text}\nreturn {{ {', '.join(exports)} }};\n}})();\n"


def _identifier(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))


def bundle_styles(sheets: Mapping[str, str], order: list[str]) -> str:
    """One style sheet of several, which are read in that order.

    Raises:
        ValueError: One loads another by itself: that would count at the top of a sheet only.
    """
    for name in order:
        if "@import" in sheets[name]:
            raise ValueError(f"{name}: @import is not known here")
    return "\n".join(sheets[name] for name in order)
