"""What a newer program must not change about a resource, because the engine would replace it: the URN, and the inputs
that no plugin changes in place. Which those are is in the stand-in plugins' tables, which equal the official plugins'.

`python -m tests.states.inputs` writes what the current program registers into the directory of its version.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from components.package import VERSION
from sandbox.plugins.aws import resources as aws
from sandbox.plugins.kubernetes.force_new import IDENTITY, force_new
from sandbox.plugins.kubernetes.schema import kind_of_type
from sandbox.plugins.random import schemas as random
from sandbox.plugins.tls import schemas as tls
from tests.states.stacks import MODES, stack_of
from tests.unit.monitor import Recording, Registration, unsealed
from tests.unit.program.stack import COMPUTED, run_program

STATES = Path(__file__).parent
FILE = "inputs.json"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
LOCALLY_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
# A fixed file, so that whatever is derived from it is always the same. It is a real CA, because the program parses it.
AUTHORITY = STATES / "authority.pem"
# A longer value is a whole script or specification. Its digest shows that it changed; `git` has the text.
LONGEST = 120
Recorded = dict[str, dict[str, Any]]


def recorded(version: str, mode: str) -> Recorded:
    everything: dict[str, Recorded] = json.loads((STATES / version / FILE).read_text())
    return everything.get(mode, {})


def registered(mode: str) -> tuple[Recorded, dict[str, set[str]]]:
    """What the current program registers in `mode`, and for each resource the former URNs that it claims as aliases."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        config, secrets = stack_of(mode, directory)
        computed = {
            **COMPUTED,
            SELF_SIGNED: {**COMPUTED[SELF_SIGNED], "certPem": AUTHORITY.read_text()},
            LOCALLY_SIGNED: {**COMPUTED[LOCALLY_SIGNED], "certPem": "the certificate {name}"},
        }
        recording = run_program(config, directory, secrets=secrets, computed=computed)
    found = {item.urn: dict(sorted(_fixed(item).items())) for item in recording.registrations}
    return dict(sorted(found.items())), _aliases(recording)


def _fixed(item: Registration) -> dict[str, Any]:
    inputs: dict[str, Any] = unsealed(item.inputs)
    fixed: dict[str, Any] = {}
    for path in _replacing(item.type, inputs):
        value: Any = inputs
        for part in path.strip(".").split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            fixed[path.strip(".")] = _short(value)
    if item.provider and not item.type.startswith("pulumi:"):
        # Only the provider's URN: the id after it differs in every state.
        fixed["provider"] = item.provider.rpartition("::")[0]
    return fixed


def _short(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    return value if len(text) <= LONGEST else f"{len(text)} characters, SHA-256 {sha256(text.encode()).hexdigest()}"


def _replacing(type_: str, inputs: Mapping[str, Any]) -> tuple[str, ...]:
    if type_ == "pulumi:providers:kubernetes":
        return ("clusterIdentifier",)
    package = type_.partition(":")[0]
    if package in ("random", "tls"):
        schema = {**random.SCHEMAS, **tls.SCHEMAS}[type_]
        return tuple(name for name, known in schema.inputs.items() if known.replaces)
    if package == "aws":
        return tuple(name for name, known in aws.TYPES[type_].inputs.items() if known.replaces)
    if type_ == "kubernetes:helm.sh/v3:Release":
        return ("name", "namespace")
    if package == "kubernetes":
        kind = kind_of_type(type_)
        return IDENTITY if kind is None else force_new(kind, inputs, True, True)
    return ()


def _aliases(recording: Recording) -> dict[str, set[str]]:
    return {item.urn: set(item.aliases) for item in recording.registrations if item.aliases}


def lost(before: Recorded, now: Recorded, aliases: Mapping[str, set[str]]) -> list[str]:
    """URNs in `before` that the current program neither registers nor claims: the engine would delete them."""
    claimed = set().union(*aliases.values()) if aliases else set()
    return sorted(before.keys() - now.keys() - claimed)


def replaced(before: Recorded, now: Recorded, aliases: Mapping[str, set[str]]) -> list[str]:
    """A line for each resource that the engine would replace: its URN, the input and both values."""
    former = {old: new for new, olds in aliases.items() for old in olds}
    found = []
    for urn, inputs in before.items():
        present = now.get(former.get(urn, urn))
        if present is None:
            continue
        for path in sorted(inputs.keys() | present.keys()):
            if inputs.get(path) != present.get(path):
                found.append(f"{urn}: {path} was {inputs.get(path)!r} and is {present.get(path)!r}")
    return found


def main() -> None:
    directory = STATES / (sys.argv[1] if len(sys.argv) > 1 else VERSION)
    directory.mkdir(exist_ok=True)
    everything = {mode: registered(mode)[0] for mode in MODES}
    (directory / FILE).write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
