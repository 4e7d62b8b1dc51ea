"""The outputs are what the contract says, and the document says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.outputs_contract import OUTPUT_TYPES
from tests.unit.monitor import Recording, Secret
from tests.unit.program.stack import ROOT, configuration, run_program

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
