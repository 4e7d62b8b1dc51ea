"""What the stack remembers of itself: the output `ledger` of its last complete `up`, and the one of this run.

Owns the record's form. What may follow upon what is `ledger_guards`' concern; the steps of an authority are
`authority_phases`'.
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
    """The stack's memory forbids what the configuration asks for, or cannot be read. One line for each problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(["The stack cannot go from where it stands to this configuration:", *problems]))


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """As the last complete `up` left it; everything empty before the first one."""

    host_authorities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """PEM of the host CAs in use, by Teleport cluster."""
    authority: AuthorityStep | None = None
    rotation: int | None = None
    """Generation of the database login; None without a database of the stack's own."""
    audit_log: Mapping[str, str] = field(default_factory=dict)
    """Start of the audit log's export by Teleport cluster, RFC 3339; empty where it began with Teleport's own default.
    Of a cluster that has one no more, too: Teleport has not forgotten it."""
    teleport: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`teleport_record` of each Teleport cluster."""
    database: Mapping[str, Any] = field(default_factory=dict)
    """`database_record` of the database settings."""
    authority_algorithms: Mapping[int, str] = field(default_factory=dict)
    """Algorithm of each generation of the authority that exists."""
    namespace: Mapping[str, Any] = field(default_factory=dict)
    """`namespace_record` of the access graph's settings."""
    trust: TrustRecord | None = None
    """Where the certificate comes from, and whom Teleport trusts."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """`host:port` that each Teleport cluster dials; none while the access graph is off."""
    certificate_names: tuple[str, ...] = ()
    """Of a certificate that the stack asks for."""
    ends: RecordedEnds = field(default_factory=RecordedEnds)
    """What the outputs beside the ledger say."""
    instance_arn: str | None = None
    """Of the RDS instance, by the output of that name: where it is."""

    def is_verified(self, now: datetime) -> bool:
        """Whether some Teleport may verify by what `trust` has: not all of it has ended. Nor is an access graph that
        was off one that nobody dials: an `up` that switched it on may have failed later."""
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
        """`record` is the output `ledger`, None before the first `up`; the others are the outputs of their names.
        Raises `LedgerError` for one that a newer program wrote."""
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
            # Numbers come back from the engine as floats.
            authority=None
            if authority is None
            else AuthorityStep(generation=int(authority["generation"]), phase=str(authority["phase"])),
            rotation=None if rotation is None else int(rotation),
            audit_log=dict(record.get("auditLog", _NOTHING)),
            teleport=dict(record.get("teleport", _NOTHING)),
            database=dict(record.get("database", _NOTHING)),
            # JSON's keys are texts.
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
    """The stack's own earlier outputs, through the engine: known at preview, and empty before the first `up`."""
    reference = pulumi.StackReference("ledger", stack_name=full_name(pulumi.get_stack()))
    # The mocks of unit tests tell none where an engine tells none: no map, and not an empty one.
    reference.outputs = reference.outputs.apply(lambda outputs: outputs or {})
    return reference


def read_ledger(recorded: pulumi.StackReference) -> pulumi.Output[Ledger]:
    """The ledger among the stack's `recorded_outputs`. Never secret: it has none, and one that an earlier program wrote
    as a secret would hide all that follows from it, and itself again."""
    names = ("ledger", "certificateNotAfter", "caNotAfter", "databaseInstanceArn")
    outputs = [recorded.get_output(output) for output in names]
    return pulumi.Output.unsecret(pulumi.Output.all(*outputs)).apply(lambda read: Ledger.parse(*read))


def ends_of_own(recorded: Ledger, settings: Settings, given: Sequence[Authority]) -> RecordedEnds:
    """When the certificate and the authority end that this `up` may be about to renew, as far as it is recorded.
    `given` are the authorities of `tls.trustBundleFile`, of which one may be the first that ends."""
    trust, step = recorded.trust, authority_step(settings)
    first = recorded.ends.authorities
    if step is None or recorded.authority != step or first in {write_time(authority.not_after) for authority in given}:
        first = None
    elif trust is not None and trust.authorities is not None:
        # Or of one that was trusted then and is not given any more.
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
    """What the next `up` has to know of this one: the output `ledger`.

    Known only when everything in `after` is, so that an `up` that failed, or made a part, keeps the old one.
    `host_authorities` are the PEMs in use by Teleport cluster, `before` is what the last `up` left.
    """
    return pulumi.Output.all(host_authorities, trust, before, *after).apply(
        lambda resolved: ledger_content(settings, resolved[0], resolved[1], resolved[2])
    )


def ledger_content(
    settings: Settings, host_authorities: Mapping[str, Sequence[str]], trust: TrustRecord, before: Ledger
) -> dict[str, Any]:
    """The record itself; its arguments as `ledger_record`'s, resolved."""
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
        # One that does not use the access graph is told nothing.
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
    """What of the database cannot be changed in place, or not at any time; `database_steps` compares it."""
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
    """Whose the access graph's namespace is, and whether the engine would delete it with all that is in it."""
    graph = settings.access_graph
    return {"name": graph.namespace, "made": graph.create_namespace, "kept": graph.keep_namespace}


def teleport_record(settings: Settings, cluster: str) -> dict[str, Any]:
    """Who owns the release, and which one it is; `teleport_steps` compares it."""
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
