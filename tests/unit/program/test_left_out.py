"""A run that leaves something out, or in which something fails, is not recorded as complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.applied import LeftOutError
from tests.samples import ACCOUNT, REGION, TELEPORT_CLUSTER
from tests.unit.monitor import PROJECT, STACK, UNKNOWN_SENTINEL, Recording, leaves
from tests.unit.platform.test_external_service import BALANCED, NAMED
from tests.unit.program import stack

pytestmark = [pytest.mark.unit, pytest.mark.slow]

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"

# When a run leaves a resource out, the engine answers with the resource as it was before.
AS_BEFORE = {
    "the ConfigMap teleport-access-graph-ca": ("kubernetes:core/v1:ConfigMap", {"=data": {"ca.pem": "former"}}),
    "the release teleport-access-graph": ("kubernetes:helm.sh/v3:Release", {"=values": {"clusterHostCAs": ["former"]}}),
    "the server certificate's names": ("tls:index/certRequest:CertRequest", {"=dnsNames": ["former.example.com"]}),
}


@pytest.mark.parametrize("what", AS_BEFORE)
def test_what_is_left_out_is_named_and_the_ledger_stays_as_it_was(what: str, tmp_path: Path) -> None:
    type_, outputs = AS_BEFORE[what]
    computed: dict[str, Any] = {**stack.COMPUTED, type_: {**stack.COMPUTED.get(type_, {}), **outputs}}
    begun = Recording()
    with pytest.raises(LeftOutError, match=f"{what}: the settings change it, but this run leaves it as it was"):
        stack.run_program(stack.configuration(tmp_path), tmp_path, computed=computed, recording=begun)
    assert "ledger" not in begun.outputs


def test_what_others_keep_in_the_same_config_map_is_not_missed(tmp_path: Path) -> None:
    """After an apply, the ConfigMap comes back with keys that others keep in it, such as a controller's or an
    operator's further authority."""
    data = {"ca.pem": stack.COMPUTED[stack.SELF_SIGNED]["certPem"], "others.pem": "somebody else's"}
    computed: dict[str, Any] = {**stack.COMPUTED, "kubernetes:core/v1:ConfigMap": {"=data": data}}
    recording = stack.run_program(stack.configuration(tmp_path), tmp_path, computed=computed)
    assert "ledger" in recording.outputs


GENERATED: dict[str, Any] = {"masterPassword": "generated"}
REPLICATED: dict[str, Any] = {**GENERATED, "replica": {}}


@pytest.mark.parametrize(
    ("database", "left_out"),
    [
        (GENERATED, "database-"),
        (GENERATED, "database-instance"),
        (GENERATED, "database-master-password"),
        ({**GENERATED, "authentication": "iam"}, "database-access-client"),
        ({**REPLICATED, "authentication": "iam"}, "database-replica"),
        (REPLICATED, "database-instance"),
        ({}, "database-instance"),
        ({"restore": {"mode": "snapshot", "snapshotIdentifier": "graph-final"}}, "database-instance"),
    ],
)
def test_what_was_never_made_of_the_database_is_not_known_and_no_error(
    database: dict[str, Any], left_out: str, tmp_path: Path
) -> None:
    """In such a run, the engine creates none of the resources that need the value, or itself reports what is
    missing."""
    config = stack.configuration(tmp_path)
    config["database"] |= database
    whole = {item.name for item in stack.run_program(config, tmp_path).custom()}
    never_made = {name for name in whole if name.startswith(left_out)}
    recording = stack.run_program(config, tmp_path, never_made=never_made)
    assert {item.name for item in recording.custom()} == whole
    assert "ledger" not in recording.outputs


# The kind of master password that is configured, and what the instance shows when a run left it out while it still has
# the other kind.
AS_IT_WAS = {"managed": {"=masterUserSecrets": []}, "generated": {"=manageMasterUserPassword": True}}


@pytest.mark.parametrize("master_password", AS_IT_WAS)
def test_an_instance_that_keeps_its_former_master_password_is_named(master_password: str, tmp_path: Path) -> None:
    config = stack.configuration(tmp_path)
    config["database"]["masterPassword"] = master_password
    type_ = "aws:rds/instance:Instance"
    computed = {**stack.COMPUTED, type_: {**stack.COMPUTED[type_], **AS_IT_WAS[master_password]}}
    begun = Recording()
    with pytest.raises(
        LeftOutError, match="the database's instance: the settings change it, but this run leaves it as it was"
    ):
        stack.run_program(config, tmp_path, computed=computed, recording=begun)
    assert "ledger" not in begun.outputs


NAME = f"organization/{PROJECT}/{STACK}"
STEPS = (
    "access-graph-release",
    "certificates-server-request",
    f"teleport-{TELEPORT_CLUSTER}-ca",
    f"teleport-{TELEPORT_CLUSTER}-release",
    f"teleport-{TELEPORT_CLUSTER}-auth",
    f"teleport-{TELEPORT_CLUSTER}-proxies",
    "database-logins-job",
)
STEPS_OF_AN_OWNER = (f"teleport-{TELEPORT_CLUSTER}-values", f"teleport-{TELEPORT_CLUSTER}-rollout-job")


# The ledger of an `up` long ago, with nothing that a current `up` would record.
BEFORE = {"ledger": {"version": 1, "auditLog": {"former.example.com": "2026-01-01T00:00:00Z"}}}


@pytest.mark.parametrize("step", [*STEPS, *STEPS_OF_AN_OWNER])
@pytest.mark.parametrize("way", ["failed", "never_made"])
def test_what_is_not_made_leaves_the_ledger_as_it_was(way: str, step: str, tmp_path: Path) -> None:
    """Otherwise the engine would store a placeholder in place of the unknown values, and the next `up` would have no
    memory."""
    recording = stack.run_program(_owned(step, tmp_path), tmp_path, stacks={NAME: BEFORE}, **{way: [step]})
    assert step in {item.name for item in recording.registrations}
    assert recording.outputs["ledger"] == BEFORE["ledger"]
    assert UNKNOWN_SENTINEL not in {value for _, value, _ in leaves(recording.outputs)}


# The ledger records nothing about these resources, and nothing that it records waits for them.
FORGOTTEN = ("database-key-alias", "network-policies-database-jobs", "reader-role-")


@pytest.mark.parametrize(
    ("graph", "database"),
    [
        ({"external": {"hostname": "graph.example.com"}, "networkPolicy": {"enabled": True}}, {}),
        ({}, {"masterPassword": "generated", "authentication": "iam", "replica": {}}),
        ({"enabled": False}, None),
    ],
    ids=["everything", "generated", "off"],
)
def test_whatever_fails_leaves_the_ledger_as_it_was(
    graph: dict[str, Any], database: dict[str, Any] | None, tmp_path: Path
) -> None:
    """Each resource fails by itself, and `--continue-on-error` lets the run reach the outputs."""
    entry = {"hostAuthorities": {"mode": "inline", "certificates": [stack.host_authority()]}, "applyReaderRole": True}
    existing = {"aws": ..., "database": {"mode": "existing"}}
    config = stack.configuration(tmp_path, entry=entry, **NAMED, **(existing if database is None else {}))
    config["accessGraph"] |= graph
    config["database"] |= database or {}
    options: dict[str, Any] = {"stacks": {NAME: BEFORE}, "computed": BALANCED}
    if database is None:
        options["secrets"] = {"databaseUri": "postgres://graph:password@db.example.com/graph?sslmode=verify-full"}
    whole = stack.run_program(config, tmp_path, **options)
    assert whole.outputs["ledger"] != BEFORE["ledger"]
    told = {
        item.name
        for item in whole.custom()
        if stack.run_program(config, tmp_path, **options, failed=[item.name]).outputs["ledger"] != BEFORE["ledger"]
    }
    assert {name for name in told if not name.startswith(FORGOTTEN)} == set()


@pytest.mark.parametrize("target", ["namespace-", "certificates-", "database-instance", "digest-key"])
@pytest.mark.parametrize(
    "database",
    [{}, {"authentication": "iam"}, {"masterPassword": "generated", "authentication": "iam", "replica": {}}],
    ids=["managed", "iam", "generated"],
)
def test_a_first_run_of_some_resources_goes_on_or_says_what_it_leaves_out(
    database: dict[str, Any], target: str, tmp_path: Path
) -> None:
    """With `--target`, values that a plugin computes are missing; the program must not build text from them."""
    config = stack.configuration(tmp_path)
    config["database"] |= database
    whole = stack.run_program(config, tmp_path)
    left_out = [item.name for item in whole.custom() if not item.name.startswith(target)]
    try:
        recording = stack.run_program(config, tmp_path, never_made=left_out)
    except LeftOutError:
        return  # the program says in one sentence what was left out
    assert "ledger" not in recording.outputs


def test_what_waits_for_something_that_failed_is_not_made(tmp_path: Path) -> None:
    """For resources that depend on a failed one, engines later than 3.250 answer as a preview would."""
    config = stack.configuration(tmp_path, aws=..., database={"mode": "existing", "secret": {"name": "database"}})
    config["accessGraph"]["networkPolicy"] = {"enabled": True}
    recording = stack.run_program(config, tmp_path, stacks={NAME: BEFORE}, failed=["network-policies-access-graph"])
    assert recording.outputs["ledger"] == BEFORE["ledger"]


def test_who_chose_no_part_is_told_that_another_error_is_the_one_to_mend(tmp_path: Path) -> None:
    """With `--continue-on-error`, engine 3.250 answers for resources that wait for the failed one as if `--target` had
    left them out."""
    config = stack.configuration(tmp_path, entry={"adopt": True})
    with pytest.raises(LeftOutError, match=r"the Teleport release .* after another error: .* mend that one"):
        stack.run_program(config, tmp_path, never_made=[f"teleport-{TELEPORT_CLUSTER}-ca"])


def test_an_instance_is_not_imported_by_a_run_that_leaves_out_what_stands_beside_it(tmp_path: Path) -> None:
    """The engine imports an instance even in a run that leaves it out, under a component that is then not in the state:
    the state is broken from then on."""
    config = stack.configuration(tmp_path)
    network = {**config["database"]["network"], "subnetGroupName": "theirs"}
    del network["subnetIds"]
    config["database"] |= {"adopt": True, "kmsKeyArn": KEY, "network": network}
    begun = Recording()
    with pytest.raises(LeftOutError, match="the database's instance: the settings change it"):
        stack.run_program(config, tmp_path, never_made=["database-parameter-group"], recording=begun)
    assert "database-instance" not in {item.name for item in begun.registrations}


def test_a_first_up_that_is_not_whole_leaves_no_ledger(tmp_path: Path) -> None:
    recording = stack.run_program(
        stack.configuration(tmp_path), tmp_path, failed=[f"teleport-{TELEPORT_CLUSTER}-release"]
    )
    assert "ledger" not in recording.outputs
    assert UNKNOWN_SENTINEL not in {value for _, value, _ in leaves(recording.outputs)}


def test_a_preview_says_what_is_not_known(tmp_path: Path) -> None:
    recording = stack.run_program(stack.configuration(tmp_path), tmp_path, stacks={NAME: BEFORE}, preview=True)
    assert recording.outputs["ledger"] == UNKNOWN_SENTINEL


def _owned(step: str, directory: Path) -> dict[str, Any]:
    """A configuration that includes `step`."""
    owned = {"mode": "values", "chart": ..., "rollout": {"timeoutSeconds": 120}}
    return stack.configuration(directory, entry=owned if step in STEPS_OF_AN_OWNER else None)
