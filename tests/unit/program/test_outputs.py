"""The outputs are those of the contract, and the document lists the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.arguments import camel_case
from components.outputs import export_outputs
from components.outputs_contract import OUTPUT_TYPES
from components.outputs_reader import AccessGraphOutputs
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import PROJECT, STACK, Recording, Secret, record, unsealed
from tests.unit.program.stack import COMPUTED, ROOT, SELF_SIGNED, configuration, run_program

PYTHON_TYPES = {"number": int, "string": str, "list": list, "map": dict}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory = tmp_path_factory.mktemp("outputs")
    return run_program(configuration(directory), directory)


def test_every_output_is_one_of_the_contract_and_of_its_type_and_secrecy(recording: Recording) -> None:
    assert set(recording.outputs) <= set(OUTPUT_TYPES)
    for name, value in recording.outputs.items():
        assert isinstance(value, Secret) == OUTPUT_TYPES[name].secret, name
        plain = value.value if isinstance(value, Secret) else value
        assert isinstance(plain, PYTHON_TYPES[OUTPUT_TYPES[name].kind]), name


def test_the_document_has_every_output_in_order_with_its_type() -> None:
    document = Path(ROOT / "docs/outputs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (number|string|list|map)( of \w+)?(, secret)? \|", document, re.MULTILINE)
    assert [(name, kind, bool(secret)) for name, kind, _, secret in rows] == [
        (name, kind, secret) for name, (kind, secret) in OUTPUT_TYPES.items()
    ]


def test_each_output_is_what_its_object_has(recording: Recording) -> None:
    database = recording.component_outputs["database"]
    expected = {
        "serviceHost": recording["certificates-server-request"].plain("dnsNames.0"),
        "namespace": recording["namespace-namespace"].plain("metadata.name"),
        "releaseName": recording["access-graph-release"].plain("name"),
        "chartVersion": recording["access-graph-release"].plain("version"),
        "caBundle": COMPUTED[SELF_SIGNED]["certPem"],
        "caNotAfter": recording.component_outputs["certificates"]["ca_not_after"],
        "certificateNotAfter": recording.component_outputs["certificates"]["certificate_not_after"],
        "databaseEndpoint": f"{database['address']}:5432",
        "databaseName": recording["database-instance"].plain("dbName"),
        "databaseInstanceArn": database["instance_arn"],
        "databaseSecretName": recording["credentials-postgres"].plain("metadata.name"),
        "tlsSecretName": recording["credentials-tls"].plain("metadata.name"),
        "teleportValues": {
            TELEPORT_CLUSTER: unsealed(recording[f"teleport-{TELEPORT_CLUSTER}-release"].plain("values"))
        },
        "teleportFiles": {},
    }
    assert {name: recording.outputs[name] for name in expected} == expected


@pytest.mark.parametrize(("missing", "unknown"), [("ledger", None), (None, "leger")])
def test_names_that_are_not_the_contracts_are_refused(missing: str | None, unknown: str | None) -> None:
    names = {*OUTPUT_TYPES, unknown} - {missing, None, "outputsVersion", "readerRole"}
    nothing: Any = None
    with pytest.raises(ValueError, match=f"outputs: {missing or unknown} do not match the contract of version 1"):
        export_outputs({str(name): "" for name in names}, nothing)


EXISTING = {"aws": ..., "database": {"mode": "existing", "secret": {"name": "their-database"}}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "absent"),
    [
        ({}, set()),
        ({"accessGraph": {"enabled": False}}, {"releaseName", "chartVersion"}),
        (EXISTING, {"databaseEndpoint", "databaseName", "databaseInstanceArn"}),
    ],
    ids=["rds", "off", "existing"],
)
def test_whatever_an_environment_exports_the_reader_reads(
    overrides: dict[str, Any], absent: set[str], tmp_path: Path
) -> None:
    config = configuration(tmp_path, **{key: value for key, value in overrides.items() if key != "accessGraph"})
    config["accessGraph"] |= overrides.get("accessGraph", {})
    exported = run_program(config, tmp_path).outputs
    stack = f"organization/{PROJECT}/{STACK}"

    def program() -> None:
        graph = AccessGraphOutputs(stack)
        for name, kind in vars(AccessGraphOutputs).items():
            if isinstance(kind, property):
                pulumi.export(camel_case(name), getattr(graph, name))

    read = record(program, stacks={stack: exported}).outputs
    assert read == {name: value for name, value in exported.items() if name not in {"outputsVersion", "ledger"}}
    never = {"externalEndpoint", "externalAddress", "teleportMergedValues"}
    assert set(OUTPUT_TYPES) - set(exported) == absent | never
