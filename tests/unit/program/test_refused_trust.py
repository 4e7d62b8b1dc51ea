"""Changes of trust that the ledger refuses: when the program ends, nothing of the change is in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import PROJECT, STACK, Recording, Registration, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program
from tests.unit.settings.cases_tls import EXISTING, ISSUED

ITSELF = f"organization/{PROJECT}/{STACK}"
RESTARTER = {"reloader": {"mode": "restarter", "image": "registry.example.com/kubectl:1.34.2"}}
RESTARTERS = {f"certificate-restarter-{part}" for part in ("account", "role", "role-binding", "cron-job")}
AUTHORITIES = f"teleport-{TELEPORT_CLUSTER}-ca"

# For each mode: its settings, and the resources that an allowed `up` makes from them in the cluster.
MODES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "generated": ({"mode": "generated"}, {"credentials-tls", AUTHORITIES}),
    "certManager": (
        {**ISSUED, **RESTARTER},
        {"issued-certificate-certificate", AUTHORITIES, *RESTARTERS},
    ),
    "certManager, issuer made": (
        {**ISSUED, **RESTARTER, "issuer": {"mode": "ca", "secretName": "internal-ca"}},
        {"issued-certificate-issuer", "issued-certificate-certificate", AUTHORITIES, *RESTARTERS},
    ),
    "existingSecret": ({**EXISTING, **RESTARTER}, {AUTHORITIES, *RESTARTERS}),
}


def config_of(directory: Path, tls: dict[str, Any]) -> dict[str, Any]:
    (directory / "authorities.pem").write_text(host_authority("issuer"))
    database = {"mode": "existing", "secret": {"name": "database"}}
    return configuration(directory, tls=tls, database=database, aws=...)


def in_the_cluster(recording: Recording) -> set[str]:
    return {item.name for item in recording.custom() if item.type.startswith("kubernetes:")}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_refused_mode_leaves_the_cluster_its_namespace_alone(mode: str, tmp_path: Path) -> None:
    tls, made = MODES[mode]
    config = config_of(tmp_path, tls)
    assert made <= in_the_cluster(run_program(config, tmp_path))
    refuses_after(config, tmp_path, "existingSecret" if mode == "generated" else "generated", r"tls\.mode: .*differs")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["certManager", "existingSecret"])
def test_a_refused_bundle_leaves_the_cluster_its_namespace_alone(mode: str, tmp_path: Path) -> None:
    refuses_after(config_of(tmp_path, MODES[mode][0]), tmp_path, mode, r"trustBundleFile: has none of the authorities")


@pytest.mark.slow
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("certManager", "generated"),
        ("existingSecret", "generated"),
        ("certManager", "existingSecret"),
        ("existingSecret", "certManager"),
    ],
)
def test_an_authority_that_is_still_to_be_made_is_refused_before_its_key_is_made(
    before: str, after: str, preview: bool, tmp_path: Path
) -> None:
    """A preview already reports the refusal, and no `up` leaves behind a protected key that blocks the way back."""
    config = config_of(tmp_path, MODES[before][0])
    recorded = run_program(config, tmp_path)
    ahead: dict[str, Any] = {} if after == "generated" else {"nextAuthority": {}}
    error, begun = again({**config, "tls": {**MODES[after][0], **ahead}}, tmp_path, recorded, preview)
    assert f"tls.mode: {after} differs from {before}, the stack's present mode" in str(error)
    assert {one.name for one in begun if one.type.startswith("tls:")} == set()


@pytest.mark.slow
@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
@pytest.mark.parametrize("before", ["certManager", "existingSecret"])
def test_an_authority_that_is_trusted_ahead_may_sign(before: str, preview: bool, tmp_path: Path) -> None:
    config = config_of(tmp_path, {**MODES[before][0], "nextAuthority": {}})
    ahead = run_program(config, tmp_path)
    tls = {"mode": "generated", "trustBundleFile": "authorities.pem"}
    error, begun = again({**config, "tls": tls}, tmp_path, ahead, preview)
    assert error is None
    assert "certificates-server" in {one.name for one in begun}


@pytest.mark.slow
def test_one_that_is_trusted_ahead_brings_no_second_one_with_it(tmp_path: Path) -> None:
    """With two new authorities in the bundle, Teleport would never have been told the second."""
    config = config_of(tmp_path, {**MODES["certManager"][0], "nextAuthority": {}})
    ahead = run_program(config, tmp_path)
    authority = {"generation": 2, "phase": "introduce"}
    tls = {"mode": "generated", "authority": authority, "trustBundleFile": "authorities.pem"}
    error, begun = again({**config, "tls": tls}, tmp_path, ahead, preview=True)
    assert "tls.mode: generated differs from certManager" in str(error)
    assert {one.name for one in begun if one.type.startswith("tls:")} == set()


def again(
    config: dict[str, Any], directory: Path, before: Recording, preview: bool
) -> tuple[pulumi.RunError | None, list[Registration]]:
    """The error of another run after the `up` of `before`, and what that run registered."""
    begun = Recording()
    stacks = {ITSELF: {"ledger": unsealed(before.outputs["ledger"]), "outputsVersion": 1}}
    try:
        run_program(config, directory, stacks=stacks, recording=begun, preview=preview)
    except pulumi.RunError as error:
        return error, begun.registrations
    return None, begun.registrations


def refuses_after(config: dict[str, Any], directory: Path, mode: str, message: str) -> None:
    trust = {"mode": mode, "authorities": ["another"], "protected": False}
    begun = Recording()
    with pytest.raises(pulumi.RunError, match=message):
        run_program(
            config,
            directory,
            stacks={ITSELF: {"ledger": {"version": 1, "trust": trust}, "outputsVersion": 1}},
            recording=begun,
        )
    assert in_the_cluster(begun) == {"namespace-namespace"}
