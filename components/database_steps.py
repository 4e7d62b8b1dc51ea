"""What one `up` may change about the database, given what the last complete one left.

Pure. The settings decide what may be asked for at all; `database` makes the instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from components.ledger import Ledger, database_record
from components.settings import ExistingDatabaseSettings, RdsDatabaseSettings, Settings
from components.settings.errors import Problem, shown
from components.settings.names import POSTGRES_SECRET_NAMES

DOCUMENT = "docs/database.md"


class Fixed(NamedTuple):
    """A property that an instance keeps for good: AWS cannot change it, or its clients would not survive a change."""

    field: str
    """Key in `ledger.database_record`."""
    key: str
    """Key in the configuration."""
    would: str = "replace the protected instance {identifier}, which was made with {was}"


RESTORE = (
    "or make the new instance beside the old one: another database.identifier in another stack, with database.restore "
    f"to bring the data ({DOCUMENT})"
)
# Source: ForceNew in terraform-provider-aws' aws_db_instance (db_name, username, kms_key_id). The provider renames an
# instance in place (identifier), and RDS gives a renamed instance another endpoint at once.
FIXED = (
    Fixed(
        "identifier",
        "database.identifier",
        "rename the protected instance {identifier}, and pods would lose the endpoint that they connect to",
    ),
    Fixed("databaseName", "database.databaseName"),
    Fixed("masterUsername", "database.masterUsername"),
    Fixed("kmsKeyArn", "database.kmsKeyArn"),
)


def database_problems(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """Everything in the database's settings that may not follow `recorded`."""
    yield from _rotation(recorded, settings)
    yield from _place(recorded, settings)
    yield from _instance(recorded, settings)
    yield from _adoption(recorded, settings)
    yield from _restored(recorded, settings)
    yield from _key_of_a_restored(recorded, settings)
    yield from _secret(recorded, settings)
    yield from _major_version(recorded, settings)
    yield from _managed_password(recorded, settings)


def is_upgrade(recorded: Ledger, database: RdsDatabaseSettings) -> bool:
    """Whether the instance exists and was recorded with another version, or with none."""
    before = recorded.database
    return before.get("identifier") == database.identifier and before.get("engineVersion") != database.engine_version


def is_resize(recorded: Ledger, database: RdsDatabaseSettings) -> bool:
    """Whether the instance exists, was restored, and was recorded with another storage, or with none. A lost instance
    is restored from other data, which have a storage of their own."""
    before = recorded.database
    there = before.get("identifier") == database.identifier and bool(before.get("restored"))
    return there and before.get("allocatedStorageGib") != database.allocated_storage_gib


def _rotation(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """One generation at a time: skipping one would change the password of the slot that pods are using."""
    database = settings.database
    if not recorded.database or not isinstance(database, RdsDatabaseSettings) or database.authentication != "password":
        return
    # Where the last complete `up` had no login with a password, a failed one may have begun with the first generation.
    reached = 0 if recorded.rotation is None else recorded.rotation
    if database.rotation not in (reached, reached + 1):
        yield Problem(
            "database.rotation",
            f"does not follow generation {reached}, which the last complete `up` reached"
            if recorded.rotation is not None
            else "is not the generation that login passwords begin with",
            f"set {reached} or {reached + 1}: each generation takes an `up` of its own, so that the login in use never "
            "changes its password",
            str(database.rotation),
        )


def _place(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """An instance never leaves its account and region. In another account the engine would keep looking for its
    existing objects, and a preview shows none of that; for another region it would make all AWS objects anew."""
    before, aws = recorded.database, settings.aws
    if before.get("mode") != "rds" or recorded.instance_arn is None or aws is None:
        return
    region, account = recorded.instance_arn.split(":")[3:5]
    instance = f"the {'protected ' if before.get('protect') else ''}instance {before.get('identifier')}"
    if account != aws.account_id:
        yield Problem(
            "aws.accountId",
            f"is not {account}, the account of {instance} and of all else that the stack has in AWS",
            f"set it back, {RESTORE}",
            shown(aws.account_id),
        )
    # An unprotected instance may be replaced, as for any other property; its name is free in another region.
    if region != aws.region and before.get("protect"):
        yield Problem(
            "aws.region",
            f"would replace {instance}, which is in {region}",
            f"set it back, {RESTORE}",
            shown(aws.region),
        )


def _instance(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """Refuses what would rename, replace or delete the instance in a way that its owner may not expect."""
    before, database = recorded.database, settings.database
    if before.get("mode") != "rds":
        return
    if before.get("protect"):
        yield from _protected(before, database_record(settings))
    elif isinstance(database, RdsDatabaseSettings):
        yield from _unprotected(before, database_record(settings), database)


def _protected(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Problem]:
    """Refuses what would replace or delete a protected instance: the engine itself says only that it will not."""
    identifier = before.get("identifier")
    if after["mode"] != "rds":
        yield Problem(
            "database.mode",
            f"would delete the protected instance {identifier}",
            "if it is to go, set database.protect to false, `up`, and then change the mode; if it is to stay, set "
            f"database.onDestroy to keep as well ({DOCUMENT})",
            shown(after["mode"]),
        )
        return
    restored, adopted = before.get("restored"), before.get("adopted")
    for fixed in FIXED:
        if before.get(fixed.field) == after[fixed.field] or (fixed.field == "masterUsername" and (restored or adopted)):
            continue
        was = before.get(fixed.field) or "a key of the stack"
        # For a restored or adopted instance, AWS is told neither the database's nor the master user's name.
        moves = fixed.field == "databaseName" and (restored or adopted)
        would = "leave the access graph's data behind in the database {was} on {identifier}" if moves else fixed.would
        yield Problem(
            fixed.key,
            f"would {would.format(identifier=identifier, was=was)}",
            f"set it back, {RESTORE}",
            shown(after[fixed.field]) if after[fixed.field] is not None else "left out,",
        )


def _unprotected(
    before: Mapping[str, Any], after: Mapping[str, Any], database: RdsDatabaseSettings
) -> Iterator[Problem]:
    """Refuses what RDS does hours after the `up` that asks for it, or not at all."""
    changed = [fixed for fixed in FIXED if before.get(fixed.field) != after[fixed.field]]
    renamed = any(fixed.field == "identifier" for fixed in changed)
    instance = f"the instance {before.get('identifier')}"
    if database.restore is not None:
        # RDS is never asked for what a restored instance has from its data, so changing that replaces nothing.
        changed = [fixed for fixed in changed if fixed.field == "identifier"]
    elif before.get("adopted"):
        changed = [fixed for fixed in changed if fixed.field not in ("databaseName", "masterUsername")]
    if renamed and len(changed) == 1 and not database.apply_immediately and not before.get("adopted"):
        yield Problem(
            "database.identifier",
            f"would rename {instance} in its next maintenance window, and from then on pods would call an endpoint "
            "that is gone, until an `up --refresh` gives them the new one",
            f"set it to {before.get('identifier')} (the default follows the stack's name), or "
            "database.applyImmediately to true for this `up`, at a time when TAG may be away for some minutes "
            f"({DOCUMENT})",
            shown(database.identifier),
        )
    # An onDestroy that was not recorded counts as `keep`.
    if renamed or before.get("onDestroy", "keep") != "keep":
        return
    for fixed in changed:
        yield Problem(
            fixed.key,
            f"would replace {instance}, which database.onDestroy keep leaves in place, and RDS makes no second "
            "instance of that name",
            f"set it back and `up` with database.onDestroy snapshot or delete, and then change it; {RESTORE}",
            shown(after[fixed.field]) if after[fixed.field] is not None else "left out,",
        )


def _adoption(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """RDS is asked for less on an adopted instance than on one that the stack has made, for good."""
    before, database = recorded.database, settings.database
    adopted = before.get("adopted")
    if adopted is None or not isinstance(database, RdsDatabaseSettings):
        return
    identifier = before.get("identifier")
    if identifier != database.identifier:
        # A protected instance is never renamed.
        if adopted and not before.get("protect"):
            yield Problem(
                "database.identifier",
                f"would take over another instance in place of {identifier}, or ask RDS to rename {identifier}",
                f"set it back; another stack may adopt the other instance ({DOCUMENT})",
                shown(database.identifier),
            )
    elif adopted and not database.adopt and database.restore is None:
        yield Problem(
            "database.adopt",
            f"would ask RDS for a version and a KMS key that the instance {identifier}, which was there before this "
            "stack, may not have",
            "set it to true again, and leave it so for as long as the stack has the instance, or until its data come "
            "back by database.restore",
            shown(database.adopt),
        )
    elif database.adopt and not adopted:
        yield Problem(
            "database.adopt",
            f"would take over the instance {identifier}, which is this stack's own already",
            f"remove it; an instance that the state has lost is imported under its former name ({DOCUMENT})",
            shown(database.adopt),
        )


def _restored(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """A restored instance has the key of its data, and without `restore` the stack asks for a key of its own. Which
    data `restore` names no longer matters."""
    before, database = recorded.database, settings.database
    if not before.get("restored") or not isinstance(database, RdsDatabaseSettings):
        return
    if database.identifier != before.get("identifier") or database.restore is not None or database.adopt:
        return
    # The same condition as for any other property that an instance keeps for good.
    if before.get("protect") or before.get("onDestroy", "keep") == "keep":
        yield Problem(
            "database.restore",
            f"is missing, and without it this `up` would replace the instance {database.identifier}, whose KMS key, "
            "master user and database name come from the data that it was made of",
            "set it back, and leave it for as long as the stack has the instance, even when those data are gone "
            f"({DOCUMENT})",
        )


def _key_of_a_restored(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """The data keep their key, so another one replaces nothing; but RDS uses the stack's for things that it made
    since."""
    before, database = recorded.database, settings.database
    # For a protected instance, `_protected` already refuses another key.
    if not before.get("restored") or before.get("protect") or not isinstance(database, RdsDatabaseSettings):
        return
    if database.identifier != before.get("identifier") or database.restore is None:
        return
    if before.get("kmsKeyArn") != database.kms_key_arn:
        yield Problem(
            "database.kmsKeyArn",
            "would ask RDS for another key for Performance Insights and a managed master password, and RDS can change "
            f"neither on the instance {database.identifier}",
            f"set it back, {RESTORE}",
            "left out," if database.kms_key_arn is None else shown(database.kms_key_arn),
        )


def _secret(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """The stack's own Secret cannot become the user's under the same name: the engine would delete it at the end."""
    before, after = recorded.database, settings.database
    made = before.get("mode") == "rds" or before.get("secretMade")
    if not made or not isinstance(after, ExistingDatabaseSettings) or after.secret is None:
        return
    same_namespace = recorded.namespace.get("name") == settings.access_graph.namespace
    if same_namespace and after.secret.name in POSTGRES_SECRET_NAMES:
        yield Problem(
            "database.secret.name",
            "is the Secret that the stack itself has filled until now, and would delete in this `up`, so that TAG's "
            "next pods could not start",
            "give your Secret another name",
            shown(after.secret.name),
        )


def _major_version(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """Upgrades only, and only if the `up` waits for them. Until a later window the instance would use the former
    parameter group, which this `up` deletes. And RDS gives a replica, which it upgrades with its source, no group of
    the new version."""
    before, database = recorded.database, settings.database
    was = before.get("engineVersion")
    if was is None or not isinstance(database, RdsDatabaseSettings) or before.get("identifier") != database.identifier:
        return
    if int(database.engine_version) < int(was):
        yield Problem(
            "database.engineVersion",
            f"is older than {was}, the version of the instance {database.identifier}, and RDS does not downgrade "
            "PostgreSQL",
            f"set {was} again; the data from before an upgrade are only in a snapshot, for another instance "
            f"({DOCUMENT})",
            shown(database.engine_version),
        )
    elif database.engine_version != was and not database.apply_immediately:
        yield Problem(
            "database.engineVersion",
            f"would upgrade the instance {database.identifier} from {was} only in its next maintenance window, and "
            "this `up` removes what it needs until then",
            "set database.applyImmediately to true for this `up`, at a time when the database may be away for some "
            f"minutes ({DOCUMENT})",
            shown(database.engine_version),
        )


def _managed_password(recorded: Ledger, settings: Settings) -> Iterator[Problem]:
    """RDS takes over no password of an instance with a replica, and the replica would be deleted only at the end."""
    before, database = recorded.database, settings.database
    if not before.get("replica") or not isinstance(database, RdsDatabaseSettings):
        return
    if before.get("identifier") == database.identifier and database.master_password == "managed":
        yield Problem(
            "database.masterPassword",
            f"is not possible yet: the instance {database.identifier} has a read replica, which this `up` would "
            "remove only after RDS has refused",
            "set it to generated again and first `up` without database.replica (with onDestroy keep, delete the "
            f"replica yourself: {DOCUMENT})",
            shown(database.master_password),
        )
