"""The contract of the stack's outputs: their names, types and secrecy, and the version that grows with a change.

Owns what writers and readers must agree on. Adding an output is free. Renaming or removing one, or changing its type or
secrecy, raises `OUTPUTS_VERSION`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

OUTPUTS_VERSION = 1


class OutputType(NamedTuple):
    kind: str
    """`string`, `number`, `list` or `map`, as the engine stores it."""
    secret: bool = False


# In the order of export and documentation.
OUTPUT_TYPES: Mapping[str, OutputType] = MappingProxyType(
    {
        "outputsVersion": OutputType("number"),
        "endpoint": OutputType("string"),
        "serviceHost": OutputType("string"),
        "namespace": OutputType("string"),
        "releaseName": OutputType("string"),
        "chartVersion": OutputType("string"),
        "caBundle": OutputType("string"),
        "caNotAfter": OutputType("string"),
        "certificateNotAfter": OutputType("string"),
        "databaseEndpoint": OutputType("string"),
        "databaseName": OutputType("string"),
        "databaseInstanceArn": OutputType("string"),
        "databaseSecretName": OutputType("string"),
        "tlsSecretName": OutputType("string"),
        "externalEndpoint": OutputType("string"),
        "externalAddress": OutputType("string"),
        "readerRole": OutputType("string"),
        "hostAuthorityFingerprints": OutputType("map"),
        "teleportValues": OutputType("map"),
        "teleportConfig": OutputType("map"),
        "teleportFiles": OutputType("map"),
        "teleportMergedValues": OutputType("map", secret=True),
        "teleportCleanUp": OutputType("map"),
        "ledger": OutputType("map"),
    }
)
