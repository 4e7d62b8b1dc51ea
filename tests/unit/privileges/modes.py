"""Configurations that together make the program register every type it can: one for each choice that adds types."""

from __future__ import annotations

import copy
import functools
import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.settings import Settings, load_settings
from operations.privileges.kubernetes_objects import Place
from tests.samples import ACCOUNT, REGION, TELEPORT_CLUSTER
from tests.unit.monitor import STACK, Recording
from tests.unit.program.stack import OWN_VALUES, configuration, host_authority, run_program

_TRUSTED = {"trustBundleFile": "ca.pem"}
_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
_CHANGES: dict[str, dict[str, Any]] = {
    "the least": {},
    "production": {
        "database": {
            "profile": "production",
            "port": 6432,
            "notifications": {"mode": "ownTopic", "emails": ["oncall@example.com"]},
            "alarms": {"freeStorageGib": 5, "cpuPercent": 80, "connections": 40},
            "masterPassword": "generated",
            "replica": {},
        }
    },
    "Pod Identity": {
        "aws": {"workloadIdentity": {"mode": "podIdentity", "clusterName": "prod"}},
        "database": {"authentication": "iam"},
    },
    "a database that exists": {"database": ..., "existing": True},
    "a key that exists": {"database": {"kmsKeyArn": _KEY}},
    "a database that is taken over": {
        "database": {
            "adopt": True,
            "kmsKeyArn": _KEY,
            "network": {
                "vpcId": "vpc-0123456789abcdef0",
                "subnetGroupName": "theirs",
                "clientSecurityGroupIds": ["sg-0123456789abcdef0"],
            },
        }
    },
    "a restored database": {
        "database": {"restore": {"mode": "snapshot", "snapshotIdentifier": "graph-final-0a1b2c3d"}},
    },
    "cert-manager": {
        "tls": {"mode": "certManager", "issuer": {"mode": "ca", "secretName": "internal-ca"}, **_TRUSTED},
    },
    "somebody's Secret": {"tls": {"mode": "existingSecret", "secretName": "graph-tls", **_TRUSTED}},
    "policies and a way in": {
        "accessGraph": {"networkPolicy": {"enabled": True}, "external": {"hostname": "graph.example.com"}},
        "tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]},
    },
    "Prometheus": {
        "accessGraph": {"metrics": True},
        "monitoring": {"serviceMonitor": True, "rules": True, "lockoutWatch": {}},
    },
    "the operator": {"entry": {"applyReaderRole": True}},
    "somebody's Teleport": {"entry": {"mode": "values", "chart": ..., "rollout": {}}},
    "a Teleport without a chart": {"entry": {"mode": "manual", "chart": ..., "valuesFiles": ...}},
    "an adopted Teleport": {"entry": {"adopt": True}},
    "a namespace that exists": {"accessGraph": {"createNamespace": False}},
    "switched off": {"accessGraph": {"enabled": False}},
}
MODES = tuple(_CHANGES)


# Removed when the process ends.
_kept: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def directory() -> Path:
    """The directory with the files that the configurations name."""
    _kept.append(tempfile.TemporaryDirectory(prefix="modes-"))
    made = Path(_kept[-1].name)
    (made / "ca.pem").write_text(host_authority())
    (made / "values.yaml").write_text(yaml.safe_dump(OWN_VALUES))
    return made


@functools.cache
def configured(mode: str) -> dict[str, Any]:
    changes = copy.deepcopy(_CHANGES[mode])
    config = configuration(directory())
    entry = config["teleport"][TELEPORT_CLUSTER]
    for key, value in changes.pop("entry", {}).items():
        if value is ...:
            del entry[key]
        else:
            entry[key] = value
    if changes.pop("existing", False):
        del changes["database"], config["aws"]
        config["database"] = {"mode": "existing", "secret": {"name": "database"}}
    for key, section in changes.items():
        config[key] = section if key in ("tls", "monitoring") else {**config.get(key, {}), **section}
    return config


@functools.cache
def recorded(mode: str) -> Recording:
    """What the program registers in this mode. Recorded once per test run; tests must not change it."""
    return run_program(configured(mode), directory())


@functools.cache
def settings_of(mode: str) -> Settings:
    return load_settings(configured(mode), (), root=directory(), stack=STACK)


def place_of(settings: Settings, namespace: str | None) -> Place:
    """The place of an object with that namespace in its metadata."""
    if namespace is None:
        return Place.CLUSTER
    return Place.GRAPH if namespace == settings.access_graph.namespace else Place.TELEPORT
