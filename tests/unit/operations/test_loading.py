"""What a command of `python -m operations` imports before it prints its first word."""

from __future__ import annotations

import pytest

from bench.measuring import python
from operations.cluster import Cluster
from sandbox.home import CHECKOUT
from tests.unit.operations.kubernetes_api import KubernetesApi

pytestmark = [pytest.mark.unit, pytest.mark.slow]

# Large modules that only a program which registers resources needs, and AWS's, which only few commands use.
UNWANTED = ("pulumi_kubernetes.", "pulumi_aws.rds", "pulumi_aws.ec2", "boto")


def test_no_command_waits_for_the_sdks_of_resources() -> None:
    code = f"import sys, operations.__main__; print([name for name in sys.modules if name.startswith({UNWANTED})])"
    assert python(CHECKOUT, "-c", code).output().strip() == "[]"


def test_asking_a_cluster_loads_no_models(api: KubernetesApi, cluster: Cluster) -> None:
    """The client's models are 360 classes; importing them takes half a second."""
    code = (
        "import sys; from operations.cluster import Cluster; "
        "print(Cluster.connect('test').list('Secret', 'ns'), Cluster.connect('test').version()); "
        "print([name for name in sys.modules if name.startswith('kubernetes.client.models.')])"
    )
    assert python(CHECKOUT, "-c", code).output().splitlines() == ["[] (1, 36)", "[]"]
