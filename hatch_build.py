"""Put the workspace templates into a real wheel, and nothing extra into an editable one.

`init` and `demo` copy these files. They are kept once, at the top of the repository; an editable
install finds them there.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TEMPLATES = (
    "framework.py",
    "train.py",
    "program.md",
    "config.yaml",
    "candidate",
    "examples",
    "skills",
)


class TemplateHook(BuildHookInterface):  # type: ignore[type-arg]
    """Carries the templates as `orchestrator/_template/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the templates to the files of a wheel that is not editable."""
        if version == "standard":
            for name in TEMPLATES:
                build_data["force_include"][name] = f"orchestrator/_template/{name}"
