"""The SDK's component provider for the components of this package, and what it has to be spared."""

from __future__ import annotations

import dataclasses
import re
import traceback
from pathlib import Path
from typing import Any

from pulumi.errors import InputPropertiesError
from pulumi.provider.experimental.analyzer import ComponentDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError

import components
from components.package import COMPONENTS, NAME, VERSION

_OURS = Path(components.__file__).parent


class Host(ComponentProvider):
    """Constructs the components of `components/package.py` for the engine, and tells it their schema."""

    def __init__(self) -> None:
        super().__init__(list(COMPONENTS), NAME, version=VERSION)

    def construct(self, name: str, resource_type: str, inputs: Any, options: Any = None) -> Any:
        """As the SDK, but that what a component refuses is one error, with the inputs by their names of the schema: of
        any other exception the engine shows the whole traceback.
        """
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as failed:
            if not _is_refusal(failed.inner):
                raise
            mapping = self._component_defs[resource_type.rpartition(":")[2]].inputs_mapping
            # As a text, and not by the input's path: beside that the engine shows its value, a secret's too.
            raise InputPropertiesError(_said(failed.inner, mapping), []) from failed.inner

    def map_inputs(self, inputs: Any, component_def: ComponentDefinition) -> Any:
        """`inputs` by their Python names.

        The SDK (3.272) asks `int()` of every whole number, which fails for one that is an Output, another component's
        port say, and leaves the others as they came. `ComponentArgs` takes both, so here they are numbers like any.
        """
        numbers = {
            name: dataclasses.replace(definition, type=PropertyType.NUMBER)
            if definition.type == PropertyType.INTEGER
            else definition
            for name, definition in component_def.inputs.items()
        }
        return super().map_inputs(inputs, dataclasses.replace(component_def, inputs=numbers))


def _is_refusal(raised: BaseException) -> bool:
    """Whether a component said so itself: what the interpreter or an SDK finds wrong is a fault, and wants its
    traceback.
    """
    last = traceback.extract_tb(raised.__traceback__)[-1]
    return _OURS in Path(last.filename).parents and (last.line or "").startswith("raise ")


def _said(refusal: Exception, mapping: dict[str, str]) -> str:
    """What a component said of its arguments: by their Python names, which `mapping` has by the names of the schema."""
    text = str(refusal)
    for schema_name, python_name in mapping.items():
        text = re.sub(rf"\b{python_name}\b", schema_name, text)
    return text
