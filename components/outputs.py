"""What the stack exports (version 1): flat, plain where it can be, documented in docs/outputs.md.

Adding an output is free; renaming or removing one raises `OUTPUTS_VERSION`. The ledger is the stack's own memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

OUTPUTS_VERSION = 1
LEDGER_VERSION = 1

# Role for people who look at the graph: `tctl create -f` takes it as it is. The preset `editor` role has the rule already.
READER_ROLE = """\
kind: role
version: v7
metadata:
  name: access-graph-reader
spec:
  allow:
    rules:
      - resources: [access_graph]
        verbs: [list, read]
"""

OUTPUT_NAMES = (
    "outputsVersion",
    "endpoint",
    "serviceHost",
    "namespace",
    "releaseName",
    "chartVersion",
    "caBundle",
    "caNotAfter",
    "certificateNotAfter",
    "databaseEndpoint",
    "databaseName",
    "databaseInstanceArn",
    "databaseSecretName",
    "tlsSecretName",
    "readerRole",
    "hostAuthorityFingerprints",
    "teleportValues",
    "teleportConfig",
    "ledger",
)


def export_outputs(values: Mapping[str, pulumi.Input[Any]]) -> None:
    """Export `values`, which must have every name of the contract but the two that are constants.

    What does not exist in this environment (the release while the access graph is off, an instance's ARN for a database
    that somebody else runs) is exported as null, so that a consumer can tell "not here" from "older program".
    Raises `ValueError` naming what is missing or unknown.
    """
    complete: dict[str, pulumi.Input[Any]] = {
        "outputsVersion": OUTPUTS_VERSION,
        "readerRole": READER_ROLE,
        **values,
    }
    different = set(complete) ^ set(OUTPUT_NAMES)
    if different:
        raise ValueError(f"outputs: {', '.join(sorted(different))} do not match the contract of version {OUTPUTS_VERSION}")
    for name in OUTPUT_NAMES:
        pulumi.export(name, complete[name])


def make_ledger(
    *,
    host_authorities: Mapping[str, list[str]],
    authority: Mapping[str, Any],
    rotation: int,
    audit_log: Mapping[str, Any],
    after: list[pulumi.Input[Any]],
) -> pulumi.Output[dict[str, Any]]:
    """What the next `up` has to know of this one. Known only when everything in `after` is: a failed `up` keeps the old ledger."""
    record = {
        "version": LEDGER_VERSION,
        "hostAuthorities": dict(host_authorities),
        "authority": dict(authority),
        "rotation": rotation,
        "auditLog": dict(audit_log),
    }
    return pulumi.Output.all(*after).apply(lambda _: record)
