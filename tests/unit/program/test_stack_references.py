"""Network values that another stack exports: used unchanged, and refused with a clear message if they are not what they
should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.stack_references import StackOutputError
from tests.samples import OIDC_PROVIDER_ARN
from tests.unit.monitor import Recording, Secret
from tests.unit.program.stack import configuration, run_program

NETWORK, CLUSTER = "acme/network/prod", "acme/cluster/prod"
SUBNETS = ["subnet-0a1b2c3d", "subnet-1a1b2c3d", "subnet-2a1b2c3d"]
OUTPUTS: dict[str, dict[str, Any]] = {
    NETWORK: {"vpcId": "vpc-0a1b2c3d", "privateSubnetIds": SUBNETS, "count": 3},
    CLUSTER: {
        "nodeSecurityGroupId": "sg-0a1b2c3d",
        "bastion": "sg-1a1b2c3d",
        "core": {"oidcProvider": {"arn": OIDC_PROVIDER_ARN}},
        "kubeconfig": Secret("canary-kubeconfig"),
    },
}
# The rule for the nodes' security group.
NODES = f"database-ingress-{CLUSTER}#nodeSecurityGroupId"


def run(directory: Path, outputs: dict[str, dict[str, Any]] = OUTPUTS, **network: Any) -> Recording:
    config = configuration(directory)
    config["aws"]["workloadIdentity"]["oidcProviderArn"] = f"stack:{CLUSTER}#core.oidcProvider.arn"
    config["database"]["network"] = {
        "vpcId": f"stack:{NETWORK}#vpcId",
        "subnetIds": [f"stack:{NETWORK}#privateSubnetIds"],
        "clientSecurityGroupIds": [f"stack:{CLUSTER}#nodeSecurityGroupId", "sg-9a9b9c9d"],
        **network,
    }
    return run_program(config, directory, stacks=outputs)


@pytest.mark.slow
def test_outputs_of_other_stacks_become_the_network_and_the_trust(tmp_path: Path) -> None:
    recording = run(tmp_path)
    assert recording["database-security-group"].inputs["vpcId"] == "vpc-0a1b2c3d"
    assert recording["database-subnet-group"].inputs["subnetIds"] == SUBNETS
    assert recording[NODES].inputs["referencedSecurityGroupId"] == "sg-0a1b2c3d"
    assert recording["database-ingress-sg-9a9b9c9d"].inputs["referencedSecurityGroupId"] == "sg-9a9b9c9d"
    assert OIDC_PROVIDER_ARN in recording["database-access-role"].inputs["assumeRolePolicy"]
    # The references are read concurrently, so in any order.
    others = [name for name in recording.references if name in OUTPUTS]
    assert sorted(others) == sorted(OUTPUTS), "each stack is read once"
    assert len(recording.references) == len(OUTPUTS) + 1, "and this one's own ledger"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clients", "rule", "field"),
    [
        ({"clientCidrs": ["10.20.4.0/22"]}, "database-ingress-10.20.4.0-22", "cidrIpv4"),
        ({"clientPrefixListIds": ["pl-0a1b2c3d"]}, "database-ingress-pl-0a1b2c3d", "prefixListId"),
    ],
)
def test_clients_may_be_blocks_or_prefix_lists_alone(
    clients: dict[str, list[str]], rule: str, field: str, tmp_path: Path
) -> None:
    """The list of security groups is then empty, which must not be refused as too short."""
    recording = run(tmp_path, clientSecurityGroupIds=[], **clients)
    (ingress,) = recording.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert ingress.name == rule
    assert [ingress.inputs[field]] in clients.values()


@pytest.mark.slow
def test_a_client_before_it_may_go_and_the_rule_of_a_reference_stays(tmp_path: Path) -> None:
    """AWS would refuse a rule that takes another's place, because the former rule exists until the end of the `up`."""
    nodes = f"stack:{CLUSTER}#nodeSecurityGroupId"
    before = run(tmp_path, clientSecurityGroupIds=[f"stack:{CLUSTER}#bastion", "sg-9a9b9c9d", nodes])
    after = run(tmp_path, clientSecurityGroupIds=[nodes])
    assert [before[name].plain("referencedSecurityGroupId") for name in rules(before)] == [
        "sg-1a1b2c3d",
        "sg-0a1b2c3d",
        "sg-9a9b9c9d",
    ]
    assert rules(after) == [NODES]
    assert after[NODES].urn == before[NODES].urn
    # Former names of the rule: by its position in the list, or by the group's id when the settings gave the same group
    # that way.
    names = [urn.rpartition("::")[2] for urn in before[NODES].aliases]
    assert names == ["database-ingress-2", f"database-ingress-{before[NODES].plain('referencedSecurityGroupId')}"]
    assert before["database-ingress-sg-9a9b9c9d"].aliases == ()


def rules(recording: Recording) -> list[str]:
    return sorted(item.name for item in recording.custom() if item.name.startswith("database-ingress-"))


@pytest.mark.slow
def test_a_client_whose_id_is_secret_hides_no_other_and_stands_in_no_name(tmp_path: Path) -> None:
    """Without the name by its id, the rule of another client would be made a second time, which AWS refuses. The state
    shows names in clear."""
    outputs = {**OUTPUTS, CLUSTER: {**OUTPUTS[CLUSTER], "bastion": Secret("sg-1a1b2c3d")}}
    clients = [f"stack:{CLUSTER}#{output}" for output in ("bastion", "nodeSecurityGroupId")]
    recording = run(tmp_path, outputs, clientSecurityGroupIds=clients)
    bastion = recording[f"database-ingress-{CLUSTER}#bastion"]
    assert bastion.inputs["referencedSecurityGroupId"] == Secret("sg-1a1b2c3d")
    assert recording[NODES].inputs["referencedSecurityGroupId"] == "sg-0a1b2c3d"
    former = [[urn.rpartition("::")[2] for urn in rule.aliases] for rule in (bastion, recording[NODES])]
    assert former == [["database-ingress-0"] * 2, ["database-ingress-1", "database-ingress-sg-0a1b2c3d"]]


@pytest.mark.slow
def test_one_secret_output_does_not_make_the_others_secret(tmp_path: Path) -> None:
    assert not isinstance(run(tmp_path)[NODES].inputs["referencedSecurityGroupId"], Secret)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            {"vpcId": f"stack:{NETWORK}#vpc"},
            r"refers to output vpc of acme/network/prod, which is not there; it has count",
        ),
        ({"vpcId": f"stack:{NETWORK}#count"}, r"\(output count of acme/network/prod\) is not text"),
        ({"vpcId": f"stack:{CLUSTER}#nodeSecurityGroupId"}, r'"sg-0a1b2c3d" \(output .*\) is not the id of a VPC'),
        ({"vpcId": "stack:acme/absent/prod#vpcId"}, "it has none, so deploy it first"),
        ({"subnetIds": [f"stack:{NETWORK}#vpcId", SUBNETS[0]]}, r"subnetIds\[0\]: .* is not the id of a subnet"),
        (
            {"subnetIds": [f"stack:{NETWORK}#privateSubnetIds", SUBNETS[0]]},
            "has 4 members, and 2 or more are needed, all different",
        ),
        (
            {"clientSecurityGroupIds": [f"stack:{CLUSTER}#nodeSecurityGroupId", "sg-0a1b2c3d"]},
            r"clientSecurityGroupIds: has 2 members, .*, all different",
        ),
        ({"clientSecurityGroupIds": [f"stack:{CLUSTER}#core.oidc.arn"]}, "refers to output core.oidc.arn"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_source(
    network: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(StackOutputError, match=words):
        run(tmp_path, **network)


@pytest.mark.slow
def test_the_name_of_a_secret_output_may_be_told_but_never_its_value(tmp_path: Path) -> None:
    with pytest.raises(StackOutputError) as refused:
        run(tmp_path, vpcId=f"stack:{CLUSTER}#vpc")
    assert "kubeconfig" in str(refused.value)
    assert "canary" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"vpcId": f"stack:{CLUSTER}#kubeconfig"}, "(output kubeconfig of acme/cluster/prod) is not the id of a VPC"),
        (
            {"clientSecurityGroupIds": [f"stack:{CLUSTER}#admin.token"]},
            "(output admin.token of acme/cluster/prod) is not the id of a security group",
        ),
    ],
)
def test_a_secret_output_that_was_named_by_mistake_is_refused_unshown(
    network: dict[str, Any], words: str, tmp_path: Path
) -> None:
    cluster = {**OUTPUTS[CLUSTER], "admin": Secret({"token": "canary-token"})}
    with pytest.raises(StackOutputError) as refused:
        run(tmp_path, {**OUTPUTS, CLUSTER: cluster}, **network)
    assert words in str(refused.value)
    assert "canary" not in str(refused.value)
