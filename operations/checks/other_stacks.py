"""Whether what an `up` would make or adopt is another stack's: TAG's namespace, its objects, the database, a Teleport.

Everything that a stack makes names that stack. Auth's configuration tells which access graph a Teleport dials.
"""

from __future__ import annotations

import yaml

from components.settings import AwsSettings, RdsDatabaseSettings, Settings
from components.settings.names import (
    DATABASE_ACCESS_NAME,
    DATABASE_CA_CONFIG_MAP_NAME,
    POSTGRES_SECRET_NAMES,
    STACK_TAG,
    TLS_SECRET_NAME,
)
from components.teleport_values import auth_deployment_name
from operations.aws_session import NoSession, asking_aws, aws_client, db_instances, not_told
from operations.checks.adoption import check_adoption
from operations.checks.encryption_key import check_own_key
from operations.checks.restoration import check_restoration
from operations.cluster import Cluster, Document, NotAllowed
from operations.findings import Finding, failed, passed
from operations.ownership import maker
from operations.stack import short_name
from operations.value_at import value_at

# Every environment has at least one of these; those readable without access to Secrets come first.
_FIXED_NAMES = (
    ("ConfigMap", DATABASE_CA_CONFIG_MAP_NAME),
    ("ServiceAccount", DATABASE_ACCESS_NAME),
    ("Secret", TLS_SECRET_NAME),
    *(("Secret", name) for name in POSTGRES_SECRET_NAMES),
)


def other_maker(settings: Settings, document: Document) -> str | None:
    """Full name of the stack that made the object, if certainly not the stack of `settings`. None for one with the same
    short name: this stack may have made the object before it was killed."""
    return _another(settings, maker(document))


def _another(settings: Settings, found: str | None) -> str | None:
    return None if found is None or short_name(found) == settings.stack else found


def check_shared_namespace(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Whether another stack uses a namespace that this stack does not make: their objects would have the same names."""
    namespace = settings.access_graph.namespace
    for kind, name in _FIXED_NAMES:
        try:
            found = cluster.get(kind, name, namespace)
        except NotAllowed:
            continue
        other = None if found is None else other_maker(settings, found)
        if other is not None:
            reason = f"the {kind} {name} is of the stack {other}, and of that name there is one; give another "
            statement = f"no other stack has its access graph in {namespace}"
            return [failed("access-graph.shared", statement, f"{reason}accessGraph.namespace")]
    return []


def dialled_endpoint(cluster: Cluster, namespace: str, release: str) -> str | None:
    """The endpoint that auth dials; None when it dials none, or its configuration is not readable."""
    found = cluster.get("ConfigMap", auth_deployment_name(release), namespace)  # the chart gives both the same name
    try:
        section = value_at(yaml.safe_load(str(value_at(found, "data", "teleport.yaml"))), "access_graph")
    except yaml.YAMLError:
        return None
    endpoint = value_at(section, "endpoint")
    return str(endpoint) if endpoint and value_at(section, "enabled") is True else None


def _gone(cloud: AwsSettings, name: str) -> str:
    return (
        f"this stack has it in its state, and it no longer exists in {cloud.region}; a plain `up` does not notice, and "
        "`up --refresh` alone makes an empty one: name its last snapshot in database.restore "
        f"(`aws rds describe-db-snapshots --db-instance-identifier {name}`), then `up --refresh`"
    )


def check_instance(
    settings: Settings, recorded: str | None, *, in_state: bool | None = None, own_key: str | None = None
) -> list[Finding]:
    """Whether another stack has the RDS instance of this name: two stacks that adopt it would change it by turns.

    recorded: ARN of the instance in the last `up`'s outputs. With this name it is ours, whatever its tag: the stack may
    have been renamed. Then the question is whether it is still there.
    in_state: whether the stack's state has an instance; None where nobody read the state.
    own_key: id of the key in the stack's state.
    """
    database = settings.database
    if settings.aws is None or not isinstance(database, RdsDatabaseSettings):
        return []
    name = database.identifier
    is_own = in_state is not False and recorded is not None and recorded.endswith(f":{name}")
    if is_own and in_state is None:
        return []
    check, statement = "aws.instance", f"the database {name} is nobody else's"
    try:
        with asking_aws():
            instances = db_instances(aws_client(settings.aws, "rds"), name)
    except NoSession as error:
        return [not_told(check, statement, error)]
    if is_own and instances:
        # What was adopted or restored may have another's key.
        made_anew = database.adopt is False and database.restore is None and database.kms_key_arn is None
        used = instances[0].get("KmsKeyId")
        return [check_own_key(settings.aws, used, own_key)] if made_anew and used else []
    if is_own and database.restore is None:
        return [failed(check, f"the database {name} is there", _gone(settings.aws, name))]
    if not instances:
        if is_own or not database.adopt:
            return check_restoration(settings.aws, database)
        reason = f"there is none in {settings.aws.region} to take over; correct database.identifier, or adopt"
        return [failed(check, statement, reason)]
    tags = {one["Key"]: one["Value"] for one in instances[0].get("TagList") or []}
    if STACK_TAG not in tags and not database.adopt:
        reason = (
            "one of that name exists, which no stack made; set database.adopt to take it over, or give another name"
        )
        return [failed(check, statement, reason)]
    other = _another(settings, tags.get(STACK_TAG))
    if other is None and in_state is False and not database.adopt:
        reason = (
            "by its tag this stack made it, but the state does not know it, so an `up` would find the name taken; "
            "`recover` prints how to bring it back"
        )
        return [failed(check, f"the database {name} is this stack's to make", reason)]
    if other is None:
        return [passed(check, statement, "it has no other stack's tag"), *check_adoption(database, instances[0])]
    reason = f"its tag {STACK_TAG} says {other}: give another database.identifier, or have that stack give it up"
    return [failed(check, statement, reason)]
