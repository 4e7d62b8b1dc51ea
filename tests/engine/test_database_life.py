"""The life of a production database in a stack of its own: which controls it keeps, what is refused, rotations under
load, a Job that fails, and what is left at the end.

The tests of this module are one story: each begins where the one before it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from components.login_slots import LOGIN_ROLES
from tests.database_controls import CONTROLS, Facts, live_facts, violations
from tests.engine.conftest import RunningSandbox
from tests.engine.database_account import objects_of
from tests.engine.database_flips import Flip, flips
from tests.engine.database_load import Load
from tests.engine.stacks import (
    OwnStack,
    Settings,
    aws,
    aws_position,
    aws_writes,
    graph_pods,
    held_uris,
    own_stack,
    pod_environment,
    secret_values,
    superuser,
    up_without_a_change,
)

pytestmark = pytest.mark.engine

A, B = LOGIN_ROLES["a"], LOGIN_ROLES["b"]
SECRET = "teleport-access-graph-postgres"
URI = "TAG_POSTGRES_CONNECTION"
CONNECTIONS = 2000
Change = Callable[[Settings], None]


@contextmanager
def as_master(stack: OwnStack) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with superuser(stack, stack.identifier, "access_graph") as connection:
        connection.execute("SET SESSION AUTHORIZATION tag_admin")
        yield connection


def production(settings: Settings) -> None:
    """Removes the settings that relax the instance's protection, so that the defaults apply."""
    for key in ("profile", "masterPassword", "onDestroy", "protect"):
        del settings["database"][key]


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    with own_stack(running_sandbox, "life", production) as stack:
        stack.pulumi("up")
        yield stack


def refused(stack: OwnStack, *command: str) -> str:
    """The output of a command that must fail and leave state, cluster and account as they were."""
    state = {urn: one for urn, one in stack.recorded().items() if not one.get("external")}
    cluster, cloud = stack.audit_position(), aws_position(stack)
    done = stack.pulumi(*command, check=False)
    assert done.returncode != 0
    now = stack.recorded()
    # Without what the engine only reads, such as the stack's own outputs, because it may read that again.
    assert {urn: one for urn, one in now.items() if not one.get("external")} == state
    assert stack.writes(since=cluster) == []
    assert aws_writes(stack, since=cloud) == []
    return " ".join((done.stdout + done.stderr).split())


def with_change(stack: OwnStack, change: Change, *command: str) -> str:
    """The output of a command that must be refused with the changed configuration, which is then restored."""
    good = stack.configuration.read_text()
    stack.change(change)
    try:
        return refused(stack, *command)
    finally:
        stack.configuration.write_text(good)


def use_other_key(settings: Settings) -> None:
    aws_settings = settings["aws"]
    arn = f"arn:aws:kms:{aws_settings['region']}:{aws_settings['accountId']}:key/00000000-0000-4000-8000-000000000000"
    settings["database"]["kmsKeyArn"] = arn


def use_existing(settings: Settings) -> None:
    settings["database"] = {"mode": "existing", "secret": {"name": "elsewhere"}}
    del settings["aws"]


@pytest.fixture(scope="module")
def account(stack: OwnStack) -> Facts:
    """What AWS reports about the instance and the objects around it."""
    return live_facts(lambda service: aws(stack, service), stack.identifier)


@pytest.mark.parametrize("control", CONTROLS)
def test_the_account_says_that_production_keeps(account: Facts, control: str) -> None:
    assert CONTROLS[control](account), account


@pytest.mark.parametrize(("control", "flip"), flips(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_setting_that_is_flipped_in_the_account_is_seen(stack: OwnStack, control: str, flip: Flip) -> None:
    """Reads the facts in the same way as above, which shows that none of them is a constant."""

    def client(service: str) -> Any:
        return aws(stack, service)

    with flip(client, stack.identifier):
        assert control in violations(live_facts(client, stack.identifier))
    assert violations(live_facts(client, stack.identifier)) == []


REPLACEMENTS: dict[str, tuple[Change, str]] = {
    "databaseName": (
        lambda settings: settings["database"].update(databaseName="other"),
        'database.databaseName: "other" would replace the protected instance tests-life, which was made with '
        "access_graph; set it back, or make the new instance beside the old one",
    ),
    "masterUsername": (
        lambda settings: settings["database"].update(masterUsername="other_admin"),
        'database.masterUsername: "other_admin" would replace the protected instance tests-life, which was made with '
        "tag_admin; set it back, or make the new instance beside the old one",
    ),
    "kmsKeyArn": (
        use_other_key,
        ':key/00000000-0000-40..." would replace the protected instance tests-life, which was made with '
        "a key of the stack; set it back, or make the new instance beside the old one",
    ),
    "mode": (
        use_existing,
        'database.mode: "existing" would delete the protected instance tests-life; if it is to go, set '
        "database.protect to false, `up`, and then change the mode",
    ),
}


@pytest.mark.parametrize("setting", REPLACEMENTS)
def test_what_would_replace_or_delete_the_protected_instance_is_refused_with_its_setting_and_the_way_out(
    stack: OwnStack, setting: str
) -> None:
    change, words = REPLACEMENTS[setting]
    said = with_change(stack, change, "preview")
    assert words in said, said
    assert f"database.{setting}" in said


def test_an_up_without_a_preview_is_refused_as_well(stack: OwnStack) -> None:
    change, words = REPLACEMENTS["databaseName"]
    assert words in with_change(stack, change, "up")


def test_a_destroy_is_refused_and_names_what_is_protected(stack: OwnStack) -> None:
    """Its preview refuses. Without a preview, the engine would first delete the objects around the instance."""
    said = refused(stack, "destroy", "--yes")
    assert "::database-instance" in said
    assert "protect" in said


def test_a_skipped_generation_of_the_login_is_refused(stack: OwnStack) -> None:
    said = with_change(stack, lambda settings: settings["database"].update(rotation=2), "preview")
    assert "database.rotation: 2 does not follow generation 0, which the last complete `up` reached; set 0 or 1" in said


def uri_of_pods(stack: OwnStack) -> set[str]:
    """The URIs in the environment of the ready pods' processes."""
    found = set()
    for pod in graph_pods(stack, stack.namespace):
        environment = pod_environment(stack, pod["metadata"]["uid"])
        assert environment is not None
        found.add(environment[URI])
    return found


def logins(stack: OwnStack) -> dict[str, bool]:
    """The stack's logins that exist -> whether they can log in."""
    with superuser(stack, stack.identifier, "access_graph") as connection:
        query = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE 'access_graph%%' AND rolname <> %s"
        return {str(name): bool(can) for name, can in connection.execute(query, ("access_graph_owner",)).fetchall()}


def check_login(stack: OwnStack, login: str, generation: int) -> str:
    """Checks that Secret, pods, ledger and server agree on the login, and returns its URI."""
    uri = secret_values(stack, stack.namespace, SECRET)["uri"]
    assert uri.startswith(f"postgres://{login}:")
    assert {held.partition("?")[0] for held in uri_of_pods(stack)} == {uri.partition("?")[0]}
    assert stack.outputs()["ledger"]["rotation"] == generation
    assert [name for name, can in logins(stack).items() if can] == [login]
    return uri


def test_rotations_under_load_lose_no_connection(stack: OwnStack) -> None:
    endpoint = str(stack.outputs()["databaseEndpoint"])
    uris = [check_login(stack, A, 0)]
    pods = {pod["metadata"]["name"] for pod in graph_pods(stack, stack.namespace)}
    load = Load(
        lambda: held_uris(stack, endpoint),
        authorities=stack.cloud().rds_authorities,
        book=stack.home.names / "databases.json",
    )
    with load:
        for generation, login in ((1, B), (2, A)):
            stack.database(rotation=generation)
            stack.pulumi("up")
            uris.append(check_login(stack, login, generation))
            others = {pod["metadata"]["name"] for pod in graph_pods(stack, stack.namespace)}
            assert not pods & others
            pods = others
        load.go_on_until(CONNECTIONS, seconds=300)
    print(f"connections: {load.count}, failed: {len(load.failures)}, by login: {dict(load.served)}")
    assert Counter(load.failures) == {}
    assert load.count >= CONNECTIONS
    assert set(load.served) == {A, B}
    assert len(set(uris)) == 3, "each generation has a password of its own"
    for retired in uris[:2]:
        assert load.ask(retired) is not None, "a login of before is let in"
    assert load.ask(uris[2]) is None


def test_a_job_that_fails_says_what_psql_said_and_the_next_up_after_the_mend_passes(stack: OwnStack) -> None:
    """Somebody has granted the other login the role rds_iam, which ends its password login."""
    uri = check_login(stack, A, 2)
    with as_master(stack) as master:
        master.execute(f"GRANT rds_iam TO {B}")
    stack.database(rotation=3)
    failed = stack.pulumi("up", check=False)
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    assert f"role {B} is a member of rds_iam, which ends the password login of whoever acts as it" in said
    remedy = f"REVOKE rds_iam FROM {B};"
    assert f"As the master user: {remedy}" in said
    # The running login is unchanged.
    assert check_login(stack, A, 2) == uri
    with as_master(stack) as master:
        master.execute(remedy)
    stack.pulumi("up")
    assert check_login(stack, B, 3) != uri


def test_an_up_without_a_change_writes_nothing(stack: OwnStack) -> None:
    up_without_a_change(stack)


def test_a_snapshot_and_the_key_that_reads_it_are_all_that_a_destroy_leaves(stack: OwnStack) -> None:
    """The snapshot's name has a random suffix, because an account can have only one snapshot of a name."""
    stack.database(onDestroy="snapshot", protect=False)
    stack.pulumi("up")
    made = stack.recorded()
    (suffix,) = [one["outputs"]["hex"] for urn, one in made.items() if urn.endswith("::database-final-snapshot")]
    (key,) = objects_of(stack, stack.identifier)["key"]
    stack.pulumi("destroy")
    name = f"tests-life-final-{suffix}"
    assert objects_of(stack, stack.identifier) == {"snapshot": [name], "key": [key]}
    (snapshot,) = aws(stack, "rds").describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
    assert (snapshot["Status"], snapshot["Encrypted"], snapshot["KmsKeyId"]) == ("available", True, key)
    assert snapshot["Engine"] == "postgres"
    assert len(suffix) == 8
    assert stack.recorded() == {}
    assert stack.get("namespaces", stack.namespace, "--ignore-not-found") == {}
