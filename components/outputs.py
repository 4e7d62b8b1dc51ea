"""What the stack exports (version 1): a flat map, not secret where possible, documented in docs/outputs.md.

`outputs_contract` has the names and types. The ledger, the stack's own memory, is made in `ledger.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from components.applied import or_recorded
from components.host_authority_succession import fingerprints, pems
from components.ledger import ledger_record
from components.outputs_contract import OUTPUT_TYPES, OUTPUTS_VERSION
from components.settings import ManualTeleportSettings
from components.settings.names import SERVICE_PORT
from components.teleport_clean_up import clean_up
from components.tls_assembly import trust_record

if TYPE_CHECKING:
    from components.access_graph import AccessGraph
    from components.assembly import DatabaseConnection
    from components.credentials import AccessGraphNamespace, Credentials
    from components.database import Database
    from components.database_logins import LoginRetirement
    from components.host_authorities import HostAuthority
    from components.ledger import Ledger
    from components.server_certificate import ServerCertificate
    from components.settings import Settings
    from components.surroundings import Surroundings
    from components.teleport import TeleportCluster

# Role for people who look at the graph; `tctl create -f` takes it as it is. The preset `editor` role has this rule
# already.
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


def export_outputs(values: Mapping[str, pulumi.Input[Any]], recorded: pulumi.StackReference) -> None:
    """Export `values`, which must have every name of the contract but the two constants. Where this run has not made
    the resource behind a value, the `recorded` value stays.

    A value that this environment does not have (the release while the access graph is off, an instance's ARN for a
    database that somebody else runs) is None, and the engine then leaves the output out: readers ask `outputsVersion`
    first. Raises `ValueError` naming what is missing or unknown.
    """
    complete: dict[str, pulumi.Input[Any]] = {
        "outputsVersion": OUTPUTS_VERSION,
        "readerRole": READER_ROLE,
        **values,
    }
    different = set(complete) ^ set(OUTPUT_TYPES)
    if different:
        raise ValueError(
            f"outputs: {', '.join(sorted(different))} do not match the contract of version {OUTPUTS_VERSION}"
        )
    for name in OUTPUT_TYPES:
        pulumi.export(name, or_recorded(complete[name], recorded.get_output(name)))


def stack_outputs(
    settings: Settings,
    host_authorities: pulumi.Output[Mapping[str, tuple[HostAuthority, ...]]],
    ledger: pulumi.Output[Ledger],
    *,
    namespace: AccessGraphNamespace,
    certificate: ServerCertificate,
    database: Database | None,
    connection: DatabaseConnection,
    credentials: Credentials,
    access_graph: AccessGraph | None,
    surroundings: Surroundings,
    teleport: Mapping[str, TeleportCluster],
    logins: LoginRetirement | None,
) -> dict[str, pulumi.Input[Any]]:
    """Every output that is not a constant, by name. None where this environment has no such thing."""
    steps: list[pulumi.Input[Any]] = [
        namespace.namespace,
        credentials.checksum,
        credentials.tls_secret_name,
        credentials.database_secret_name,
        *(cluster.ready for cluster in teleport.values()),
    ]
    if access_graph is not None:
        steps.append(access_graph.ready)
    if certificate.ready is not None:
        steps.append(certificate.ready)
    if logins is not None:
        steps.append(logins.ready)
    external = surroundings.external
    if external is not None:
        steps.append(external.address)
    return {
        "endpoint": f"{settings.service_host}:{SERVICE_PORT}",
        "serviceHost": settings.service_host,
        "namespace": namespace.namespace,
        "releaseName": None if access_graph is None else access_graph.release_name,
        "chartVersion": None if access_graph is None else access_graph.chart_version,
        "caBundle": certificate.trust_bundle,
        "caNotAfter": certificate.ca_not_after,
        "certificateNotAfter": certificate.certificate_not_after,
        "databaseEndpoint": None if database is None else database.endpoint,
        "databaseName": None if database is None else database.database_name,
        "databaseInstanceArn": None if database is None else database.instance_arn,
        "databaseSecretName": connection.secret_name or credentials.database_secret_name,
        "tlsSecretName": credentials.tls_secret_name,
        "externalEndpoint": None if external is None else external.endpoint,
        "externalAddress": None if external is None else external.address,
        "hostAuthorityFingerprints": host_authorities.apply(fingerprints),
        "teleportValues": {name: cluster.values for name, cluster in teleport.items()},
        "teleportConfig": {name: cluster.configuration for name, cluster in teleport.items()},
        "teleportFiles": {
            name: teleport[name].files
            for name, entry in settings.teleport.items()
            if isinstance(entry, ManualTeleportSettings)
        },
        # None unless asked for, because an output that is secret is hidden as a whole.
        "teleportMergedValues": {
            name: cluster.merged_values for name, cluster in teleport.items() if cluster.merged_values is not None
        }
        or None,
        "teleportCleanUp": {name: clean_up(settings, name) for name in teleport},
        "ledger": ledger_record(
            settings, host_authorities.apply(pems), trust_record(settings, certificate.trust_bundle), ledger, steps
        ),
    }
