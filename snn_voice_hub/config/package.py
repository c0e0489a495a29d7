"""Where an architecture comes from that is not one of this library."""

from __future__ import annotations

import re
from dataclasses import dataclass

from snn_voice_lite.config.values import refusal

# They come from anybody's repository and are put into commands that a person may copy.
_MODULE = re.compile(r"[A-Za-z_][\w-]*(\.\w+)*", re.ASCII)
_PACKAGE = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][\w.!+-]*", re.ASCII)
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class ArchitecturePackage:
    """Where an architecture comes from that is not one of this library. It is told, and never imported.

    Attributes:
        module: What to import, for example "mynets"; "__main__" where that was an interactive session.
        name: What to install, for example "my-nets"; None for a module that no installed package holds.
        version: Of the installed package.
    """

    module: str
    name: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A value is no such name; the message names it.
        """
        for field_name, legal in (("module", _MODULE), ("name", _PACKAGE), ("version", _VERSION)):
            value = getattr(self, field_name)
            if value is not None and not (len(value) <= _LONGEST_NAME and legal.fullmatch(value)):
                raise refusal(
                    f"architecture_package.{field_name}", value, "names as Python and pip write them"
                )

    def __str__(self) -> str:
        if self.name is None:
            return f"the module {self.module}"
        return f"the package {self.requirement.replace('==', ' ')}"

    @property
    def requirement(self) -> str:
        """As pip writes it: `my-nets==1.2`; empty where there is no package."""
        return "".join(filter(None, [self.name, self.version and f"=={self.version}"]))
