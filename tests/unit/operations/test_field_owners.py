"""Recover: field owners that the engine no longer knows, because of which the API server would refuse the next change
as a conflict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings.names import STACK_ANNOTATION
from operations.cluster import Cluster, ClusterError
from tests.unit.operations.kubernetes_api import KubernetesApi
from tests.unit.operations.recover_world import (
    ALL_RECORDED,
    NAME,
    NAMESPACE_RECORDED,
    OTHERS,
    RELEASE_RECORDED,
    Programs,
    run,
    steps,
)
from tests.unit.operations.world import put_world

pytestmark = pytest.mark.slow

FORGOTTEN, RECORDED = "pulumi-kubernetes-0123abcd", "pulumi-kubernetes-89abcdef"
MARK = {"f:template": {"f:metadata": {"f:annotations": {"f:checksum/access-graph": {}}}}}
AUTH = "/apis/apps/v1/namespaces/teleport/deployments/teleport-auth"
PROXIES = "/apis/apps/v1/namespaces/teleport/deployments/teleport-proxy"
AUTHORITIES = "/api/v1/namespaces/teleport/configmaps/teleport-access-graph-ca"
HELM = {"manager": "helm", "operation": "Update", "fieldsV1": {"f:spec": {**MARK, "f:replicas": {}}}}


def owner(name: str, **fields: Any) -> dict[str, Any]:
    return {"manager": name, "operation": "Apply", "fieldsV1": fields}


def marked(*names: str) -> list[dict[str, Any]]:
    return [owner(name, **{"f:spec": MARK}) for name in names]


def own(api: KubernetesApi, path: str, *entries: dict[str, Any], **annotations: str) -> None:
    metadata = api.objects[path]["metadata"]
    metadata |= {"managedFields": list(entries), "resourceVersion": "7"}
    metadata["annotations"] = {**metadata.get("annotations", {}), **annotations}


def managers(api: KubernetesApi, path: str) -> list[str]:
    return [entry["manager"] for entry in api.objects[path]["metadata"]["managedFields"]]


def record_mark(programs: Programs) -> None:
    mark = {"urn": "urn::proxies", "id": "teleport/teleport-proxy", "type": "kubernetes:apps/v1:DeploymentPatch"}
    programs.record({**mark, "outputs": {"__fieldManager": RECORDED}})


def test_the_owner_of_a_mark_that_was_made_and_not_recorded_is_taken_off(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The next `up` would own the same fields under another name, and the first change of a value would be refused."""
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    own(api, PROXIES, *marked(FORGOTTEN, RECORDED), HELM)
    programs.state(*ALL_RECORDED)
    record_mark(programs)
    (step,) = steps(tmp_path)
    assert step.problem == (
        f"{FORGOTTEN} owns what the stack writes in the Deployment teleport/teleport-proxy, and the state does not "
        "know that owner: the next change would be a Server-Side Apply field conflict"
    )
    assert run(tmp_path) == ["taken off"]
    assert managers(api, PROXIES) == [RECORDED, "helm"]
    assert steps(tmp_path) == []


def test_the_owner_of_auths_mark_is_taken_off_too(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    own(api, AUTH, owner(FORGOTTEN, **{"f:metadata": MARK["f:template"]["f:metadata"]}), HELM)
    programs.state(*ALL_RECORDED)
    assert run(tmp_path) == ["taken off"]
    assert managers(api, AUTH) == ["helm"]


def test_before_the_next_up_there_is_none_that_the_state_knows(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    own(api, PROXIES, *marked(FORGOTTEN), HELM)
    programs.state(*ALL_RECORDED)
    assert run(tmp_path) == ["taken off"]
    assert managers(api, PROXIES) == ["helm"]


def test_the_owner_of_a_config_map_that_outlived_its_stack_is_taken_off(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """Auth mounts the ConfigMap, so it is imported. With the old owner it would keep the authority that it has."""
    put_world(api)
    own(api, AUTHORITIES, owner(FORGOTTEN, **{"f:data": {"f:ca.pem": {}}}), **{STACK_ANNOTATION: NAME})
    programs.state(NAMESPACE_RECORDED, RELEASE_RECORDED)
    assert run(tmp_path) == ["left", "taken off"]
    # The API server ignores an empty list; a list with an empty entry removes all owners.
    assert api.objects[AUTHORITIES]["metadata"]["managedFields"] == [{}]


def test_who_owns_more_than_the_mark_is_somebody_else(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    more = {"f:spec": {**MARK, "f:replicas": {}}}
    own(api, PROXIES, owner("pulumi-kubernetes-0000aaaa", **more), owner("argocd-controller", **{"f:spec": MARK}))
    programs.state(*ALL_RECORDED)
    assert steps(tmp_path) == []


def test_of_a_teleport_that_another_stack_connects_nothing_is_taken(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    own(api, AUTHORITIES, owner(FORGOTTEN, **{"f:data": {"f:ca.pem": {}}}), **OTHERS["annotations"])
    own(api, PROXIES, *marked(FORGOTTEN))
    programs.state(*ALL_RECORDED)
    assert steps(tmp_path) == []


def test_what_has_changed_meanwhile_is_not_written_over(api: KubernetesApi, cluster: Cluster) -> None:
    put_world(api)
    own(api, PROXIES, HELM)
    found = cluster.get("Deployment", "teleport-proxy", "teleport")
    assert found is not None
    found["metadata"]["resourceVersion"] = "6"
    with pytest.raises(ClusterError, match="cannot write the owners of Deployment teleport-proxy: 422"):
        cluster.set_managed_fields("Deployment", found, [])
    assert managers(api, PROXIES) == ["helm"]


SECRET = "/api/v1/namespaces/teleport-access-graph/secrets/teleport-access-graph-tls"
MADE = {"f:metadata": {"f:annotations": {f"f:{STACK_ANNOTATION}": {}}}, "f:data": {"f:tls.crt": {}}}


def put_secret(api: KubernetesApi, *entries: dict[str, Any]) -> None:
    api.put("Secret", "teleport-access-graph-tls", "teleport-access-graph")
    own(api, SECRET, *entries, **{STACK_ANNOTATION: NAME})


def record_secret(programs: Programs, manager: str, **more: Any) -> None:
    identity = "teleport-access-graph/teleport-access-graph-tls"
    secret = {"urn": "urn::credentials-tls", "id": identity, "type": "kubernetes:core/v1:Secret"}
    programs.record({**secret, "outputs": {"__fieldManager": manager}, **more})


def test_the_former_owner_of_what_was_imported_by_hand_is_taken_off(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """As after a `pulumi state delete` and an import, or with an older state: the renewal of the certificate in this
    Secret would be refused."""
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    put_secret(api, owner(FORGOTTEN, **MADE), owner(RECORDED, **MADE))
    programs.state(*ALL_RECORDED)
    record_secret(programs, RECORDED)
    (step,) = steps(tmp_path)
    assert step.problem.startswith(
        f"{FORGOTTEN} owns what the stack writes in the Secret teleport-access-graph/teleport-access-graph-tls, "
    )
    assert run(tmp_path) == ["taken off"]
    assert managers(api, SECRET) == [RECORDED]
    assert steps(tmp_path) == []


def test_who_writes_to_a_stacks_object_and_did_not_make_it_stays(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """Another Pulumi program may patch the object."""
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    patch = {"f:metadata": {"f:labels": {"f:team": {}}}}
    put_secret(api, owner(FORGOTTEN, **patch), owner(RECORDED, **MADE))
    programs.state(*ALL_RECORDED)
    record_secret(programs, RECORDED)
    assert steps(tmp_path) == []


def test_of_what_is_still_to_be_deleted_the_owner_is_not_the_successors(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    own(api, AUTHORITIES, **{STACK_ANNOTATION: NAME})
    put_secret(api, owner(RECORDED, **MADE))
    programs.state(*ALL_RECORDED)
    record_secret(programs, RECORDED)
    record_secret(programs, FORGOTTEN, delete=True)
    assert steps(tmp_path) == []
