"""The SDK's component provider for the components of this package, and what it has to be spared."""

from __future__ import annotations

import dataclasses
from typing import Any

from pulumi.provider.experimental.analyzer import ComponentDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider

from components.package import COMPONENTS, NAME, VERSION


class Host(ComponentProvider):
    """Constructs the components of `components/package.py` for the engine, and tells it their schema."""

    def __init__(self) -> None:
        super().__init__(list(COMPONENTS), NAME, version=VERSION)

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
