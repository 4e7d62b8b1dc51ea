"""What the stack remembers about itself: reads the output `ledger` of its last complete `up`, and writes this run's.

Owns the format of the record. `ledger_guards` decides what may follow a record; `authority_phases` defines the steps of
an authority.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pulumi

from components.authority_phases import AuthorityStep
from components.expiry import RecordedEnds, read_time, write_time
from components.settings import (
    ExistingDatabaseSettings,
    ManualTeleportSettings,
    RdsDatabaseSettings,
    ReleaseTeleportSettings,
    Settings,
)
from components.stack_tags import full_name
from components.tls_assembly import authority_algorithms, authority_step
from components.trust_bundles import Authority
from components.trust_steps import GENERATED, TrustRecord

LEDGER_VERSION = 1
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class LedgerError(pulumi.RunError):
    """The ledger forbids what the configuration asks for, or cannot be read. The message has one line for each
    problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(["The stack cannot go from where it stands to this configuration:", *problems]))


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The stack as its last complete `up` left it; every field is empty before the first one."""

    host_authorities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """PEM of the host CAs in use, by Teleport cluster."""
    authority: AuthorityStep | None = None
    rotation: int | None = None
    """Generation of the database login; None without a database of the stack's own."""
    audit_log: Mapping[str, str] = field(default_factory=dict)
    """Start of the audit log's export by Teleport cluster, RFC 3339; empty where it began with Teleport's own default.
    Kept for a cluster that no longer exports: Teleport has not forgotten its start."""
    teleport: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`teleport_record` of each Teleport cluster."""
    database: Mapping[str, Any] = field(default_factory=dict)
    """`database_record` of the settings."""
    authority_algorithms: Mapping[int, str] = field(default_factory=dict)
    """Algorithm of each existing generation of the authority."""
    namespace: Mapping[str, Any] = field(default_factory=dict)
    """`namespace_record` of the settings."""
    trust: TrustRecord | None = None
    """Where the certificate comes from, and which authorities Teleport trusts."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """The `host:port` that each Teleport cluster dials; empty while the access graph is off."""
    certificate_names: tuple[str, ...] = ()
    """The names in a certificate that the stack asks for."""
    ends: RecordedEnds = field(default_factory=RecordedEnds)
    """The ends of certificates, read from the outputs beside the ledger."""
    instance_arn: str | None = None
    """The RDS instance's ARN, read from the output of that name: it tells where the instance is."""

    def is_verified(self, now: datetime) -> bool:
        """Whether a Teleport may still verify TAG by the authorities in `trust`: at least one has not ended. A record
        with the access graph off does not rule that out: a later `up` may have switched it on and then failed."""
        ends = None if self.trust is None else self.trust.ends
        return ends is None or read_time(ends) > now

    @classmethod
    def parse(
        cls,
        record: Any,
        certificate_not_after: str | None = None,
        ca_not_after: str | None = None,
        instance_arn: str | None = None,
    ) -> Ledger:
        """`record` is the output `ledger`, None before the first `up`; the others are the outputs of the same names.
        Raises `LedgerError` for a record that a newer program wrote."""
        if not isinstance(record, Mapping):
            return cls()
        version = int(record.get("version", 0))
        if version > LEDGER_VERSION:
            raise LedgerError(
                [
                    f"  ledger: was written in version {version} by a newer program, and this one reads "
                    f"{LEDGER_VERSION}; run the program that deployed this stack last, or a newer one"
                ]
            )
        authority = record.get("authority")
        rotation = record.get("rotation")
        return cls(
            host_authorities={name: tuple(pems) for name, pems in record.get("hostAuthorities", _NOTHING).items()},
            # The engine returns numbers as floats.
            authority=None
            if authority is None
            else AuthorityStep(generation=int(authority["generation"]), phase=str(authority["phase"])),
            rotation=None if rotation is None else int(rotation),
            audit_log=dict(record.get("auditLog", _NOTHING)),
            teleport=dict(record.get("teleport", _NOTHING)),
            database=dict(record.get("database", _NOTHING)),
            # JSON has only text as keys.
            authority_algorithms={
                int(generation): str(algorithm)
                for generation, algorithm in ((authority or _NOTHING).get("algorithms") or _NOTHING).items()
            },
            namespace=dict(record.get("namespace", _NOTHING)),
            trust=TrustRecord.parse(record.get("trust")),
            endpoints=dict(record.get("endpoints", _NOTHING)),
            certificate_names=tuple(record.get("certificateNames", ())),
            ends=RecordedEnds(certificate=certificate_not_after, authorities=ca_not_after),
            instance_arn=instance_arn,
        )


def recorded_outputs() -> pulumi.StackReference:
    """The stack's own earlier outputs, read through the engine: known at preview, and empty before the first `up`."""
    reference = pulumi.StackReference("ledger", stack_name=full_name(pulumi.get_stack()))
    # For a stack without outputs, the mocks of unit tests give None and an engine an empty map.
    reference.outputs = reference.outputs.apply(lambda outputs: outputs or {})
    return reference


def read_ledger(recorded: pulumi.StackReference) -> pulumi.Output[Ledger]:
    """The ledger among the stack's `recorded_outputs`. Never secret: it holds no secret. An earlier program may have
    marked it as one, which would hide everything that depends on it, and the next ledger too."""
    names = ("ledger", "certificateNotAfter", "caNotAfter", "databaseInstanceArn")
    outputs = [recorded.get_output(output) for output in names]
    return pulumi.Output.unsecret(pulumi.Output.all(*outputs)).apply(lambda read: Ledger.parse(*read))


def ends_of_own(recorded: Ledger, settings: Settings, given: Sequence[Authority]) -> RecordedEnds:
    """The recorded ends of the certificate and the authority that this `up` may renew, None where not known. `given`
    are the authorities of `tls.trustBundleFile`: the earliest recorded end may be one of theirs."""
    trust, step = recorded.trust, authority_step(settings)
    first = recorded.ends.authorities
    if step is None or recorded.authority != step or first in {write_time(authority.not_after) for authority in given}:
        first = None
    elif trust is not None and trust.authorities is not None:
        # The earliest end may also be that of an authority that was trusted then and is no longer given.
        own = trust.authorities - {authority.identity for authority in given}
        first = first if len(own) == len(step.trusted) else None
    same_mode = trust is not None and trust.mode == settings.tls.mode == GENERATED
    return RecordedEnds(certificate=recorded.ends.certificate if same_mode else None, authorities=first)


def ledger_record(
    settings: Settings,
    host_authorities: pulumi.Input[Mapping[str, Sequence[str]]],
    trust: pulumi.Output[TrustRecord],
    before: pulumi.Output[Ledger],
    after: Sequence[pulumi.Input[Any]],
) -> pulumi.Output[dict[str, Any]]:
    """What the next `up` has to know about this one: the output `ledger`.

    Known only when everything in `after` is known, so that an `up` that failed, or made only a part, keeps the old one.
    `host_authorities` are the PEMs in use by Teleport cluster; `before` is what the last `up` left.
    """
    return pulumi.Output.all(host_authorities, trust, before, *after).apply(
        lambda resolved: ledger_content(settings, resolved[0], resolved[1], resolved[2])
    )


def ledger_content(
    settings: Settings, host_authorities: Mapping[str, Sequence[str]], trust: TrustRecord, before: Ledger
) -> dict[str, Any]:
    """The record itself. The arguments are those of `ledger_record`, resolved."""
    record: dict[str, Any] = {
        "version": LEDGER_VERSION,
        "database": database_record(settings),
        "namespace": namespace_record(settings),
        "teleport": {cluster: teleport_record(settings, cluster) for cluster in settings.teleport},
        "endpoints": {
            cluster: settings.endpoint_of(cluster) for cluster in settings.teleport if settings.connects(cluster)
        },
        "certificateNames": list(settings.certificate_names or ()),
        "hostAuthorities": {name: list(pems) for name, pems in host_authorities.items()},
        "trust": trust.stored(),
    }
    starts = {
        cluster: entry.audit_log.start_date or before.audit_log.get(cluster, "")
        for cluster, entry in settings.teleport.items()
        # A Teleport that does not use the access graph is not told a start.
        if settings.connects(cluster) and entry.audit_log is not None and entry.audit_log.enabled
    }
    step = authority_step(settings)
    if step is not None:
        made = {str(generation): algorithm for generation, algorithm in authority_algorithms(settings).items()}
        record["authority"] = {"generation": step.generation, "phase": step.phase, "algorithms": made}
    if isinstance(settings.database, RdsDatabaseSettings) and settings.database.authentication == "password":
        record["rotation"] = settings.database.rotation
    return {**record, "auditLog": {**before.audit_log, **starts}}


def database_record(settings: Settings) -> dict[str, Any]:
    """What cannot be changed in place, or not at any time, about the database; `database_steps` compares it."""
    database = settings.database
    if isinstance(database, ExistingDatabaseSettings):
        return {"mode": database.mode, "secretMade": database.secret is None}
    return {
        "mode": database.mode,
        "identifier": database.identifier,
        "databaseName": database.database_name,
        "masterUsername": database.master_username,
        "kmsKeyArn": database.kms_key_arn,
        "engineVersion": database.engine_version,
        "protect": database.protect,
        "onDestroy": database.on_destroy,
        "adopted": database.adopt,
        "restored": database.restore is not None,
        **({} if database.restore is None else {"allocatedStorageGib": database.allocated_storage_gib}),
        "port": database.port,
        "replica": database.replica is not None,
    }


def namespace_record(settings: Settings) -> dict[str, Any]:
    """Who made the access graph's namespace, and whether the engine would delete it with everything in it."""
    graph = settings.access_graph
    return {"name": graph.namespace, "made": graph.create_namespace, "kept": graph.keep_namespace}


def teleport_record(settings: Settings, cluster: str) -> dict[str, Any]:
    """Who owns the release, and which release it is; `teleport_steps` compares it."""
    entry = settings.teleport[cluster]
    if isinstance(entry, ManualTeleportSettings):
        return {"mode": entry.mode}
    return {
        "mode": entry.mode,
        "adopted": isinstance(entry, ReleaseTeleportSettings) and entry.adopt,
        "clusterIdentifier": settings.kubernetes_of(cluster).cluster_identifier,
        "namespace": entry.namespace,
        "release": entry.release,
    }
