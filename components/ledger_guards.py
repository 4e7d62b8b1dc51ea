"""Which configurations may follow upon the one that the ledger recorded, and what is said of the others.

Pure, apart from `checked_ledger`, which puts the rules into the graph. An authority's steps are `authority_phases`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pulumi

from components.authority_phases import algorithm_problem, step_problem
from components.host_authority_succession import stranger_problems
from components.ledger import Ledger, LedgerError, database_record, read_ledger, teleport_record
from components.settings import (
    ExistingDatabaseSettings,
    ManualTeleportSettings,
    RdsDatabaseSettings,
    ReleaseTeleportSettings,
    Settings,
    TeleportSettings,
    ValuesTeleportSettings,
)
from components.settings.errors import Problem, shown
from components.settings.names import POSTGRES_IAM_SECRET_NAME, POSTGRES_SECRET_NAME
from components.tls_assembly import authority_algorithms, authority_step
from components.trust_steps import GENERATED

if TYPE_CHECKING:
    from components.intake import Intake

DOCS = "docs/database.md"
TELEPORT_DOCS = "docs/teleport.md"
TLS_DOCS = "docs/certificates.md"


class Fixed(NamedTuple):
    """A property that an instance keeps for good: AWS cannot change it, or clients would not survive the change."""

    field: str
    key: str
    way_out: str
    would: str = "replace the protected instance {identifier}, which was made with {was}"


RESTORE = (
    "or make the new instance beside the old one: another database.identifier in another stack, with database.restore "
    f"to bring the data ({DOCS})"
)
# Sources: ForceNew in terraform-provider-aws' aws_db_instance (db_name, username, kms_key_id). It renames an instance
# in place (identifier), and RDS gives a renamed instance another endpoint at once.
FIXED = (
    Fixed(
        "identifier",
        "database.identifier",
        RESTORE,
        "rename the protected instance {identifier}, and pods would lose the endpoint that they connect to",
    ),
    Fixed("databaseName", "database.databaseName", RESTORE),
    Fixed("masterUsername", "database.masterUsername", RESTORE),
    Fixed("kmsKeyArn", "database.kmsKeyArn", RESTORE),
)


def checked_ledger(settings: Settings, intake: Intake) -> pulumi.Output[Ledger]:
    """The stack's ledger, failing with `LedgerError` for settings, or what they point to, that may not follow upon
    it."""

    def check(recorded: Ledger) -> Ledger:
        problems = [*refusals(recorded, settings), *stranger_problems(recorded, settings, intake)]
        if problems:
            raise LedgerError([f"  {problem}" for problem in problems])
        warning = rollout_warning(recorded, settings)
        if warning is not None:
            pulumi.log.warn(warning)
        return recorded

    return read_ledger().apply(check)


def is_upgrade(recorded: Ledger, database: RdsDatabaseSettings) -> bool:
    """Whether the instance is there, and its version so far was another, or is one that nobody wrote down."""
    before = recorded.database
    return before.get("identifier") == database.identifier and before.get("engineVersion") != database.engine_version


def refusals(recorded: Ledger, settings: Settings) -> list[Problem]:
    """Everything in `settings` that may not follow upon `recorded`."""
    return [
        *_rotation(recorded, settings),
        *_database(recorded, settings),
        *_database_secret(recorded, settings),
        *_major_version(recorded, settings),
        *_managed_password(recorded, settings),
        *_audit_log(recorded, settings),
        *_teleport(recorded, settings),
        *_taken_names(recorded, settings),
        *_authority(recorded, settings),
        *_namespace(recorded, settings),
        *_endpoints(recorded, settings),
    ]


def rollout_warning(recorded: Ledger, settings: Settings) -> str | None:
    """What somebody has to see to before TAG serves what another authority has signed: of a Teleport whose rollout
    nobody waits for, no `up` knows whether its auth has read the bundle of the last one, and of none what is in its own
    trust store."""
    before, tls = recorded.trust, settings.tls
    if before is None or not settings.access_graph.enabled:
        return None
    step = authority_step(settings)
    if before.mode == tls.mode and (
        before.mode != GENERATED
        or step is None
        or recorded.authority is None
        or step.signing == recorded.authority.signing
    ):
        return None
    unawaited = [
        f"teleport.{cluster}"
        for cluster, entry in settings.teleport.items()
        if cluster in recorded.endpoints and (tls.trust == "system" or not _is_awaited(entry))
    ]
    if not unawaited:
        return None
    if tls.trust == "system":
        return (
            f"{', '.join(unawaited)}: by this `up` TAG serves a certificate of another authority; see first that the "
            "trust store of each auth has it and that auth has restarted with it, for its calls fail otherwise "
            f"({TLS_DOCS})"
        )
    return (
        f"{', '.join(unawaited)}: nobody waits for the rollout there, and by this `up` TAG serves a certificate of "
        "another authority; see first that auth has restarted with the authorities of the last `up` (the output "
        f"caBundle), for its calls fail otherwise ({TLS_DOCS})"
    )


def _is_awaited(entry: TeleportSettings) -> bool:
    if isinstance(entry, ValuesTeleportSettings):
        return entry.rollout is not None
    return isinstance(entry, ReleaseTeleportSettings)


def _rotation(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """One generation at a time: the next but one would change the password of the slot that pods are using."""
    database = settings.database
    if not recorded.database or not isinstance(database, RdsDatabaseSettings) or database.authentication != "password":
        return
    # Where the last complete `up` had no login with a password, one that failed may have begun with the first.
    reached = 0 if recorded.rotation is None else recorded.rotation
    if database.rotation not in (reached, reached + 1):
        yield Problem(
            "database.rotation",
            f"does not follow upon {reached}, which the last complete `up` reached"
            if recorded.rotation is not None
            else "is not where the passwords of a login begin",
            f"set {reached} or {reached + 1}: each generation takes an `up` of its own, so that the login in use never "
            "changes its password",
            str(database.rotation),
        )


def _database(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """What would replace or delete a protected instance: the engine says only that it will not."""
    before, after = recorded.database, database_record(settings)
    if before.get("mode") != "rds" or not before.get("protect"):
        return
    identifier = before.get("identifier")
    if after["mode"] != "rds":
        yield Problem(
            "database.mode",
            f"would delete the protected instance {identifier}",
            "if it is to go, set database.protect to false, `up`, and then change the mode; if it is to stay, set "
            f"database.onDestroy to keep as well ({DOCS})",
            shown(after["mode"]),
        )
        return
    for fixed in FIXED:
        if before.get(fixed.field) != after[fixed.field]:
            was = before.get(fixed.field) or "a key of the stack"
            yield Problem(
                fixed.key,
                f"would {fixed.would.format(identifier=identifier, was=was)}",
                f"set it back, {fixed.way_out}",
                shown(after[fixed.field]) if after[fixed.field] is not None else "left out,",
            )


def _database_secret(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """A Secret of the stack's own cannot be handed over under its name: the engine would delete it as the last step."""
    before, after = recorded.database, settings.database
    made = before.get("mode") == "rds" or before.get("secretMade")
    if not made or not isinstance(after, ExistingDatabaseSettings) or after.secret is None:
        return
    same_namespace = recorded.namespace.get("name") == settings.access_graph.namespace
    if same_namespace and after.secret.name in (POSTGRES_SECRET_NAME, POSTGRES_IAM_SECRET_NAME):
        yield Problem(
            "database.secret.name",
            "is the Secret that the stack itself has filled until now, and would delete in this `up`, so that TAG's "
            "next pods could not start",
            "give your Secret another name",
            shown(after.secret.name),
        )


def _major_version(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """Up, and while the `up` waits for it. Until a window to come, the former parameter group, which goes with this
    `up`, would be in use; and RDS takes none of the new version for a replica, which it upgrades with its source."""
    before, database = recorded.database, settings.database
    was = before.get("engineVersion")
    if was is None or not isinstance(database, RdsDatabaseSettings) or before.get("identifier") != database.identifier:
        return
    if int(database.engine_version) < int(was):
        yield Problem(
            "database.engineVersion",
            f"is older than {was}, which the instance {database.identifier} has, and PostgreSQL does not go back",
            f"set {was} again; what RDS keeps of before an upgrade is a snapshot, for another instance ({DOCS})",
            shown(database.engine_version),
        )
    elif database.engine_version != was and not database.apply_immediately:
        yield Problem(
            "database.engineVersion",
            f"would upgrade the instance {database.identifier} from {was} in a maintenance window to come, and this "
            "`up` takes away what it needs until then",
            "set database.applyImmediately to true for this `up`, at a time when the database may be away for some "
            f"minutes ({DOCS})",
            shown(database.engine_version),
        )


def _managed_password(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """RDS takes over no password of an instance that has a replica, and that would go as the last step."""
    before, database = recorded.database, settings.database
    if not before.get("replica") or not isinstance(database, RdsDatabaseSettings):
        return
    if before.get("identifier") == database.identifier and database.master_password == "managed":
        yield Problem(
            "database.masterPassword",
            f"is not possible yet: the instance {database.identifier} has a read replica, which this `up` would take "
            "away only after RDS has refused",
            f"set it to generated again and `up` first, without database.replica, which onDestroy keep leaves to be "
            f"deleted by you ({DOCS})",
            shown(database.master_password),
        )


def _authority(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    step = authority_step(settings)
    if step is None:
        return
    for problem in (
        step_problem(recorded.authority, step),
        algorithm_problem(recorded.authority_algorithms, authority_algorithms(settings)),
    ):
        if problem is not None:
            yield problem


def _audit_log(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    for cluster, entry in settings.teleport.items():
        before = recorded.audit_log.get(cluster)
        after = None if entry.audit_log is None else entry.audit_log.start_date
        if before == "" and after is not None:
            yield Problem(
                f"teleport.{cluster}.auditLog.startDate",
                "is set, and the export began without one: Teleport has taken its own default and does not change it",
                "remove it",
                shown(after),
            )
        elif before is not None and after is not None and after != before:
            yield Problem(
                f"teleport.{cluster}.auditLog.startDate",
                f"differs from {before}, which Teleport has taken and does not change",
                f"set {before} again",
                shown(after),
            )


def _namespace(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """A namespace that the stack gives up is deleted, and Kubernetes deletes all that is in it: the running graph."""
    before, graph = recorded.namespace, settings.access_graph
    if graph.create_namespace or before.get("name") != graph.namespace:
        return
    if before.get("made") and not before.get("kept"):
        yield Problem(
            "accessGraph.createNamespace",
            f"would delete the namespace {graph.namespace}, which this stack made, with everything in it",
            "set accessGraph.keepNamespace to true and createNamespace back, `up`, and then change it (and remove "
            "keepNamespace)",
            "false",
        )


def _endpoints(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """TAG serves the new certificate while Teleport still dials the former name, and verifies it."""
    former, names = recorded.namespace.get("name"), settings.certificate_names
    if names is None:
        return
    yield from _names_to_come(recorded, settings)
    for cluster, endpoint in recorded.endpoints.items():
        host = endpoint.rpartition(":")[0]
        # A TAG in another namespace has another Secret: the former one serves until Teleport has gone over.
        moved = former != settings.access_graph.namespace and f".{former}.svc." in host
        if cluster in settings.teleport and host not in names and not moved:
            yield Problem(
                "tls.extraDnsNames",
                f"lacks {host}, which Teleport {cluster} dials until this `up` has told it another name: its calls "
                "would fail meanwhile",
                "add it for this `up`, and take it out with the next one",
            )


def _names_to_come(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """An `up` that tells Teleport another name may be taken back half way, and then the certificate is to have both.
    What somebody else issues TAG serves only after a restart besides, which no `up` waits for."""
    if not recorded.certificate_names or recorded.namespace.get("name") != settings.access_graph.namespace:
        return
    if not settings.access_graph.enabled:
        return
    for cluster in recorded.endpoints.keys() & settings.teleport.keys():
        host = settings.endpoint_of(cluster).rpartition(":")[0]
        if host not in recorded.certificate_names:
            yield Problem(
                f"teleport.{cluster}.endpoint",
                f"is at {host}, a name that the certificate has not had: calls would fail where TAG does not serve it "
                "yet, or if this `up` were taken back half way",
                "first `up` with that name in tls.extraDnsNames, and go over to it when TAG serves it (`verify` says)",
            )


def _teleport(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """What would uninstall a Teleport. Of the engine's own doing a release goes as its entry does."""
    for cluster, before in recorded.teleport.items():
        if before.get("mode") != "release":
            continue
        release = f"the release {before.get('release')} in {before.get('namespace')}"
        entry = settings.teleport.get(cluster)
        key = f"teleport.{cluster}"
        if not isinstance(entry, ReleaseTeleportSettings):
            if not before.get("adopted"):
                yield Problem(
                    key if entry is None else f"{key}.mode",
                    f"would uninstall {release}, which this stack owns",
                    f"set teleport.{cluster}.adopt to true and `up` first: the release is kept then, whoever is to own "
                    f"it ({TELEPORT_DOCS})",
                    None if entry is None else shown(entry.mode),
                )
            continue
        after = teleport_record(settings, cluster)
        for field, setting in (
            ("namespace", "namespace"),
            ("release", "release"),
            ("clusterIdentifier", "kubernetes.clusterIdentifier"),
        ):
            if before.get(field) != after[field]:
                yield Problem(
                    f"{key}.{setting}",
                    f"differs from {before.get(field)}: another release, and {release} would go or be forgotten",
                    f"give {release} away first, with mode values and an `up`, then take over the other one with adopt "
                    f"({TELEPORT_DOCS})",
                    shown(after[field]),
                )
        if before.get("adopted") and not entry.adopt:
            yield Problem(
                f"{key}.adopt",
                f"would let a `destroy` uninstall {release}, which was there before this stack",
                "set it to true again; it stays so for as long as the stack has the release",
                shown(entry.adopt),
            )


def _taken_names(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """What the stack has in a Teleport's namespace has fixed names there, and for an entry of another name the engine
    makes it before it deletes what is there."""
    places = {
        (before.get("clusterIdentifier"), before.get("namespace")): cluster
        for cluster, before in recorded.teleport.items()
        if before.get("mode") != "manual"
    }
    for cluster, entry in settings.teleport.items():
        if isinstance(entry, ManualTeleportSettings):
            continue
        before = places.get((settings.kubernetes_of(cluster).cluster_identifier, entry.namespace), cluster)
        if before != cluster:
            yield Problem(
                f"teleport.{cluster}",
                f"is where {before} has been until now: what the stack made in the namespace {entry.namespace} would "
                "be made a second time, under the same names, before it is deleted",
                f"set accessGraph.enabled to false and `up`, take teleport.{before} out and `up`, and then add this "
                f"one ({TELEPORT_DOCS})",
            )
