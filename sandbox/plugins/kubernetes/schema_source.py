"""Generates `kinds.json`, the compact table of built-in kinds, from the OpenAPI v3 documents of Kubernetes.

Run by hand when the pinned Kubernetes version changes: `python -m sandbox.plugins.kubernetes.schema_source DIRECTORY`,
with the `api/openapi-spec/v3` directory of the Kubernetes source. `schema.py` reads the table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

# The group versions whose kinds the stand-in supports. Left out: custom resource definitions (Pulumi names their
# properties differently), and review kinds, which only answer questions.
DOCUMENTS: Final = (
    "api__v1",
    "apis__apps__v1",
    "apis__autoscaling__v2",
    "apis__batch__v1",
    "apis__coordination.k8s.io__v1",
    "apis__networking.k8s.io__v1",
    "apis__policy__v1",
    "apis__rbac.authorization.k8s.io__v1",
    "apis__scheduling.k8s.io__v1",
    "apis__storage.k8s.io__v1",
)
TARGET: Final = Path(__file__).with_name("kinds.json")
REFERENCE: Final = "#/components/schemas/"
LEAVES: Final = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}


class Table:
    """Collects kinds and every type that their inputs reach."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Any]] = {}
        self.types: dict[str, dict[str, str]] = {}

    def add_document(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        for path, operations in document["paths"].items():
            create = operations.get("post", {})
            kind = create.get("x-kubernetes-group-version-kind")
            # `.../pods/{name}/eviction` and the like are actions on an object, not a collection of objects.
            if kind is None or "{name}" in path:
                continue
            body = create["requestBody"]["content"]["*/*"]["schema"]["$ref"].removeprefix(REFERENCE)
            version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
            self.kinds[f"{version}/{kind['kind']}"] = {
                "plural": path.rsplit("/", 1)[-1],
                "namespaced": "{namespace}" in path,
                "type": self._add_type(body, schemas, root=True),
            }

    def _add_type(self, name: str, schemas: dict[str, Any], root: bool = False) -> str:
        short = _short(name)
        if short in self.types:
            return short
        fields: dict[str, str] = {}
        self.types[short] = fields
        for field, schema in schemas[name].get("properties", {}).items():
            # A controller reports the status, so it is no input; leaving its types out keeps the table small.
            fields[field] = "any" if root and field == "status" else self._expression(schema, schemas)
        return short

    def _expression(self, schema: dict[str, Any], schemas: dict[str, Any]) -> str:
        reference = schema.get("$ref") or next(
            (part["$ref"] for part in schema.get("allOf", []) if "$ref" in part), None
        )
        if reference is not None:
            name = str(reference).removeprefix(REFERENCE)
            if name in LEAVES:
                return LEAVES[name]
            if "properties" not in schemas[name]:
                return "any"
            return "#" + self._add_type(name, schemas)
        kind = schema.get("type")
        if kind == "array":
            return f"[{self._expression(schema['items'], schemas)}"
        if kind == "object":
            items = schema.get("additionalProperties")
            return "any" if items is None else "{" + self._expression(items, schemas)
        return {"integer": "integer", "boolean": "boolean", "number": "number", "string": "string"}.get(
            str(kind), "any"
        )


def _short(name: str) -> str:
    """`io.k8s.api.apps.v1.DeploymentSpec` -> `apps.v1.DeploymentSpec`."""
    return name.removeprefix("io.k8s.").removeprefix("api.").removeprefix("apimachinery.pkg.apis.")


def build(directory: Path) -> dict[str, Any]:
    table = Table()
    for name in DOCUMENTS:
        table.add_document(json.loads((directory / f"{name}_openapi.json").read_text()))
    return {"kinds": dict(sorted(table.kinds.items())), "types": dict(sorted(table.types.items()))}


def render(table: dict[str, Any]) -> str:
    """JSON with one kind or type per line, so that a version change reads as a diff."""
    sections = []
    for section, entries in table.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(entry, sort_keys=True)}" for name, entry in entries.items()]
        sections.append(f"{json.dumps(section)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(render(build(Path(sys.argv[1]))))
