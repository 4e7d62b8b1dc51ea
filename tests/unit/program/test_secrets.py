"""Secrets are in an envelope wherever they occur, and appear nowhere else in any form."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from components.database_uri import DatabaseUriError
from components.teleport_args import SecretValuesConflict
from tests.samples import TELEPORT_CLUSTER
from tests.unit.model.certificates import authority
from tests.unit.monitor import PROJECT, STACK, Recording, Secret, leaves, unsealed
from tests.unit.program.stack import COMPUTED, configuration, host_authority, run_program

LOGIN_PASSWORD = "canary-password-database-access-login-a-0123456789abcdef0123456789"
SERVER_KEY = "-----BEGIN canary key certificates-server-key-----"
AUTHORITY_KEY = "-----BEGIN canary key certificates-ca-1-key-----"
DIGEST_KEY = "canary-password-digest-key-"

# Where each secret may be, always in an envelope: in the data of a Secret, or in an input of the resource that needs
# it.
PLACES = {
    LOGIN_PASSWORD: {("credentials-postgres", "stringData.uri")},
    SERVER_KEY: {("credentials-tls", "stringData.tls.key"), ("certificates-server-request", "privateKeyPem")},
    AUTHORITY_KEY: {("certificates-ca-1", "privateKeyPem"), ("certificates-server", "caPrivateKeyPem")},
    DIGEST_KEY: set(),
}


def occurrences(stack: Recording, text: str) -> dict[tuple[str, str], bool]:
    """Every input that contains `text`, plain or percent-encoded: (resource, path) -> whether it is in an envelope."""
    found = {}
    for registration in stack.registrations:
        for path, value, secret in leaves(registration.inputs):
            if isinstance(value, str) and (text in value or quote(text, safe="") in value):
                found[registration.name, path] = secret
    return found


def secret_outputs(stack: Recording) -> set[str]:
    """Names of the stack's outputs that contain an envelope."""
    return {name for name, value in stack.outputs.items() if any(secret for _, _, secret in leaves(value))}


def test_each_secret_is_just_where_it_is_needed_and_always_in_an_envelope(stack: Recording) -> None:
    for text, places in PLACES.items():
        found = occurrences(stack, text)
        assert set(found) == places, text
        assert all(found.values()), found


def test_no_plugin_secret_is_in_clear_in_any_request_or_output(stack: Recording) -> None:
    everything = {item.name: item.inputs for item in stack.registrations}
    everything |= {f"output of {name}": outputs for name, outputs in stack.component_outputs.items()}
    everything["stack outputs"] = stack.outputs
    for name, values in everything.items():
        for path, value, secret in leaves(values):
            assert secret or not (isinstance(value, str) and "canary" in value), f"{name}: {path} is in clear"


def test_the_uri_verifies_the_server_and_is_secret(stack: Recording) -> None:
    ((_path, uri, secret),) = [leaf for leaf in leaves(stack["credentials-postgres"].inputs) if leaf[0].endswith("uri")]
    assert secret
    assert uri == (
        f"postgres://access_graph_a:{LOGIN_PASSWORD}@db.abcdefghijkl.us-east-1.rds.amazonaws.com:5432/access_graph"
        "?sslmode=verify-full&sslrootcert=/var/run/database-ca/bundle.pem"
    )


def test_the_stack_exports_no_secret(stack: Recording) -> None:
    assert [path for path, _, secret in leaves(stack.outputs) if secret] == []


def test_the_release_has_no_secret_value_so_a_preview_can_show_all_of_it(stack: Recording) -> None:
    for name in ("access-graph-release", f"teleport-{TELEPORT_CLUSTER}-release"):
        assert [path for path, _, secret in leaves(stack[name].inputs) if secret] == []


@pytest.mark.slow
def test_the_digest_is_public_and_follows_what_it_is_made_of(stack: Recording, tmp_path: Path) -> None:
    """Another certificate, login or CA bundle changes the digest; the same ones give the same digest."""
    digest = stack["access-graph-release"].plain("values.podAnnotations.checksum/credentials")
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")
    again = run_program(configuration(tmp_path), tmp_path)
    assert again["access-graph-release"].plain("values.podAnnotations") == {"checksum/credentials": digest}
    (tmp_path / "authorities.pem").write_text(authority("Database"))
    for change in ({"rotation": 1}, {"caBundleFile": "authorities.pem"}):
        config = configuration(tmp_path)
        config["database"] |= change
        other = run_program(config, tmp_path)
        assert other["access-graph-release"].plain("values.podAnnotations") != {"checksum/credentials": digest}, change


@pytest.mark.slow
def test_the_digest_follows_each_run_that_retires_logins(tmp_path: Path) -> None:
    """A pod may have started with the login of an `up` that was taken back. When the same login is made anew, that pod
    must roll too."""

    def after(run: str) -> tuple[dict[str, str], str]:
        computed = {**COMPUTED, "kubernetes:batch/v1:Job": {"metadata": {"uid": run}}}
        stack = run_program(configuration(tmp_path), tmp_path, computed=computed)
        annotations = stack["access-graph-release"].plain("values.podAnnotations")
        return annotations, stack["database-logins-job"].plain("metadata.name")

    one, two = after("one"), after("two")
    assert one == after("one")
    assert one[0] != two[0]
    # And the Job that retires the others has to run again, since the former login was made to log in again.
    assert one[1] != two[1]


@pytest.mark.slow
def test_secret_helm_values_stay_in_the_envelope_and_are_patched(tmp_path: Path) -> None:
    secret_values = {TELEPORT_CLUSTER: {"auth": {"extraEnv": [{"name": "TOKEN", "value": "canary-token"}]}}}
    stack = run_program(configuration(tmp_path), tmp_path, secrets={"teleportSecretValues": secret_values})
    inputs = stack[f"teleport-{TELEPORT_CLUSTER}-release"].inputs
    ((path, _, secret),) = [leaf for leaf in leaves(inputs) if leaf[1] == "canary-token"]
    assert (path, secret) == ("values.auth.extraEnv[0].value", True)
    values = stack[f"teleport-{TELEPORT_CLUSTER}-release"].plain("values")
    assert values["auth"]["teleportConfig"]["access_graph"]["enabled"] is True
    assert [volume["name"] for volume in values["auth"]["extraVolumes"]] == ["corp-ca", "tag-ca"]
    assert "canary-token" not in str(stack.outputs)


@pytest.mark.slow
def test_what_a_refresh_reads_of_secret_helm_values_is_secret(stack: Recording, tmp_path: Path) -> None:
    """Helm's record and the live Deployment do not mark values as secret, and neither does what the plugin reads from
    them."""
    release, proxies = f"teleport-{TELEPORT_CLUSTER}-release", f"teleport-{TELEPORT_CLUSTER}-proxies"
    assert stack[release].additional_secret_outputs == stack[proxies].additional_secret_outputs == set()
    secret_values = {TELEPORT_CLUSTER: {"proxy": {"extraEnv": [{"name": "TOKEN", "value": "canary"}]}}}
    secret = run_program(configuration(tmp_path), tmp_path, secrets={"teleportSecretValues": secret_values})
    assert secret[release].additional_secret_outputs == {"values"}
    assert secret[proxies].additional_secret_outputs == {"metadata", "spec"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["release", "adopted", "values"])
def test_secret_helm_values_make_no_output_secret_but_the_one_that_has_them(mode: str, tmp_path: Path) -> None:
    """The ledger must not become secret either: the next run reads it, and everything derived from it would be hidden
    in previews."""
    entry: dict[str, Any] = {"adopt": mode == "adopted"}
    if mode == "values":
        entry = {"mode": "values", "chart": ..., "rollout": {}, "emitSecretValues": True}
    secrets = {"teleportSecretValues": {TELEPORT_CLUSTER: {"auth": {"extraEnv": [{"name": "T", "value": "canary"}]}}}}
    config = configuration(tmp_path, entry=entry)
    first = run_program(config, tmp_path, secrets=secrets)
    hidden = {"teleportMergedValues"} if mode == "values" else set()
    assert secret_outputs(first) == hidden
    # An earlier version may have written these outputs as secrets; that must not make them secret again.
    before = {name: unsealed(value) for name, value in first.outputs.items()}
    before |= {name: Secret(before[name]) for name in ("ledger", "caBundle")}
    second = run_program(config, tmp_path, secrets=secrets, stacks={f"organization/{PROJECT}/{STACK}": before})
    assert secret_outputs(second) == hidden
    assert not isinstance(second["access-graph-release"].inputs["values"], Secret)


@pytest.mark.slow
def test_a_secret_value_that_would_rename_the_cluster_is_refused_without_it(tmp_path: Path) -> None:
    secret_values = {TELEPORT_CLUSTER: {"clusterName": "canary.example.com"}}
    with pytest.raises(SecretValuesConflict) as refused:
        run_program(configuration(tmp_path), tmp_path, secrets={"teleportSecretValues": secret_values})
    assert str(refused.value).startswith(f"teleportSecretValues.{TELEPORT_CLUSTER}.clusterName: ")
    assert "canary" not in str(refused.value)


def test_a_given_database_uri_stays_secret(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    del config["aws"]
    config["database"] = {"mode": "existing"}
    uri = "postgres://graph:canary-word@db.example.com:5432/graph?sslmode=verify-full"
    stack = run_program(config, tmp_path, secrets={"databaseUri": uri})
    assert occurrences(stack, "canary-word") == {("credentials-postgres", "stringData.uri"): True}


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "value"), [("allowUnverified", True), ("caBundleFile", "authorities.pem")])
@pytest.mark.parametrize("given", [True, False])
def test_a_given_database_uri_may_ask_for_what_the_settings_allow(
    setting: str, value: Any, given: bool, tmp_path: Path
) -> None:
    """A server that is not verified, or a bundle that is mounted. Without the setting, the program refuses the URI
    before a Secret holds it."""
    (tmp_path / "authorities.pem").write_text(host_authority("internal-ca"))
    config = configuration(tmp_path, aws=..., database={"mode": "existing", **({setting: value} if given else {})})
    asked = {
        "allowUnverified": "sslmode=require",
        "caBundleFile": "sslmode=verify-full&sslrootcert=/var/run/database-ca/bundle.pem",
    }
    uri = f"postgres://graph:canary-word@db.example.com:5432/graph?{asked[setting]}"
    if given:
        assert run_program(config, tmp_path, secrets={"databaseUri": uri})["credentials-postgres"]
        return
    begun = Recording()
    with pytest.raises(DatabaseUriError):
        run_program(config, tmp_path, secrets={"databaseUri": uri}, recording=begun)
    assert "credentials-postgres" not in {item.name for item in begun.registrations}


@pytest.mark.slow
@pytest.mark.parametrize("authentication", ["password", "iam"])
def test_what_pods_have_of_a_replica_goes_after_them(authentication: str, tmp_path: Path) -> None:
    """Each is a resource of its own, which the engine deletes as the last step; none is a field of an object that
    stays."""
    config = configuration(tmp_path)
    config["database"] |= {"masterPassword": "generated", "authentication": authentication}
    without = {item.urn for item in run_program(config, tmp_path).custom()}
    config["database"]["replica"] = {}
    stack = run_program(config, tmp_path)
    suffix = {"password": "", "iam": "-iam"}[authentication]
    secret = f"credentials-postgres{suffix}-replica"
    own = {secret} | ({"database-access-client-replica-policy"} if authentication == "iam" else set())
    added = {item.name for item in stack.custom() if item.urn not in without}
    assert {name for name in added if not name.startswith("database-replica")} == own
    assert own <= stack.ancestors("access-graph-release")
    named = {"secretName": f"teleport-access-graph-postgres{suffix}-replica", "secretKey": "replica-uri"}
    assert stack["access-graph-release"].plain("values.postgres.replica") == named
    assert stack[secret].plain("metadata.name") == named["secretName"]


BY_POD_IDENTITY = {"workloadIdentity": {"mode": "podIdentity", "clusterName": "prod"}}
OTHER_ROLE = {"aws:iam/role:Role": {"arn": "arn:aws:iam::123456789012:role/platform/{name}", "name": "{name}"}}


@pytest.mark.slow
@pytest.mark.parametrize("authentication", ["iam", "password"])
def test_pods_that_log_in_by_iam_are_made_anew_for_another_identity(authentication: str, tmp_path: Path) -> None:
    """EKS gives a pod its identity when it admits the pod; a running pod would lose its login together with the former
    role. Pods that log in by password have no identity."""

    def annotations(**aws: Any) -> list[str]:
        config = configuration(tmp_path)
        config["database"]["authentication"] = authentication
        config["aws"] |= aws
        return [
            run_program(config, tmp_path, computed={**COMPUTED, **roles})["access-graph-release"].plain(
                "values.podAnnotations.checksum/credentials"
            )
            for roles in ({}, OTHER_ROLE)
        ]

    digests = {*annotations(), *annotations(**BY_POD_IDENTITY)}
    assert len(digests) == (4 if authentication == "iam" else 1)
