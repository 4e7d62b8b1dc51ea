"""What the official plugin was recorded to do, in the form in which a plugin's methods take and return it.

Owns reading `recordings/`: previews and states of two programs, with secrets and certificates replaced by markers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sandbox.plugins.protocol import PropertyDiff
from sandbox.plugins.values import UNKNOWN, UNKNOWN_STRING, Properties, Secret

RECORDINGS: Final = Path(__file__).with_name("recordings")
# The value that stands for a secret in the recordings: base64 of "hidden", as in the data of a Secret.
HIDDEN: Final = {"key": "aGlkZGVu"}
Recorded = dict[str, Any]


def preview(program: str, step: int) -> Recorded:
    return json.loads((RECORDINGS / program / f"step{step}-preview.json").read_text())


def up(program: str, step: int) -> str:
    return (RECORDINGS / program / f"step{step}-up.txt").read_text()


def resources(program: str, step: int) -> dict[str, Recorded]:
    """The resources in the state after a step, by name, without the provider."""
    state = json.loads((RECORDINGS / program / f"step{step}-state.json").read_text())
    return {
        entry["urn"].rsplit("::", 1)[-1]: entry for entry in state["resources"] if "providers:" not in entry["type"]
    }


def steps(program: str, step: int) -> dict[tuple[str, str], Recorded]:
    """The previewed steps by operation and resource name."""
    return {(entry["op"], entry["urn"].rsplit("::", 1)[-1]): entry for entry in preview(program, step)["steps"]}


def values(recorded: Any, key: str = "") -> Any:
    """Recorded JSON as plugin values: markers become secrets, the engine's placeholder becomes UNKNOWN."""
    if recorded in ({"secret": "hidden"}, "[secret]"):
        return Secret({"key": UNKNOWN} if key == "stringData" else dict(HIDDEN))
    if recorded == UNKNOWN_STRING:
        return UNKNOWN
    if isinstance(recorded, dict):
        return {name: values(item, name) for name, item in recorded.items()}
    if isinstance(recorded, list):
        return [values(item) for item in recorded]
    return recorded


def outputs(entry: Recorded, inputs: Properties) -> Properties:
    """The outputs in a state. The state has a release's `__inputs` encrypted; `inputs` supplies their content."""
    found = values(entry["outputs"])
    if entry["type"].endswith(":Release"):
        found["__inputs"] = Secret(inputs)
    return dict(found)


def detailed(entry: Recorded) -> dict[str, PropertyDiff]:
    return {path: PropertyDiff(diff["kind"], diff["inputDiff"]) for path, diff in entry["detailedDiff"].items()}
