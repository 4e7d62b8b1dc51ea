"""Teleport Access Graph beside a self-hosted Teleport cluster: settings, components in the order of the flow, outputs.

What a setting means is defined in `components/settings`; the component of the same name acts on it.
"""

from components.short_run import begin

begin()  # before the other imports, which do most of the work that it saves

from datetime import datetime, timezone

import pulumi
import pulumi_random as random

from components.applied import made
from components.host_authority_succession import accepted_host_authorities
from components.intake import read_intake
from components.ledger import recorded_outputs
from components.ledger_guards import checked_ledger
from components.loading import load
from components.object_metadata import mark_objects
from components.providers import make_providers
from components.refusal import run
from components.settings import RdsDatabaseSettings, read_settings
from components.stack_references import StackReferences
from components.stack_tags import full_name


async def main() -> None:
    settings = read_settings()
    intake = read_intake(settings, datetime.now(timezone.utc))
    mark_objects(full_name(settings.stack), settings.labels, settings.annotations)
    providers = make_providers(settings)
    references = StackReferences()
    recorded = recorded_outputs()
    ledger = checked_ledger(settings, intake, recorded)
    host_authorities = accepted_host_authorities(settings, intake, ledger)
    in_kubernetes = pulumi.ResourceOptions(providers=[providers.kubernetes])

    # Keys the digests by which pods follow their Secrets (components/digests.py). RandomBytes would show it as its id.
    key = random.RandomPassword("digest-key", length=64, special=False)
    digest_key = made(key, key.result)

    # All checks that need no resource are done. From here on the engine starts its plugins while the SDKs load.
    await load("components.assembly")
    from components import assembly
    from components.outputs import export_outputs, stack_outputs
    from components.surroundings import make_surroundings

    namespace = assembly.access_graph_namespace(settings, intake.database_ca_bundle, in_kubernetes)
    certificate = assembly.server_certificate(settings, intake, ledger, namespace, in_kubernetes)

    database, rds_access = None, None
    if isinstance(settings.database, RdsDatabaseSettings):
        await load("components.rds_assembly")  # loads the AWS SDK, which only this branch needs
        from components import rds_assembly as rds

        database = rds.make_database(settings, providers, references, ledger, intake.database_ca_bundle)
        rds_access = rds.make_database_access(settings, providers, references, ledger, database, namespace, digest_key)
    connection = assembly.existing_database_connection(settings) if rds_access is None else rds_access.connection
    credentials = assembly.access_graph_credentials(
        namespace, certificate, connection, digest_key, intake.database_ca_bundle, in_kubernetes
    )
    access_graph = assembly.access_graph_release(
        settings, host_authorities, namespace, credentials, connection, in_kubernetes
    )
    surroundings = make_surroundings(settings, providers, namespace.namespace, certificate, access_graph)

    # Nothing in Teleport is changed before the access graph is ready to answer it.
    teleport = assembly.teleport_clusters(
        settings, intake, providers, certificate.trust_bundle, access_graph, surroundings
    )

    logins = None
    if rds_access is not None:
        logins = rds.retire_logins(
            rds_access.access, providers, namespace, digest_key, access_graph, credentials, teleport
        )

    export_outputs(
        stack_outputs(
            settings,
            host_authorities,
            ledger,
            namespace=namespace,
            certificate=certificate,
            database=database,
            connection=connection,
            credentials=credentials,
            access_graph=access_graph,
            surroundings=surroundings,
            teleport=teleport,
            logins=logins,
        ),
        recorded,
    )


run(main)
