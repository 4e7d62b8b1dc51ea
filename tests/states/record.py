"""Records the state of a sandbox in which the whole stack stands, without its secrets: `python -m tests.states.record`.

What belongs to that one sandbox is a marker in the file too, by the setting that names it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from components.host_authorities import parse_authorities
from components.trust_bundles import joined
from sandbox.home import CHECKOUT, Home
from tests.engine.conftest import RunningSandbox
from tests.states.inputs import STATES, VERSION
from tests.states.placeholders import normalised

PREFIX = "teleport-access-graph:"
FILE = "state.json"
STACK = "sandbox"
# Sections of the settings whose texts are of one sandbox.
OF_ONE_SANDBOX = ("kubernetes", "aws", "accessGraph", "database", "teleport")
# Texts so short, or so plain, that they would be found where they are not meant.
SHORTEST = 9


def facts_of(configuration: Path) -> dict[str, str]:
    """Name -> text of what is of this sandbox alone: its settings, and the public files that they point to."""
    document = yaml.safe_load(configuration.read_text())
    settings = {key.removeprefix(PREFIX): value for key, value in document["config"].items() if key.startswith(PREFIX)}
    found = {
        path: text
        for section in OF_ONE_SANDBOX
        for path, text in _texts(settings.get(section), section)
        if len(text) >= SHORTEST and any(letter.isdigit() or letter == "/" for letter in text)
    }
    (entry,) = settings["teleport"].values()
    hosts = (CHECKOUT / entry["hostAuthorities"]["path"]).read_text()
    found["host authorities"] = "".join(one.pem for one in parse_authorities(hosts))
    roots = (CHECKOUT / settings["database"]["caBundleFile"]).read_text()
    found["database authorities"] = joined([roots])
    return found


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}")
    elif isinstance(value, str):
        yield path, value


def recording(sandbox: RunningSandbox) -> Any:
    exported = json.loads(sandbox.pulumi("stack", "export", "--show-secrets").stdout)
    # Whose secrets they were is nobody's concern, and the salt is one of them.
    exported["deployment"].pop("secrets_providers", None)
    exported["deployment"].pop("manifest", None)
    return normalised(exported, facts_of(sandbox.configuration))


def main() -> None:
    home = Home.from_environment()
    sandbox = RunningSandbox(home, CHECKOUT / f"Pulumi.{STACK}.yaml")
    directory = STATES / (sys.argv[1] if len(sys.argv) > 1 else VERSION)
    (directory / FILE).write_text(json.dumps(recording(sandbox), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
