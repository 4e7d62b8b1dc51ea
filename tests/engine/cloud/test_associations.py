"""EKS Pod Identity: associations through EKS's API, and credentials for exactly the pods that have one."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from moto.core.base_backend import BackendDict
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from sandbox.cloud import neighbours, pod_identity, web_identity
from sandbox.cloud.calls import Call
from sandbox.cloud.landing_zone import ACCOUNT, CLUSTER, OIDC_ISSUER, REGION
from sandbox.cloud.pod_identity import AssociatingEKS, Publication, associations
from sandbox.cloud.pod_identity_agent import AUDIENCE, AgentServer, PodIdentityAgent
from sandbox.cloud.web_identity import ClusterTokens, Gate, Refusal
from tests.engine.cloud.test_web_identity import Cluster

pytestmark = pytest.mark.engine

ROLE = f"arn:aws:iam::{ACCOUNT}:role/graph"
CLUSTER_ARN = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
POD = {"kubernetes.io": {"pod": {"name": "graph-0", "uid": "1-2-3"}}}


def trust(**changes: Any) -> dict[str, Any]:
    """The trust policy that the program writes."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:RequestTag/eks-cluster-arn": CLUSTER_ARN,
                "aws:RequestTag/kubernetes-namespace": "graphs",
                "aws:RequestTag/kubernetes-service-account": "graph",
            }
        },
        **changes,
    }


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return tmp_path / "pod-identity.json"


@pytest.fixture
def eks(published: Path) -> Iterator[AssociatingEKS]:
    neighbours.install()
    web_identity.install()
    pod_identity.install(Publication(published, "http://127.0.0.1:1/v1/credentials"))
    iam_backends[ACCOUNT]["aws"].create_role("graph", document(trust()), "/", None, "", [], "3600")
    backend = associations()
    backend.create_cluster(CLUSTER, f"arn:aws:iam::{ACCOUNT}:role/cluster", {})
    yield backend
    BackendDict.reset()


@pytest.fixture
def agent(eks: AssociatingEKS, cluster: Cluster) -> PodIdentityAgent:
    eks.associate(CLUSTER, "graphs", "graph", ROLE, {})
    return PodIdentityAgent(ClusterTokens(cluster.keys), threading.RLock())


def token(cluster: Cluster, account: str = "graphs:graph", key: RSAKey | None = None, **changes: Any) -> str:
    return cluster.token(key, **{"aud": [AUDIENCE], "sub": f"system:serviceaccount:{account}", **POD, **changes})


def refusal(agent: PodIdentityAgent, shown: str) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        agent.credentials(shown)
    return caught.value.status, caught.value.code


def test_a_pod_of_the_account_gets_a_session_of_the_role_that_ends(agent: PodIdentityAgent, cluster: Cluster) -> None:
    found = agent.credentials(token(cluster))
    assert sorted(found) == ["AccessKeyId", "AccountId", "Expiration", "SecretAccessKey", "Token"]
    session = sts_backends[ACCOUNT]["aws"].get_assumed_role_from_access_key(found["AccessKeyId"])
    assert session is not None
    assert (session.role_arn, session.session_token) == (ROLE, found["Token"])
    assert session.session_name.startswith(f"eks-{CLUSTER}-graph-0-")
    left = time.mktime(time.strptime(found["Expiration"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
    assert 6 * 3600 - 60 < left <= 6 * 3600


def test_the_session_may_do_what_the_role_may_and_no_more(agent: PodIdentityAgent, cluster: Cluster) -> None:
    found = agent.credentials(token(cluster))
    call = Call("rds", "DescribeDBInstances", {}, found["AccessKeyId"], found["Token"], REGION, speaks_json=False)
    gate = Gate(ACCOUNT, cluster.keys)
    with pytest.raises(Refusal, match="is not authorized to perform: rds:DescribeDBInstances"):
        gate.check(call)
    allowed = {"Effect": "Allow", "Action": "rds:Describe*", "Resource": "*"}
    iam_backends[ACCOUNT]["aws"].put_role_policy("graph", "rights", document(allowed))
    gate.check(call)


@pytest.mark.parametrize("account", ["graphs:other", "other:graph", "graphs:", ""])
def test_another_accounts_pod_gets_nothing(agent: PodIdentityAgent, cluster: Cluster, account: str) -> None:
    assert refusal(agent, token(cluster, account)) == (404, "ResourceNotFoundException")


def test_a_token_that_is_not_the_clusters_for_the_agent_is_refused(agent: PodIdentityAgent, cluster: Cluster) -> None:
    assert refusal(agent, token(cluster, aud=["sts.amazonaws.com"])) == (400, "InvalidTokenException")
    assert refusal(agent, token(cluster, iss=OIDC_ISSUER + ".example")) == (400, "InvalidTokenException")
    assert refusal(agent, token(cluster, exp=int(time.time()) - 1)) == (400, "ExpiredTokenException")
    forged = RSAKey.generate_key(2048, parameters={"kid": cluster.key.kid})
    assert refusal(agent, token(cluster, key=forged)) == (400, "InvalidIdentityToken")
    assert refusal(agent, "") == (400, "InvalidIdentityToken")


@pytest.mark.parametrize(
    "statement",
    [
        trust(Principal={"Service": "ec2.amazonaws.com"}),
        trust(Action="sts:AssumeRole"),
        trust(Action="sts:TagSession"),
        trust(Condition={"StringEquals": {"aws:RequestTag/kubernetes-namespace": "other"}}),
        trust(Condition={"StringEquals": {"aws:RequestTag/eks-cluster-arn": CLUSTER_ARN + "-2"}}),
        trust(Effect="Deny"),
    ],
)
def test_the_roles_trust_has_to_let_eks_take_it_for_this_account(
    agent: PodIdentityAgent, cluster: Cluster, statement: dict[str, Any]
) -> None:
    iam_backends[ACCOUNT]["aws"].update_assume_role_policy("graph", document(statement))
    assert refusal(agent, token(cluster)) == (403, "AccessDeniedException")


def test_the_node_is_told_whose_pods_get_credentials(eks: AssociatingEKS, published: Path) -> None:
    eks.create_cluster("another", f"arn:aws:iam::{ACCOUNT}:role/cluster", {})
    mine = eks.associate(CLUSTER, "graphs", "graph", ROLE, {})
    eks.associate("another", "graphs", "elsewhere", ROLE, {})
    told = {"credentials": "http://127.0.0.1:1/v1/credentials", "serviceAccounts": ["graphs/graph"]}
    assert json.loads(published.read_text()) == told
    eks.dissociate(CLUSTER, mine.association_id)
    assert json.loads(published.read_text()) == {**told, "serviceAccounts": []}


def test_over_http_a_token_in_the_header_gives_credentials_as_json(agent: PodIdentityAgent, cluster: Cluster) -> None:
    server = AgentServer("127.0.0.1", 0, agent)
    server.start()
    try:
        request = urllib.request.Request(server.url, headers={"Authorization": token(cluster)})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            assert json.load(answer)["AccountId"] == ACCOUNT
        for url, header, status in ((server.url, "no token", 400), (server.url + "/x", token(cluster), 404)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": header}), timeout=10)
            assert caught.value.code == status
    finally:
        server.shutdown()
        server.server_close()


# Through EKS's API
