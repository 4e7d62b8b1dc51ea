"""What the stack remembers about itself, and which changes it therefore refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.database_steps import FIXED, RESTORE
from components.ledger import Ledger, LedgerError, ends_of_own, ledger_content
from components.ledger_guards import refusals
from components.ledger_warnings import egress_warning, name_warning, place_warning, rollout_warning, warnings
from components.settings import Settings, load_settings
from components.tls_assembly import trust_of
from components.trust_bundles import Authority
from tests.samples import CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.unit.monitor import PROJECT, STACK, Recording, Secret, leaves, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program, values_file

ITSELF = f"organization/{PROJECT}/{STACK}"


def again(directory: Path, config: dict[str, Any], ledger: dict[str, Any], **options: Any) -> Recording:
    """Run the program once more, after an `up` that left `ledger`."""
    return run_program(config, directory, stacks={ITSELF: {"ledger": ledger, "outputsVersion": 1}}, **options)


@pytest.fixture(scope="session")
def first_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration, and the ledger of the first `up` with it."""
    directory = tmp_path_factory.mktemp("first")
    config = configuration(directory)
    return config, unsealed(run_program(config, directory).outputs["ledger"])


@pytest.fixture
def config(first_up: tuple[dict[str, Any], dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    configuration(tmp_path)  # for the files that it writes
    return copy.deepcopy(first_up[0])


@pytest.fixture
def recorded(first_up: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """The ledger of a first `up`."""
    return copy.deepcopy(first_up[1])


def of_the_database(recording: Recording) -> set[str]:
    """Names of the resources that make the instance and its login."""
    return {item.name for item in recording.custom() if item.name.startswith("database-")}


@pytest.mark.slow
def test_the_stack_reads_its_own_outputs_and_nobody_elses(stack: Recording, first_preview: Recording) -> None:
    assert stack.references == first_preview.references == [ITSELF]


@pytest.mark.slow
def test_the_ledger_of_an_up_lets_the_same_up_follow(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    assert again(tmp_path, config, recorded).outputs["ledger"] == recorded


@pytest.mark.slow
def test_a_ledger_that_is_marked_as_secret_hides_nothing_and_is_plain_from_then_on(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """Everything waits for the ledger, so every preview would hide everything, and no `up` would end that."""
    stack = again(tmp_path, config, Secret(recorded))  # type: ignore[arg-type]
    assert stack.outputs["ledger"] == recorded
    hidden = [path for path, _, secret in leaves(stack["database-instance"].inputs) if secret]
    assert hidden == []


def test_before_the_first_up_there_is_nothing_to_remember() -> None:
    assert Ledger.parse(None) == Ledger()


@pytest.mark.slow
def test_a_preview_that_renews_the_certificate_says_when_the_one_before_ends(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a preview of a renewal the plugin does not know the new end, and the window of renewal lies within the window
    of the warnings."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_: said.append(text))
    soon = f"{datetime.now(timezone.utc) + timedelta(days=9, hours=1):%Y-%m-%dT%H:%M:%SZ}"
    outputs = {"ledger": recorded, "certificateNotAfter": soon, "caNotAfter": soon}
    run_program(config, tmp_path, stacks={ITSELF: outputs}, preview=True)
    ends = [text.partition(" ends at ")[0] for text in said if ", in 9 days: an `up` from " in text]
    assert ends == ["the certificate authority", "the server certificate"]


def test_an_end_before_is_only_said_of_what_this_up_may_renew(tmp_path: Path) -> None:
    """In another mode, under another authority, or for a certificate that the user gave, the recorded end says nothing
    about what this `up` renews."""
    trust = {"mode": "generated", "authorities": ["ours"], "protected": True}
    ledger = {"version": 1, "trust": trust, "authority": {"generation": 1, "phase": "stable"}}
    ends = ("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
    given = trusted_until(datetime(2027, 2, 1, tzinfo=timezone.utc))

    def found(ledger: dict[str, Any], given: tuple[Authority, ...] = (), **tls: Any) -> tuple[str | None, str | None]:
        own = load_settings(configuration(tmp_path, tls={"mode": "generated", **tls}), (), root=tmp_path, stack=STACK)
        before = ends_of_own(Ledger.parse(ledger, *ends), own, given)
        return before.certificate, before.authorities

    assert found(ledger) == ends
    assert found(ledger, given) == (ends[0], None)
    assert found(ledger, authority={"generation": 2, "phase": "introduce"}) == (ends[0], None)
    assert found({**ledger, "trust": {**trust, "mode": "certManager"}}) == (None, ends[1])
    assert found({**ledger, "trust": {**trust, "authorities": ["ours", "given no more"]}}) == (ends[0], None)
    assert found({**ledger, "trust": {**trust, "authorities": None}}) == ends
    assert found({"version": 1}) == (None, None)


def trusted_until(end: datetime) -> tuple[Authority, ...]:
    return (Authority(pem="", subject="", identity="", not_after=end),)


def test_a_newer_programs_ledger_is_not_guessed_at() -> None:
    with pytest.raises(LedgerError, match="was written in version 2 by a newer program, and this one reads 1"):
        Ledger.parse({"version": 2})


@pytest.mark.slow
@pytest.mark.parametrize("rotation", [4, 5])
def test_a_login_may_stay_or_go_to_the_next_generation(
    rotation: int, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["database"]["rotation"] = rotation
    # The engine returns numbers as floats.
    assert again(tmp_path, config, recorded | {"rotation": 4.0}).outputs["ledger"]["rotation"] == rotation


@pytest.mark.slow
@pytest.mark.parametrize("rotation", [0, 2, 3, 6, 7])
def test_a_login_that_skips_a_generation_is_refused_before_any_password_changes(
    rotation: int, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["database"]["rotation"] = rotation
    begun = Recording()
    with pytest.raises(
        LedgerError, match=rf"database\.rotation: {rotation} does not follow generation 4.*; set 4 or 5"
    ) as no:
        again(tmp_path, config, recorded | {"rotation": 4}, recording=begun)
    assert len(no.value.problems) == 1
    assert of_the_database(begun) == set()


OTHERS = {
    "database.identifier": ("identifier", "other-instance"),
    "database.databaseName": ("databaseName", "other"),
    "database.masterUsername": ("masterUsername", "other_admin"),
    "database.kmsKeyArn": (
        "kmsKeyArn",
        "arn:aws:kms:us-east-1:123456789012:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d",
    ),
}
UNPROTECTED = {"protect": False, "onDestroy": "snapshot"}


@pytest.mark.slow
@pytest.mark.parametrize("fixed", FIXED, ids=lambda fixed: fixed.key)
def test_what_would_replace_or_rename_the_protected_instance_is_refused_with_its_name_and_the_way_out(
    fixed: Any, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    key, value = OTHERS[fixed.key]
    config["database"][key] = value
    with pytest.raises(
        LedgerError, match=r"would re(place|name) the protected instance teleport-access-graph-dev"
    ) as no:
        again(tmp_path, config, recorded, preview=True)
    (problem,) = no.value.problems
    assert problem.strip().startswith(f"{fixed.key}: ")
    assert RESTORE in problem


def place_problems(
    tmp_path: Path, config: dict[str, Any], recorded: dict[str, Any], place: dict[str, str], protect: bool
) -> list[str]:
    """The problems of continuing in `place` after an `up` that left the instance in us-east-1 of account
    123456789012."""
    identity = {"mode": "podIdentity", "clusterName": "prod"}
    aws = {"region": "us-east-1", "accountId": "123456789012", "workloadIdentity": identity, **place}
    ledger = {**recorded, "database": {**recorded["database"], "protect": protect}}
    arn = "arn:aws:rds:us-east-1:123456789012:db:teleport-access-graph-dev"
    outputs = {"ledger": ledger, "outputsVersion": 1, "databaseInstanceArn": arn}
    try:
        run_program({**config, "aws": aws}, tmp_path, stacks={ITSELF: outputs}, preview=True)
    except LedgerError as error:
        return [problem.strip() for problem in error.problems]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("protect", [True, False])
def test_an_instance_stays_in_its_account(
    protect: bool, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """Otherwise the preview would show nothing, and the engine would then ask the other account for the resources of
    the state."""
    (problem,) = place_problems(tmp_path, config, recorded, {"accountId": "210987654321"}, protect)
    assert problem.startswith('aws.accountId: "210987654321" is not 123456789012, the account of the ')
    assert RESTORE in problem
    assert place_problems(tmp_path, config, recorded, {}, protect) == []


@pytest.mark.slow
def test_a_protected_instance_stays_in_its_region(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    (problem,) = place_problems(tmp_path, config, recorded, {"region": "eu-central-1"}, protect=True)
    assert problem.startswith(
        'aws.region: "eu-central-1" would replace the protected instance teleport-access-graph-dev, which is in us-east'
    )
    assert RESTORE in problem
    assert place_problems(tmp_path, config, recorded, {"region": "eu-central-1"}, protect=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("key", OTHERS)
def test_an_instance_whose_protection_was_lifted_may_be_replaced(
    key: str, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    setting, value = OTHERS[key]
    config["database"] |= {setting: value, **UNPROTECTED, "applyImmediately": True}
    lifted = copy.deepcopy(recorded)
    lifted["database"] |= UNPROTECTED
    assert again(tmp_path, config, lifted).outputs["ledger"]["database"]["protect"] is False


@pytest.mark.slow
def test_an_instance_is_renamed_while_the_up_waits_for_it(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """RDS would otherwise rename the instance unnoticed in the next maintenance window, and pods would lose their
    endpoint."""
    config["database"] |= {"identifier": "another", **UNPROTECTED}
    recorded["database"] |= UNPROTECTED
    former = recorded["database"]["identifier"]
    said = rf'identifier: "another" would rename .* in its next maintenance window.*; set it to {former} \('
    with pytest.raises(LedgerError, match=said):
        again(tmp_path, config, recorded, preview=True)
    # A replacement takes its new name at once.
    config["database"]["databaseName"] = "other"
    assert again(tmp_path, config, recorded).outputs["ledger"]["database"]["identifier"] == "another"


@pytest.mark.slow
@pytest.mark.parametrize("before", ["keep", None])
@pytest.mark.parametrize("key", sorted(OTHERS.keys() - {"database.identifier"}))
def test_an_instance_that_is_kept_is_not_replaced_under_its_name(
    key: str, before: str | None, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """The same holds if the ledger does not say whether the instance is kept."""
    setting, value = OTHERS[key]
    config["database"] |= {setting: value, **UNPROTECTED}
    recorded["database"] |= {"protect": False, "onDestroy": before}
    if before is None:
        del recorded["database"]["onDestroy"]
    with pytest.raises(LedgerError, match=rf"{key}: .* would replace .*, which database.onDestroy keep leaves") as no:
        again(tmp_path, config, recorded, preview=True)
    assert len(no.value.problems) == 1
    config["database"]["identifier"] = "another"
    assert again(tmp_path, config, recorded).outputs["ledger"]["database"]["identifier"] == "another"


@pytest.mark.slow
def test_an_adopted_instance_stays_one_and_the_stacks_own_does_not_become_one(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """The program never sends RDS the version of an adopted instance, nor the key of its Performance Insights."""
    config["database"]["kmsKeyArn"] = OTHERS["database.kmsKeyArn"][1]
    config["database"]["network"]["subnetGroupName"] = "former"
    del config["database"]["network"]["subnetIds"]
    adopting = copy.deepcopy(config)
    adopting["database"]["adopt"] = True
    own, adopted = (unsealed(run_program(one, tmp_path).outputs["ledger"]) for one in (config, adopting))
    with pytest.raises(
        LedgerError, match=r"database\.adopt: false would ask RDS for a version .* set it to true again"
    ):
        again(tmp_path, config, adopted, preview=True)
    with pytest.raises(LedgerError, match=r"database\.adopt: true would take over .* this stack's own .* remove it"):
        again(tmp_path, adopting, own, preview=True)
    for follows, ledger in ((config, own), (adopting, adopted)):
        assert again(tmp_path, follows, ledger).outputs["ledger"]["database"] == ledger["database"]
        del ledger["database"]["adopted"]
    for follows, ledger in ((config, adopted), (adopting, own)):
        assert again(tmp_path, follows, ledger).outputs["ledger"]["database"]["adopted"] is (follows is adopting)


@pytest.mark.slow
def test_an_adopted_instance_that_is_gone_may_be_restored_and_is_never_exchanged(
    config: dict[str, Any], tmp_path: Path
) -> None:
    network = config["database"]["network"]
    del network["subnetIds"]
    network["subnetGroupName"] = "their-subnets"
    config["database"] |= {
        "adopt": True,
        "kmsKeyArn": OTHERS["database.kmsKeyArn"][1],
        "protect": False,
        "applyImmediately": True,
    }
    ledger = unsealed(run_program(config, tmp_path).outputs["ledger"])
    other = copy.deepcopy(config)
    other["database"]["identifier"] = "graph-other"
    for one in (other, {**other, "database": {**other["database"], "adopt": False}}):
        with pytest.raises(LedgerError, match=r'database\.identifier: "graph-other" would take over another instance'):
            again(tmp_path, one, ledger, preview=True)
    restored = copy.deepcopy(config)
    del restored["database"]["adopt"]
    restored["database"]["restore"] = {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"}
    instance = again(tmp_path, restored, ledger)["database-instance"]
    assert instance.plain("snapshotIdentifier") == "prod-final-0a1b2c3d"


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["adopted", "restored"])
def test_another_database_of_an_instance_that_was_not_made_empty_is_refused_for_what_is_in_the_former(
    origin: str, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """AWS is not sent the database's name, so nothing would be replaced."""
    if origin == "restored":
        config["database"]["restore"] = {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"}
    else:
        config["database"] |= {"adopt": True, "kmsKeyArn": OTHERS["database.kmsKeyArn"][1]}
        config["database"]["network"]["subnetGroupName"] = "former"
        del config["database"]["network"]["subnetIds"]
    ledger = unsealed(run_program(config, tmp_path).outputs["ledger"])
    config["database"] |= {"databaseName": "other", "masterUsername": "nobodys"}
    said = r"databaseName: \"other\" would leave the access graph's data behind in the database access"
    with pytest.raises(LedgerError, match=said):
        again(tmp_path, config, ledger)
    # The configured user name does not count here: the master user comes with the data.
    assert again(tmp_path, {**config, "database": {**config["database"], "databaseName": "access_graph"}}, ledger)
    ledger["database"] |= {"protect": False, "onDestroy": "keep"}
    config["database"] |= {"protect": False, "onDestroy": "keep"}
    assert again(tmp_path, config, ledger).outputs["ledger"]["database"]["databaseName"] == "other"


@pytest.mark.slow
def test_what_a_restored_instance_has_of_its_data_replaces_nothing(config: dict[str, Any], tmp_path: Path) -> None:
    config["database"] |= {
        "protect": False, "onDestroy": "keep",
        "restore": {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"},
    }  # fmt: skip
    ledger = unsealed(run_program(config, tmp_path).outputs["ledger"])
    config["database"]["databaseName"] = "another"
    assert "dbName" not in again(tmp_path, config, ledger)["database-instance"].inputs
    config["database"]["identifier"] = "graph-other"
    with pytest.raises(LedgerError, match=r'database\.identifier: "graph-other" would rename'):
        again(tmp_path, config, ledger)


@pytest.mark.slow
def test_a_restored_instance_keeps_the_key_of_what_was_made_since(config: dict[str, Any], tmp_path: Path) -> None:
    """RDS refuses another key for Performance Insights, and for a master password that RDS manages."""
    config["database"] |= {
        "protect": False, "onDestroy": "delete",
        "restore": {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"},
    }  # fmt: skip
    ledger = unsealed(run_program(config, tmp_path).outputs["ledger"])
    config["database"]["kmsKeyArn"] = OTHERS["database.kmsKeyArn"][1]
    with pytest.raises(LedgerError, match=r"database\.kmsKeyArn: .* would ask RDS for another key for Performance"):
        again(tmp_path, config, ledger, preview=True)
    ledger["database"]["restored"] = False
    assert again(tmp_path, config, ledger)["database-instance"].plain("performanceInsightsKmsKeyId")


@pytest.mark.slow
def test_a_restored_instance_has_the_storage_of_its_data_until_more_is_asked_for(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """RDS refuses less storage than the data take, and the storage may have grown by itself."""

    def asked(ledger: dict[str, Any]) -> Any:
        return again(tmp_path, config, ledger)["database-instance"].inputs.get("allocatedStorage")

    config["database"]["restore"] = {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"}
    ledger = unsealed(run_program(config, tmp_path).outputs["ledger"])
    assert asked({}) is None
    assert asked(ledger) is None, "which it is made of anew where it was lost"
    config["database"]["allocatedStorageGib"] = 50
    assert asked(ledger) == 50
    assert asked(recorded) is None, "the instance of before, which was made empty, is lost"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lifted", "refused"),
    [
        ({}, True),
        ({"protect": False, "onDestroy": "keep"}, True),
        ({"protect": False, "onDestroy": "snapshot"}, False),
    ],
)
def test_a_restored_instance_is_not_replaced_because_nobody_says_any_more_that_it_is_one(
    lifted: dict[str, Any], refused: bool, config: dict[str, Any], tmp_path: Path
) -> None:
    restore = {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"}
    config["database"] |= {**lifted, "restore": restore}
    ledger = unsealed(run_program(config, tmp_path).outputs["ledger"])
    del config["database"]["restore"]
    if refused:
        said = r"database\.restore: is missing, and without it this `up` would replace .*; set it back"
        with pytest.raises(LedgerError, match=said):
            again(tmp_path, config, ledger)
    else:
        assert again(tmp_path, config, ledger).outputs["ledger"]["database"]["restored"] is False
    # The snapshot may be gone by now, and the instance no longer depends on which one is named.
    config["database"]["restore"] = restore | {"snapshotIdentifier": "another"}
    assert again(tmp_path, config, ledger).outputs["ledger"] == ledger


@pytest.mark.slow
def test_a_major_version_is_changed_while_the_up_waits_for_it(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["database"]["engineVersion"] = "18"
    said = r'engineVersion: "18" would upgrade .* from 17 only in its next maintenance window'
    with pytest.raises(LedgerError, match=said):
        again(tmp_path, config, recorded, preview=True)
    config["database"]["applyImmediately"] = True
    upgraded = again(tmp_path, config, recorded).outputs["ledger"]
    assert upgraded["database"]["engineVersion"] == "18"
    del config["database"]["applyImmediately"]
    assert again(tmp_path, config, upgraded).outputs["ledger"] == upgraded


@pytest.mark.slow
def test_a_restored_instance_is_told_a_version_where_the_ledger_has_another(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["database"]["restore"] = {"mode": "snapshot", "snapshotIdentifier": "graph-final"}
    first, same = run_program(config, tmp_path), again(tmp_path, config, recorded)
    config["database"] |= {"engineVersion": "18", "applyImmediately": True}
    upgraded = again(tmp_path, config, recorded)
    asked = [one["database-instance"].inputs.get("engineVersion") for one in (first, same, upgraded)]
    assert asked == [None, None, "18"]
    # An instance that is made in place of another one has the version of its data too.
    elsewhere = copy.deepcopy(recorded)
    elsewhere["database"] |= {"identifier": "another", **UNPROTECTED}
    config["database"] |= UNPROTECTED
    assert "engineVersion" not in again(tmp_path, config, elsewhere)["database-instance"].inputs
    # A ledger without a version forbids no upgrade.
    del recorded["database"]["engineVersion"]
    assert again(tmp_path, config, recorded)["database-instance"].inputs["engineVersion"] == "18"


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
def test_no_older_major_version_follows(
    at_once: bool, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["database"] |= {"engineVersion": "16", "applyImmediately": at_once}
    with pytest.raises(LedgerError, match=r'engineVersion: "16" is older than 17, the version of .* set 17 again'):
        again(tmp_path, config, recorded)


@pytest.mark.slow
def test_another_instance_may_have_any_version(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    lifted = copy.deepcopy(recorded)
    lifted["database"] |= UNPROTECTED
    config["database"] |= {"identifier": "another", "databaseName": "other", "engineVersion": "16", **UNPROTECTED}
    assert again(tmp_path, config, lifted).outputs["ledger"]["database"]["engineVersion"] == "16"


@pytest.mark.slow
def test_a_ledger_from_before_versions_were_recorded_allows_any(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    before = copy.deepcopy(recorded)
    del before["database"]["engineVersion"]
    config["database"]["engineVersion"] = "18"
    assert again(tmp_path, config, before).outputs["ledger"]["database"]["engineVersion"] == "18"


@pytest.mark.slow
def test_a_password_is_handed_to_aws_by_an_up_after_the_replica_went(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """RDS does not manage the password of an instance with a replica, and the engine deletes the replica only at the
    end of an `up`."""
    config["database"] |= {"masterPassword": "generated", "replica": {}}
    replicated = again(tmp_path, config, recorded).outputs["ledger"]
    del config["database"]["replica"]
    without = again(tmp_path, config, replicated).outputs["ledger"]
    config["database"]["masterPassword"] = "managed"
    with pytest.raises(LedgerError, match=r'database\.masterPassword: "managed" is not possible yet: .* read replica'):
        again(tmp_path, config, replicated)
    assert again(tmp_path, config, without).outputs["ledger"] == recorded


@pytest.mark.slow
def test_another_database_in_place_of_a_protected_instance_is_refused(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["database"] = {"mode": "existing", "secret": {"name": "database"}}
    del config["aws"]
    with pytest.raises(LedgerError, match=r'database\.mode: "existing" would delete the protected instance'):
        again(tmp_path, config, recorded)


@pytest.mark.parametrize("before", [{"mode": "existing", "secretMade": True}, {"mode": "rds", "protect": False}])
@pytest.mark.parametrize("name", ["teleport-access-graph-postgres", "teleport-access-graph-postgres-iam"])
def test_a_secret_of_the_stacks_own_is_not_handed_over_under_its_name(
    name: str, before: dict[str, Any], tmp_path: Path
) -> None:
    """The engine deletes the stack's Secret at the end of the `up`, although the updated release still names it."""

    def found(ledger: dict[str, Any], **secret: str) -> list[str]:
        config = configuration(tmp_path, aws=..., database={"mode": "existing", "secret": secret})
        own = load_settings(config, (), root=tmp_path, stack=STACK)
        return [problem.key for problem in refusals(Ledger.parse(ledger), own)]

    namespace = {"name": "teleport-access-graph", "made": True, "kept": False}
    ledger = {"version": 1, "database": before, "namespace": namespace}
    assert found(ledger, name=name) == ["database.secret.name"]
    assert found(ledger, name="another") == []
    assert found({"version": 1}, name=name) == []
    assert found({**ledger, "database": {"mode": "existing", "secretMade": False}}, name=name) == []
    elsewhere = {"name": "another", "made": False, "kept": False}
    assert found({**ledger, "namespace": elsewhere}, name=name) == []


@pytest.mark.slow
def test_the_start_of_the_audit_log_is_taken_once(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry["auditLog"] = {"startDate": "2026-01-31T00:00:00Z"}
    before = again(tmp_path, config, recorded).outputs["ledger"]
    assert before["auditLog"] == {TELEPORT_CLUSTER: "2026-01-31T00:00:00Z"}
    entry["auditLog"]["startDate"] = "2026-02-28T00:00:00Z"
    with pytest.raises(LedgerError, match="differs from 2026-01-31T00:00:00Z, which Teleport has taken"):
        again(tmp_path, config, before)


@pytest.mark.slow
def test_a_start_of_the_audit_log_is_remembered_while_its_export_is_off(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    entry = config["teleport"][TELEPORT_CLUSTER]
    before = recorded | {"auditLog": {TELEPORT_CLUSTER: "2026-01-31T00:00:00Z"}}
    entry["auditLog"] = {"enabled": False}
    off = again(tmp_path, config, before).outputs["ledger"]
    assert off["auditLog"] == {TELEPORT_CLUSTER: "2026-01-31T00:00:00Z"}
    entry["auditLog"] = {}
    assert again(tmp_path, config, off).outputs["ledger"]["auditLog"] == off["auditLog"]
    entry["auditLog"] = {"startDate": "2026-02-28T00:00:00Z"}
    with pytest.raises(LedgerError, match=r"auditLog\.startDate: \"2026-02-28T00:00:00Z\" differs from 2026-01-31"):
        again(tmp_path, config, off)


@pytest.mark.slow
def test_an_export_that_began_without_a_start_is_given_none_later(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry["auditLog"] = {}
    begun = again(tmp_path, config, recorded).outputs["ledger"]
    assert begun["auditLog"] == {TELEPORT_CLUSTER: ""}
    entry["auditLog"] = {"startDate": "2026-01-31T00:00:00Z"}
    with pytest.raises(LedgerError, match=r"is set, but the export began without a start date: .* its own default"):
        again(tmp_path, config, begun)


@pytest.mark.slow
def test_what_teleport_was_never_told_may_change(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry["auditLog"] = {"enabled": False}
    assert again(tmp_path, config, recorded).outputs["ledger"]["auditLog"] == {}
    entry["auditLog"] = {"startDate": "2026-01-31T00:00:00Z"}
    config["accessGraph"]["enabled"] = False
    assert again(tmp_path, config, recorded).outputs["ledger"]["auditLog"] == {}


OWN = {"mode": "release", "adopted": False, "clusterIdentifier": CLUSTER_IDENTIFIER}
OWN |= {"namespace": "teleport", "release": "teleport"}


def as_values(config: dict[str, Any]) -> None:
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry["mode"] = "values"
    del entry["chart"]
    entry.pop("adopt", None)


def as_manual(config: dict[str, Any]) -> None:
    authorities = config["teleport"][TELEPORT_CLUSTER]["hostAuthorities"]
    config["teleport"][TELEPORT_CLUSTER] = {"mode": "manual", "hostAuthorities": authorities}


def removed(config: dict[str, Any]) -> None:
    del config["teleport"][TELEPORT_CLUSTER]
    config["accessGraph"]["enabled"] = False


LEAVING = {"values": as_values, "manual": as_manual, "removed": removed}


def test_the_ledger_says_who_owns_each_release(config: dict[str, Any], recorded: dict[str, Any]) -> None:
    assert recorded["teleport"] == {TELEPORT_CLUSTER: OWN}


@pytest.mark.slow
@pytest.mark.parametrize("way", LEAVING)
def test_a_release_of_the_stacks_own_is_not_uninstalled_by_a_change_of_mode(
    way: str, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    LEAVING[way](config)
    with pytest.raises(LedgerError, match="would uninstall the release teleport in teleport") as no:
        again(tmp_path, config, recorded, preview=True)
    (problem,) = no.value.problems
    assert f"set teleport.{TELEPORT_CLUSTER}.adopt to true and `up` first" in problem


@pytest.mark.slow
@pytest.mark.parametrize("way", LEAVING)
def test_an_adopted_release_may_be_left_in_every_way(
    way: str, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    LEAVING[way](config)
    left = again(tmp_path, config, recorded | {"teleport": {TELEPORT_CLUSTER: OWN | {"adopted": True}}})
    assert not [item.name for item in left.custom() if item.name == f"teleport-{TELEPORT_CLUSTER}-release"]


@pytest.mark.slow
@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize(
    ("field", "setting"),
    [
        ("namespace", "namespace"),
        ("release", "release"),
        ("clusterIdentifier", r"kubernetes\.clusterIdentifier"),
    ],
)
def test_an_entry_does_not_move_to_another_release(
    field: str, setting: str, adopted: bool, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["teleport"][TELEPORT_CLUSTER]["adopt"] = adopted
    before = OWN | {"adopted": adopted, field: "another"}
    with pytest.raises(LedgerError, match=rf"{setting}: \S+ differs from another: .* by mode values and an `up`"):
        again(tmp_path, config, recorded | {"teleport": {TELEPORT_CLUSTER: before}})


@pytest.mark.slow
def test_an_adopted_release_stays_one_that_no_destroy_uninstalls(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(LedgerError, match=r"\.adopt: false would let a `destroy` uninstall the release teleport"):
        again(tmp_path, config, recorded | {"teleport": {TELEPORT_CLUSTER: OWN | {"adopted": True}}})


def renamed(config: dict[str, Any], directory: Path) -> None:
    name = "other.example.com"
    entry = config["teleport"].pop(TELEPORT_CLUSTER) | {"valuesFiles": [values_file(directory, name)]}
    del entry["hostAuthorities"]
    config["teleport"][name] = entry


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["release", "values"])
def test_an_entry_of_another_name_comes_after_the_one_whose_place_it_takes(
    mode: str, config: dict[str, Any], tmp_path: Path
) -> None:
    """Objects in a Teleport's namespace have fixed names, and the engine creates the new ones before it deletes the
    old."""
    config["accessGraph"]["enabled"] = False
    config["teleport"][TELEPORT_CLUSTER]["adopt"] = True
    if mode == "values":
        as_values(config)
    before = run_program(config, tmp_path).outputs["ledger"]
    without = again(tmp_path, {**config, "teleport": {}}, before).outputs["ledger"]
    renamed(config, tmp_path)
    with pytest.raises(LedgerError) as no:
        again(tmp_path, config, before)
    (problem,) = no.value.problems
    assert f"teleport.other.example.com: takes the place of {TELEPORT_CLUSTER} in the namespace" in problem
    # If nobody waits for the owner's rollout, auth may still mount the ConfigMap that the second step leaves behind.
    said = "and run `recover` before its `up`: the ConfigMap teleport-access-graph-ca"
    assert (said in problem) is (mode == "values")
    assert again(tmp_path, config, without).outputs["ledger"]["teleport"].keys() == {"other.example.com"}


HOST = "teleport-access-graph.teleport-access-graph.svc.cluster.local"
NAME = "graph.example.com"


def dialled(config: dict[str, Any], *names: str, endpoint: str | None) -> dict[str, Any]:
    config["tls"] = {"mode": "generated", "extraDnsNames": list(names)}
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry.pop("endpoint", None)
    return config if endpoint is None else (entry.update(endpoint=f"{endpoint}:443") or config)


@pytest.mark.slow
def test_the_ledger_has_the_names_that_are_dialled_and_those_that_are_served(
    config: dict[str, Any], tmp_path: Path
) -> None:
    ledger = run_program(dialled(config, NAME, endpoint=None), tmp_path).outputs["ledger"]
    assert ledger["endpoints"] == {TELEPORT_CLUSTER: f"{HOST}:443"}
    assert ledger["certificateNames"] == [HOST, NAME]
    config["accessGraph"]["enabled"] = False
    assert run_program(config, tmp_path).outputs["ledger"]["endpoints"] == {}


@pytest.mark.slow
def test_a_name_is_served_before_it_is_dialled_and_until_it_is_dialled_no_more(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """Each step is an `up` of its own; the two shortcuts, which would take two steps at once, are refused."""
    with pytest.raises(LedgerError, match=rf"endpoint: names {NAME}, which the certificate did not have so far"):
        again(tmp_path, dialled(config, NAME, endpoint=NAME), recorded)
    served = again(tmp_path, dialled(config, NAME, endpoint=None), recorded).outputs["ledger"]
    moved = again(tmp_path, dialled(config, NAME, endpoint=NAME), served).outputs["ledger"]
    with pytest.raises(
        LedgerError, match=rf"tls\.extraDnsNames: lacks {NAME}, the name that Teleport .* dials until this `up`"
    ):
        again(tmp_path, dialled(config, endpoint=None), moved)
    back = again(tmp_path, dialled(config, NAME, endpoint=None), moved).outputs["ledger"]
    assert again(tmp_path, dialled(config, endpoint=None), back).outputs["ledger"]["certificateNames"] == [HOST]


@pytest.mark.slow
def test_another_release_of_the_graph_keeps_the_former_name_in_its_certificate(
    config: dict[str, Any], tmp_path: Path
) -> None:
    new = "graph-teleport-access-graph.teleport-access-graph.svc.cluster.local"
    served = run_program(dialled(config, new, endpoint=None), tmp_path).outputs["ledger"]
    config["accessGraph"]["release"] = "graph"
    with pytest.raises(LedgerError, match=rf"tls\.extraDnsNames: lacks {HOST}"):
        again(tmp_path, dialled(config, endpoint=None), served)
    assert again(tmp_path, dialled(config, HOST, endpoint=None), served).outputs["endpoint"] == f"{new}:443"


@pytest.mark.slow
def test_a_graph_in_another_namespace_has_a_certificate_of_its_own(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["accessGraph"]["namespace"] = "graph"
    assert again(tmp_path, config, recorded).outputs["namespace"] == "graph"


@pytest.mark.slow
@pytest.mark.parametrize(("rotation", "allowed"), [(0, True), (1, True), (2, False), (5, False)])
def test_after_logins_by_iam_those_by_password_begin_with_the_first(
    rotation: int, allowed: bool, config: dict[str, Any], tmp_path: Path
) -> None:
    config["database"]["authentication"] = "iam"
    by_iam = run_program(config, tmp_path).outputs["ledger"]
    assert "rotation" not in by_iam
    config["database"] |= {"authentication": "password", "rotation": rotation}
    if allowed:
        assert again(tmp_path, config, by_iam).outputs["ledger"]["rotation"] == rotation
        return
    said = rf"rotation: {rotation} is not the generation that login passwords begin with; set 0"
    with pytest.raises(LedgerError, match=said):
        again(tmp_path, config, by_iam)


def _first(config: dict[str, Any], recorded: dict[str, Any]) -> None:
    """A stack without a record, such as one that takes over a database whose logins somebody else has rotated."""
    recorded.clear()
    config["database"]["rotation"] = 3


def _by_iam(config: dict[str, Any], recorded: dict[str, Any]) -> None:
    recorded["rotation"] = 2
    config["database"]["authentication"] = "iam"


def _by_uri(config: dict[str, Any], recorded: dict[str, Any]) -> None:
    recorded["database"]["protect"] = False
    config["database"] = {"mode": "existing"}
    del config["aws"]


def _let_go(config: dict[str, Any], recorded: dict[str, Any]) -> None:
    """Once nobody dials the former name, the certificate no longer needs it."""
    recorded["endpoints"] = {TELEPORT_CLUSTER: "graph.example.com:443"}
    config["teleport"][TELEPORT_CLUSTER]["connected"] = False
    config["teleport"]["other.example.com"] = {
        **config["teleport"][TELEPORT_CLUSTER], "connected": True, "release": "other", "namespace": "other",
    }  # fmt: skip


@pytest.mark.parametrize("change", [_first, _by_iam, _by_uri, _let_go])
def test_what_breaks_nothing_may_follow(
    change: Callable[[dict[str, Any], dict[str, Any]], None],
    config: dict[str, Any],
    recorded: dict[str, Any],
    tmp_path: Path,
) -> None:
    change(config, recorded)
    settings = load_settings(config, ("databaseUri",) if change is _by_uri else (), root=tmp_path, stack=STACK)
    assert refusals(Ledger.parse(recorded), settings) == []


NEXT = {"generation": 2, "phase": "introduce"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tls", "refused"),
    [
        ({"algorithm": "ECDSA"}, None),
        ({"algorithm": "RSA"}, "tls.algorithm: RSA is not ECDSA, the algorithm of authority 1, whose protected key"),
        ({"algorithm": "RSA", "authority": NEXT}, "tls.authority.previousAlgorithm: RSA is not ECDSA, the algorithm"),
        ({"algorithm": "RSA", "authority": {**NEXT, "previousAlgorithm": "ECDSA"}}, None),
    ],
    ids=["the same", "another", "another for both", "another for the next"],
)
def test_an_authority_keeps_the_algorithm_that_it_was_made_with(
    tls: dict[str, Any], refused: str | None, config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    """Another algorithm would make another authority, which nobody trusts yet."""
    config["tls"] = {"mode": "generated", **tls}
    settings = load_settings(config, (), root=tmp_path, stack=STACK)
    found = [str(problem) for problem in refusals(Ledger.parse(recorded), settings)]
    assert [problem[: len(refused or "")] for problem in found] == ([] if refused is None else [refused])


@pytest.mark.slow
def test_each_authority_that_exists_is_made_and_remembered_with_its_own_algorithm(
    config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path
) -> None:
    config["tls"] = {
        "mode": "generated",
        "algorithm": "RSA",
        "authority": {**NEXT, "previousAlgorithm": "ECDSA"},
    }
    stack = again(tmp_path, config, recorded)
    keys = {number: stack[f"certificates-ca-{number}-key"].plain("algorithm") for number in (1, 2)}
    assert keys == {1: "ECDSA", 2: "RSA"}
    introduced = stack.outputs["ledger"]
    assert Ledger.parse(introduced).authority_algorithms == {1: "ECDSA", 2: "RSA"}
    config["tls"]["authority"] = {"generation": 2, "phase": "switch"}
    with pytest.raises(LedgerError, match=r"tls\.authority\.previousAlgorithm: RSA is not ECDSA, .*; set ECDSA"):
        again(tmp_path, config, introduced)


AWAITED: dict[str, dict[str, Any]] = {
    "release": {},
    "values with rollout": {"mode": "values", "rollout": {}},
    "values": {"mode": "values"},
    "manual": {"mode": "manual"},
}
BUNDLE = {"mode": "generated", "authorities": [], "protected": False}


@pytest.mark.parametrize(
    ("owner", "warned"), [("release", False), ("values with rollout", False), ("values", True), ("manual", True)]
)
def test_a_rollout_that_nobody_waits_for_is_warned_of_before_another_authority_signs(
    owner: str, warned: bool, tmp_path: Path
) -> None:
    found = rollout_warning(*at(tmp_path, owner, "introduce", "switch"))
    assert (found is not None) is warned
    said = f"teleport.{TELEPORT_CLUSTER}: the stack does not wait for the rollout there"
    assert not warned or str(found).startswith(said)


@pytest.mark.slow
def test_the_warning_is_said_by_the_up_itself(config: dict[str, Any], recorded: dict[str, Any], tmp_path: Path) -> None:
    as_manual(config)
    config["tls"] = {"mode": "generated", "authority": NEXT}
    introduced = again(tmp_path, config, {**recorded, "teleport": {}})
    assert not any("the stack does not wait for the rollout" in text for text in introduced.warnings)
    config["tls"]["authority"] = {"generation": 2, "phase": "switch"}
    switched = again(tmp_path, config, introduced.outputs["ledger"])
    unawaited = [text for text in switched.warnings if "the stack does not wait for the rollout" in text]
    assert [TELEPORT_CLUSTER in text for text in unawaited] == [True]


@pytest.mark.parametrize(
    ("before", "after"), [("stable", "introduce"), ("switch", "switch"), ("switch", "retire"), ("retire", "stable")]
)
def test_a_step_in_which_the_same_authority_signs_needs_no_warning(before: str, after: str, tmp_path: Path) -> None:
    assert rollout_warning(*at(tmp_path, "manual", before, after)) is None


def test_another_mode_of_the_certificate_is_warned_of_where_somebody_calls(tmp_path: Path) -> None:
    recorded, settings = at(tmp_path, "manual", "switch", "switch")
    assert recorded.trust is not None
    issued = replace(recorded, trust=replace(recorded.trust, mode="certManager"))
    assert rollout_warning(issued, settings) is not None
    assert rollout_warning(replace(issued, endpoints={}), settings) is None
    entry = settings.teleport[TELEPORT_CLUSTER].model_copy(update={"connected": False})
    assert rollout_warning(issued, replace(settings, teleport={TELEPORT_CLUSTER: entry})) is None


def test_with_the_systems_trust_it_is_each_auths_own_store_that_needs_the_next_authority(tmp_path: Path) -> None:
    found = rollout_warning(*at(tmp_path, "release", "introduce", "switch", trust="system"))
    assert "trust store of each auth" in str(found)
    assert rollout_warning(*at(tmp_path, "release", "switch", "retire", trust="system")) is None


@pytest.mark.parametrize(("owner", "warned"), [("release", False), ("manual", True)])
def test_a_name_that_the_certificate_loses_is_warned_of_where_nobody_knows_what_auth_dials(
    owner: str, warned: bool, tmp_path: Path
) -> None:
    recorded, settings = at(tmp_path, owner, "stable", "stable")
    names = settings.certificate_names
    assert names is not None
    assert name_warning(replace(recorded, certificate_names=names), settings) is None
    more = replace(
        recorded, certificate_names=(*names, "old.example.com"), namespace={"name": settings.access_graph.namespace}
    )
    found = name_warning(more, settings)
    assert (found is not None) is warned
    said = "TAG's certificate loses old.example.com; make sure first that auth dials another name"
    assert not warned or said in str(found)
    assert name_warning(replace(more, endpoints={}), settings) is None


@pytest.mark.parametrize("owner", AWAITED)
@pytest.mark.parametrize(
    ("dialled_before", "goes"),
    [
        ("teleport-access-graph.elsewhere.svc.cluster.local", True),
        ("graph-teleport-access-graph.elsewhere.svc.cluster.local", True),
        # The load balancer's name.
        ("graph.example.com", False),
    ],
)
def test_an_access_graph_that_goes_from_where_it_is_dialled_is_warned_of(
    owner: str, dialled_before: str, goes: bool, tmp_path: Path
) -> None:
    """The engine deletes the former release as the last step, whether or not auth has been given the new address by
    then."""
    recorded, settings = at(tmp_path, owner, "stable", "stable")
    moved = replace(recorded, namespace={"name": "elsewhere"}, endpoints={TELEPORT_CLUSTER: f"{dialled_before}:443"})
    found = place_warning(moved, settings)
    assert (found is not None) is (goes and owner in ("values", "manual"))
    assert found is None or "the end of this `up` removes the access graph that auth dials" in found
    assert found is None or found in warnings(moved, settings)


def test_an_access_graph_that_stays_where_it_is_dialled_is_none_that_goes(tmp_path: Path) -> None:
    recorded, settings = at(tmp_path, "manual", "stable", "stable")
    graph = settings.access_graph
    there = replace(
        recorded,
        namespace={"name": graph.namespace},
        endpoints={TELEPORT_CLUSTER: f"{graph.service_host}:443"},
    )
    assert place_warning(there, settings) is None
    renamed = replace(there, endpoints={TELEPORT_CLUSTER: f"former-{graph.service_host}:443"})
    assert place_warning(renamed, settings) is not None
    off = replace(settings, access_graph=graph.model_copy(update={"enabled": False}))
    assert place_warning(renamed, off) is None


@pytest.mark.parametrize(
    ("enabled", "before", "warned"),
    [
        (True, {"mode": "existing"}, True),
        (False, {"mode": "existing"}, False),
        (True, {"mode": "rds", "port": 6432.0}, True),
        (True, {"mode": "rds", "port": 5432.0}, False),
        (True, {"mode": "rds"}, False),
        (True, {}, False),
    ],
)
def test_a_policy_that_changes_before_the_pods_have_gone_over_is_warned_of(
    enabled: bool, before: dict[str, Any], warned: bool, tmp_path: Path
) -> None:
    config = configuration(tmp_path)
    config["accessGraph"]["networkPolicy"] = {"enabled": enabled}
    settings = load_settings(config, (), root=tmp_path, stack=STACK)
    found = egress_warning(Ledger(database=before), settings)
    assert (found is not None) is warned
    assert found is None or "first `up` with enabled false and the former database" in found


def at(directory: Path, owner: str, before: str, after: str, trust: str = "bundle") -> tuple[Ledger, Settings]:
    """What an `up` in phase `before` of the second authority left, and the settings for its phase `after`."""
    entry = AWAITED[owner]
    tls = {"mode": "generated", "trust": trust, "authority": {"generation": 2, "phase": after}}
    config = configuration(directory, tls=tls, entry={key: value for key, value in entry.items() if key != "mode"})
    if entry:
        (as_manual if owner == "manual" else as_values)(config)
    settings = load_settings(config, (), root=directory, stack=STACK)
    record = {
        "version": 1,
        "trust": BUNDLE,
        "authority": {"generation": 1 if before == "stable" else 2, "phase": before},
        "endpoints": {TELEPORT_CLUSTER: "graph.example.com:443"},
    }
    return Ledger.parse(record), settings


def _steps_of_authorities(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The problems of the authority that `after` asks for, following an `up` with `before`."""
    (tmp_path / "issuer.pem").write_text(host_authority("issuer"))
    issuer = {"mode": "existing", "name": "internal"}
    issued = {"mode": "certManager", "trustBundleFile": "issuer.pem", "issuer": issuer}

    def read(tls: dict[str, Any]) -> Settings:
        tls = {**issued, **tls} if "mode" not in tls else tls
        return load_settings(configuration(tmp_path, tls=tls), (), root=tmp_path, stack=STACK)

    settings = read(before)
    content = ledger_content(settings, {}, trust_of(settings, frozenset({"an authority"})), Ledger())
    return [str(problem) for problem in refusals(Ledger.parse(content), read(after))]


def test_an_authority_that_never_signed_may_be_exchanged_for_another(tmp_path: Path) -> None:
    """No other step could come in between: `tls.authority` exists only in mode generated."""
    trusted = {"nextAuthority": {"generation": 2}}
    for other in ({"generation": 1}, {"generation": 3}, {"generation": 2, "algorithm": "RSA"}):
        assert _steps_of_authorities(tmp_path, trusted, {"nextAuthority": other}) == []


def test_one_that_has_signed_is_trusted_as_it_is_or_by_the_bundles_file(tmp_path: Path) -> None:
    signed = {"mode": "generated", "authority": {"generation": 2, "phase": "switch"}}
    for other in ({"generation": 1}, {"generation": 2, "algorithm": "RSA"}):
        (problem,) = _steps_of_authorities(tmp_path, signed, {"nextAuthority": other})
        assert problem.startswith(
            "tls.nextAuthority: differs from the stack's own authority in phase switch of generation 2"
        )
        assert "remove it, and put the content of the output caBundle into tls.trustBundleFile" in problem
    assert _steps_of_authorities(tmp_path, signed, {}) == []
    stable = {"mode": "generated", "authority": {"generation": 2, "phase": "stable"}}
    assert _steps_of_authorities(tmp_path, stable, {"nextAuthority": {"generation": 2}}) == []


def test_the_one_that_begins_to_sign_is_the_one_that_was_trusted(tmp_path: Path) -> None:
    ahead = {"nextAuthority": {"generation": 2}}
    (problem,) = _steps_of_authorities(tmp_path, ahead, {"mode": "generated"})
    assert "tls.authority: phase stable of generation 1 is an earlier step" in problem
