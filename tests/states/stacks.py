"""Stacks with otherwise default settings in which, together, every mode of every union of the settings occurs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.samples import ACCOUNT, REGION, TELEPORT_CLUSTER
from tests.unit.model.certificates import authority
from tests.unit.program.stack import configuration

Config = dict[str, Any]
EXISTING_SECRET: Config = {
    "mode": "existingSecret",
    "secretName": "certificate",
    "trustBundleFile": "authorities.pem",
    "reloader": {"mode": "external"},
}
ISSUED: Config = {"mode": "certManager", "trustBundleFile": "authorities.pem"}
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:operations"


def _entry(config: Config) -> Config:
    entry: Config = config["teleport"][TELEPORT_CLUSTER]
    return entry


def _rds(config: Config, **changes: Any) -> None:
    config["database"] |= changes


def _existing(config: Config, **changes: Any) -> None:
    config.pop("aws")
    config["database"] = {"mode": "existing", **changes}


def _by_pod_identity(config: Config) -> None:
    config["aws"]["workloadIdentity"] = {"mode": "podIdentity", "clusterName": "production"}
    _rds(config, authentication="iam")


def _values(config: Config) -> None:
    entry = _entry(config)
    del entry["chart"]
    entry |= {"mode": "values", "rollout": {}}


def _manual(config: Config) -> None:
    authorities = _entry(config)["hostAuthorities"]
    config["teleport"] = {TELEPORT_CLUSTER: {"mode": "manual", "hostAuthorities": authorities}}


def _surrounded(config: Config) -> None:
    config["tls"] = {"mode": "generated", "extraDnsNames": ["graph.example.com"]}
    config["accessGraph"] |= {
        "metrics": True,
        "external": {"hostname": "graph.example.com"},
        "networkPolicy": {
            "enabled": True,
            "clientCidrs": ["10.0.0.0/8"],
            "databaseCidrs": ["10.1.0.0/16"],
            "awsCidrs": ["10.2.0.0/16"],
            "apiServerCidrs": ["10.3.0.0/16"],
            "metricsNamespaces": ["monitoring"],
        },
    }
    config["monitoring"] = {"serviceMonitor": True, "rules": True, "lockoutWatch": {"pattern": "host CA"}}


MODES: dict[str, Callable[[Config], None]] = {
    "rds": lambda config: None,
    "rds-production": lambda config: _rds(config, profile="production"),
    "rds-generated-master": lambda config: _rds(config, masterPassword="generated", rotation=1),
    "rds-replica-alarms": lambda config: _rds(
        config,
        masterPassword="generated",
        replica={},
        backupRetentionDays=7,
        notifications={"mode": "ownTopic"},
        alarms={},
    ),
    "rds-existing-topic": lambda config: _rds(config, notifications={"mode": "topic", "topicArn": TOPIC}),
    "rds-iam-irsa": lambda config: _rds(config, authentication="iam"),
    "rds-iam-pod-identity": _by_pod_identity,
    "existing-secret": lambda config: _existing(config, secret={"name": "database"}),
    "existing-uri": _existing,
    "tls-cert-manager": lambda config: config.update(
        tls={**ISSUED, "issuer": {"mode": "existing", "name": "internal"}}
    ),
    "tls-cert-manager-ca": lambda config: config.update(
        tls={**ISSUED, "issuer": {"mode": "ca", "secretName": "internal-ca"}, "nextAuthority": {}}
    ),
    "tls-existing-secret": lambda config: config.update(tls=EXISTING_SECRET),
    "teleport-adopted": lambda config: _entry(config).update(adopt=True),
    "teleport-values": _values,
    "teleport-manual": _manual,
    "off": lambda config: config["accessGraph"].update(enabled=False),
    "surrounded": _surrounded,
}


def stack_of(mode: str, directory: Path) -> tuple[Config, dict[str, str]]:
    """The plain and the secret configuration of `mode`; the files that it names are written into `directory`."""
    (directory / "authorities.pem").write_text(authority("Issuer A"))
    config = configuration(directory)
    MODES[mode](config)
    uri = "postgres://graph:not-a-secret@db.example.com:5432/graph?sslmode=verify-full"
    return config, {"databaseUri": uri} if mode == "existing-uri" else {}
