"""Which environments a change touches: those that a pull request previews, or its merge deploys.

An environment is a Pulumi.<name>.yaml beside the program, its name without a dot. Needs only Python: `python3 -m
operations.preview.environments < changed-paths`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Nothing in these reaches an environment. Unlisted paths count as reaching all: better a preview too many.
_BESIDE_THE_PROGRAM = (
    "docs/",
    "tests/",
    "bench/",
    "soak/",
    "examples/",
    "sandbox/",
    "operations/",
    "provider/",
    ".ci/",
    ".github/",
    "Makefile",
    "pyproject.toml",
    "setup.py",
    "requirements-dev.in",
    "requirements-dev.txt",
    ".gitignore",
)
# Exceptions: these decide how previews and deployments are made.
_PART_OF_IT = (".github/workflows/preview.yaml", ".github/workflows/deploy.yaml")
_DIRECTORY = "environments/"
# A comment names files to read, not files in use.
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)
# Suffixes of the GitHub environments that workflows use beside the one with the stack's name; GitHub ignores the case
# of these names.
BESIDE_A_STACK = ("-preview", "-drift")
# Rendered for one machine, not in Git, and never deployed.
LOCAL = "sandbox"


def touched(paths: Iterable[str], configurations: Mapping[str, str]) -> list[str]:
    """Sorted names of the environments that a change of `paths` (relative to the program) touches.

    `configurations` has the text of each environment's file: a path named in it is part of that environment.
    """
    found: set[str] = set()
    used = {name: _COMMENT.sub("", text) for name, text in configurations.items()}
    for path in paths:
        own = _environment_of(path)
        naming = {name for name, text in used.items() if path in text}
        if own is not None:
            found |= {own, *naming}
        elif naming:
            found |= naming
        elif path in _PART_OF_IT or not (path.startswith(_BESIDE_THE_PROGRAM) or path.endswith(".md")):
            found |= {*configurations}
    return sorted(found & {*configurations})


def environments(root: Path = ROOT) -> dict[str, str]:
    """The name of each environment, with the text of its configuration."""
    found = {}
    for file in sorted(root.glob("Pulumi.*.yaml")):
        name = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        # Pulumi.<name>.deploy.yaml holds <name>'s settings for Pulumi Deployments.
        if name != LOCAL and "." not in name:
            # Only searched for paths; its own preview reports errors in it.
            found[name] = file.read_text(encoding="utf-8", errors="replace")
    return found


def shared_gates(names: Iterable[str]) -> list[str]:
    """A line for each environment whose deployment would run in the GitHub environment of another one's previews or
    drift. Every branch reaches the first, and neither has reviewers."""
    known = {name.lower(): name for name in names}
    return [
        f"Pulumi.{name}.yaml: its deployments would run in the GitHub environment {name}, which is where {other} is "
        f"{'previewed from every branch' if suffix == BESIDE_A_STACK[0] else 'looked at for drift'} without reviewers; "
        "give one of the two stacks another name"
        for lower, name in sorted(known.items())
        for suffix in BESIDE_A_STACK
        if lower.endswith(suffix) and (other := known.get(lower.removesuffix(suffix))) is not None
    ]


def _environment_of(path: str) -> str | None:
    if path.startswith("Pulumi.") and path.endswith(".yaml") and "/" not in path and path != "Pulumi.yaml":
        return path.removeprefix("Pulumi.").split(".", 1)[0]
    if path.startswith(_DIRECTORY):
        return path.removeprefix(_DIRECTORY).split("/", 1)[0]
    return None


def main() -> int:
    """Changed paths on standard input, one a line; a JSON list on standard output. Exit code 1 where two environments
    would meet in one of GitHub's."""
    parser = argparse.ArgumentParser(prog="python3 -m operations.preview.environments", description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="every environment, whatever changed")
    options = parser.parse_args()
    known = environments()
    shared = shared_gates(known)
    if shared:
        print("\n".join(shared), file=sys.stderr)
        return 1
    names = sorted(known) if options.all else touched((line.strip() for line in sys.stdin if line.strip()), known)
    print(json.dumps(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
