"""The SDK's component provider for the components of this package, with corrections to the SDK's behaviour."""

from __future__ import annotations

import dataclasses
import inspect
import json
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pulumi
from pulumi.errors import InputPropertiesError
from pulumi.provider.experimental.analyzer import ComponentDefinition, PropertyType
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.provider import ConstructResult
from pulumi.provider.server import ComponentInitError

import components
from components.arguments import RefusedArgumentError
from components.package import COMPONENTS, NAME, VERSION
from provider.descriptions import by_schema_names, describe

_OURS = Path(components.__file__).parent


class Host(ComponentProvider):
    """Constructs the components of `components/package.py` for the engine, and gives it their schema."""

    def __init__(self) -> None:
        super().__init__(list(COMPONENTS), NAME, version=VERSION)

    @property  # type: ignore[override]
    def schema(self) -> str:
        """The SDK's schema, described for readers of other languages. Only whoever generates an SDK asks for it, not
        whoever constructs a component, so it is not made at the start."""
        schema = json.loads(self._schema_of_sdk or "")
        for component in COMPONENTS:
            definition = self._component_defs[component.__name__]
            arguments = inspect.get_annotations(component.__init__)["args"]
            names = {**definition.outputs_mapping, **definition.inputs_mapping}
            describe(schema["resources"][f"{NAME}:index:{component.__name__}"], arguments, names)
        # Only the generator for C# does not take the packages that the schema refers to as dependencies of the SDK,
        # which then would not compile.
        schema["language"]["csharp"]["packageReferences"] = {
            f"Pulumi.{other['name'].title()}": other["version"] for other in schema["dependencies"]
        }
        return json.dumps(schema)

    @schema.setter
    def schema(self, of_sdk: str | None) -> None:
        self._schema_of_sdk = of_sdk

    def construct(self, name: str, resource_type: str, inputs: Any, options: Any = None) -> Any:
        """As the SDK, but a component's refusal becomes one error, with the inputs by their names in the schema: for
        any other exception the engine shows the whole traceback. A refusal after an Output is known comes out of the
        component's own outputs.
        """
        try:
            made = super().construct(name, resource_type, inputs, options)
        except ComponentInitError as failed:
            if not _is_refusal(failed.inner):
                raise
            raise _refusal(failed.inner, self._mapping(resource_type)) from failed.inner
        # Waits for the outputs' refusals before the engine is told the URN.
        told: pulumi.Output[bool] = pulumi.Output.from_input(
            _raise_refusal(made.state.values(), self._mapping(resource_type))
        )
        return ConstructResult(told.apply(lambda _: made.urn), made.state)

    def _mapping(self, resource_type: str) -> dict[str, str]:
        """Names in the schema -> Python names."""
        mapping: dict[str, str] = self._component_defs[resource_type.rpartition(":")[2]].inputs_mapping
        return mapping

    def map_inputs(self, inputs: Any, component_def: ComponentDefinition) -> Any:
        """`inputs` by their Python names.

        The SDK (3.272) calls `int()` on every whole number, which fails for an Output, such as another component's
        port. It leaves other numbers as they came. `ComponentArgs` takes both, so here all are declared as plain
        numbers.
        """
        numbers = {
            name: dataclasses.replace(definition, type=PropertyType.NUMBER)
            if definition.type == PropertyType.INTEGER
            else definition
            for name, definition in component_def.inputs.items()
        }
        return super().map_inputs(inputs, dataclasses.replace(component_def, inputs=numbers))


def _is_refusal(raised: BaseException) -> bool:
    """Whether a component itself raised it. An exception of the interpreter or an SDK is a fault, whose traceback is
    needed.
    """
    last = traceback.extract_tb(raised.__traceback__)[-1]
    return _OURS in Path(last.filename).parents and (last.line or "").startswith("raise ")


async def _raise_refusal(outputs: Iterable[Any], mapping: dict[str, str]) -> bool:
    """Raise a component's refusal of a value that became known, as one error. The SDK finds other failures in the
    outputs itself, and shows their traceback."""
    for output in outputs:
        known = output.urn if isinstance(output, pulumi.Resource) else pulumi.Output.from_input(output)
        try:
            await known.future()
        except Exception as failed:
            cause: BaseException = failed
            # Each resource on the way wrapped it, with all of that resource's inputs in the text.
            while cause.__cause__ is not None:
                cause = cause.__cause__
            if isinstance(cause, RefusedArgumentError):
                raise _refusal(cause, mapping) from failed
    return True


def _refusal(raised: Exception, mapping: dict[str, str]) -> InputPropertiesError:
    # As text, and not with the input's path, since the engine shows the value at a path, even a secret one.
    return InputPropertiesError(by_schema_names(str(raised), mapping), [])
