"""EKS Pod Identity by a cloud part's API: associations as EKS keeps them, and the plugin that makes them."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from sandbox.cloud.landing_zone import ACCOUNT, CLUSTER, REGION
from sandbox.plugins.aws.observing_tables import POD_IDENTITY
from sandbox.plugins.aws.provider import AwsProvider
from tests.engine.aws_plugin.conftest import CREDENTIALS, Engine
from tests.engine.cloud.conftest import Cloud
from tests.engine.cloud.test_associations import ROLE, document, trust

pytestmark = pytest.mark.engine


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_an_association_lives_in_the_api_as_in_eks(cloud: Cloud) -> None:
    iam, eks = cloud.client("iam"), cloud.client("eks")
    roles = [
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust()))["Role"]["Arn"]
        for name in ("associated", "associated-later")
    ]
    where = {"clusterName": CLUSTER, "namespace": "graphs", "serviceAccount": "associated"}
    made = eks.create_pod_identity_association(**where, roleArn=roles[0], tags={"stack": "test"})["association"]
    assert {key: made[key] for key in (*where, "roleArn", "tags")} == {
        **where,
        "roleArn": roles[0],
        "tags": {"stack": "test"},
    }
    found = {"clusterName": CLUSTER, "associationId": made["associationId"]}
    assert made["associationArn"] == (
        f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{CLUSTER}/{made['associationId']}"
    )
    with pytest.raises(ClientError) as caught:
        eks.create_pod_identity_association(**where, roleArn=roles[1])
    assert code(caught) == "ResourceInUseException"

    eks.update_pod_identity_association(**found, roleArn=roles[1])
    eks.untag_resource(resourceArn=made["associationArn"], tagKeys=["stack", "missing"])
    eks.tag_resource(resourceArn=made["associationArn"], tags={"owner": "graphs"})
    read = eks.describe_pod_identity_association(**found)["association"]
    assert (read["roleArn"], read["tags"]) == (roles[1], {"owner": "graphs"})
    listed = eks.list_pod_identity_associations(**where)["associations"]
    assert [one["associationId"] for one in listed] == [made["associationId"]]
    assert eks.list_pod_identity_associations(clusterName=CLUSTER, namespace="other")["associations"] == []
    told = json.loads((cloud.home.run / "pod-identity.json").read_text())
    assert "graphs/associated" in told["serviceAccounts"]

    eks.delete_pod_identity_association(**found)
    with pytest.raises(ClientError) as caught:
        eks.describe_pod_identity_association(**found)
    assert code(caught) == "ResourceNotFoundException"


def test_the_plugin_makes_changes_and_deletes_one(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    iam = cloud.client("iam")
    first, second = (
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust()))["Role"]["Arn"]
        for name in ("by-plugin", "by-plugin-later")
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.facts["url"])
    provider = AwsProvider()
    provider.configure({"region": REGION, "allowedAccountIds": json.dumps([ACCOUNT]), **CREDENTIALS})
    engine = Engine(provider)
    where = {"clusterName": CLUSTER, "namespace": "graphs", "serviceAccount": "by-plugin"}
    made = engine.create(POD_IDENTITY, **where, roleArn=first, tags={"stack": "test"})
    assert made.id == made.outputs["associationId"]
    assert engine.diff(made, **{**where, "namespace": "other"}, roleArn=first).replaces == ["namespace"]
    made = engine.update(made, **where, roleArn=second, tags={"owner": "graphs"})
    assert (made.outputs["roleArn"], made.outputs["tagsAll"]) == (second, {"owner": "graphs"})
    engine.delete(made)


def test_an_association_needs_a_cluster_and_a_role_that_exist(cloud: Cloud) -> None:
    eks = cloud.client("eks")
    where = {"namespace": "graphs", "serviceAccount": "nobody"}
    with pytest.raises(ClientError) as caught:
        eks.create_pod_identity_association(clusterName=CLUSTER, roleArn=ROLE + "-missing", **where)
    assert code(caught) == "InvalidParameterException"
    with pytest.raises(ClientError) as caught:
        eks.create_pod_identity_association(clusterName="elsewhere", roleArn=ROLE, **where)
    assert code(caught) == "ResourceNotFoundException"
