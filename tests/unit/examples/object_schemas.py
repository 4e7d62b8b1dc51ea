"""Schemas of the objects given to engines for many environments, as tables: fields, types, and which fields are
required.

Facts of, and read from:

- Stack, Program: pulumi/pulumi-kubernetes-operator, operator/config/crd/bases/pulumi.com_stacks.yaml (commit 03a57ffde)
  and deploy/crds/pulumi.com_programs.yaml (0a08eb8a6), both of the operator's version 2; the workspace's fields:
  operator/api/auto/v1alpha1/workspace_types.go (020f7c13d).
- Deployment settings: github.com/pulumi/pulumi/sdk/v3 3.250.0, go/common/apitype/deployments.go and, for the file,
  go/common/workspace/project.go.
- Kubernetes' own kinds: the models of its Python client.

These schemas are stricter than the API server: it drops unknown fields, and here they are faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client as kubernetes

ANY = "any"


@dataclass(frozen=True)
class Object:
    """A map with these fields and no others."""

    fields: Mapping[str, Any]
    required: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ListOf:
    item: Any


@dataclass(frozen=True)
class MapOf:
    value: Any


@dataclass(frozen=True)
class OneOf:
    values: tuple[str, ...]


@dataclass(frozen=True)
class Kubernetes:
    """A model of the Kubernetes client, by name."""

    model: str
    partial: bool = False
    """Whether the object is a patch, which names only what it changes."""


STRING, BOOLEAN, INTEGER = "string", "boolean", "integer"

_REFERENCE = Object(
    {
        "type": OneOf(("Env", "FS", "Secret", "Literal")),
        "env": Object({"name": STRING}, frozenset({"name"})),
        "filesystem": Object({"path": STRING}, frozenset({"path"})),
        "literal": Object({"value": STRING}, frozenset({"value"})),
        "secret": Object({"name": STRING, "key": STRING, "namespace": STRING}, frozenset({"name", "key"})),
    },
    frozenset({"type"}),
)

_WORKSPACE = Object(
    {
        "serviceAccountName": STRING,
        "securityProfile": OneOf(("baseline", "restricted")),
        "image": STRING,
        "imagePullPolicy": OneOf(("Always", "Never", "IfNotPresent")),
        "env": ListOf(Kubernetes("V1EnvVar")),
        "envFrom": ListOf(Kubernetes("V1EnvFromSource")),
        "resources": Kubernetes("V1ResourceRequirements"),
        "podTemplate": Object(
            {
                "metadata": Object({"labels": MapOf(STRING), "annotations": MapOf(STRING)}),
                "spec": Kubernetes("V1PodSpec", partial=True),
            }
        ),
        "pulumiLogLevel": INTEGER,
    }
)

_STACK_SPEC = Object(
    {
        "backend": STRING,
        "branch": STRING,
        "commit": STRING,
        "config": ANY,
        "configRef": MapOf(
            Object({"name": STRING, "key": STRING, "json": BOOLEAN}, frozenset({"name", "key"})),
        ),
        "continueResyncOnCommitMatch": BOOLEAN,
        "destroyOnFinalize": BOOLEAN,
        "driftDetection": Object(
            {"schedules": ListOf(Object({"cron": STRING, "autoRemediate": BOOLEAN}, frozenset({"cron"})))}
        ),
        "envRefs": MapOf(_REFERENCE),
        "environment": ListOf(STRING),
        "expectNoRefreshChanges": BOOLEAN,
        "fluxSource": Object(
            {
                "dir": STRING,
                "sourceRef": Object(
                    {"apiVersion": STRING, "kind": STRING, "name": STRING}, frozenset({"apiVersion", "kind", "name"})
                ),
            },
            frozenset({"sourceRef"}),
        ),
        "gitAuth": Object(
            {
                "accessToken": _REFERENCE,
                "basicAuth": Object(
                    {"userName": _REFERENCE, "password": _REFERENCE}, frozenset({"userName", "password"})
                ),
                "sshAuth": Object({"sshPrivateKey": _REFERENCE, "password": _REFERENCE}, frozenset({"sshPrivateKey"})),
            }
        ),
        "prerequisites": ListOf(
            Object(
                {"name": STRING, "requirement": Object({"succeededWithinDuration": STRING})},
                frozenset({"name"}),
            )
        ),
        "preview": BOOLEAN,
        "programRef": Object({"name": STRING}, frozenset({"name"})),
        "projectRepo": STRING,
        "refresh": BOOLEAN,
        "repoDir": STRING,
        "resyncFrequencySeconds": INTEGER,
        "retryMaxBackoffDurationSeconds": INTEGER,
        "retryOnUpdateConflict": BOOLEAN,
        "secretsProvider": STRING,
        "secretsRef": MapOf(_REFERENCE),
        "serviceAccountName": STRING,
        "shallow": BOOLEAN,
        "stack": STRING,
        "targetDependents": BOOLEAN,
        "targets": ListOf(STRING),
        "useLocalStackOnly": BOOLEAN,
        "workspaceReclaimPolicy": OneOf(("Retain", "Delete")),
        "workspaceTemplate": Object({"metadata": ANY, "spec": _WORKSPACE}),
    },
    # Deprecated fields are left out on purpose: accessTokenSecret, envs, envSecrets, gitAuthSecret, secrets.
    frozenset({"stack"}),
)

_PROGRAM = Object(
    {
        "configuration": MapOf(
            Object({"type": OneOf(("String", "Number", "List<Number>", "List<String>")), "default": ANY})
        ),
        "outputs": MapOf(ANY),
        "packages": MapOf(STRING),
        "resources": MapOf(
            Object(
                {
                    "type": STRING,
                    "properties": MapOf(ANY),
                    "get": Object({"id": STRING, "state": MapOf(ANY)}, frozenset({"id"})),
                    "options": Object(
                        {
                            "additionalSecretOutputs": ListOf(STRING),
                            "aliases": ListOf(STRING),
                            "customTimeouts": Object({"create": STRING, "delete": STRING, "update": STRING}),
                            "deleteBeforeReplace": BOOLEAN,
                            "dependsOn": ListOf(ANY),
                            "ignoreChanges": ListOf(STRING),
                            "import": STRING,
                            "parent": ANY,
                            "protect": BOOLEAN,
                            "provider": ANY,
                            "providers": MapOf(ANY),
                            "version": STRING,
                        }
                    ),
                },
                frozenset({"type"}),
            )
        ),
        "variables": MapOf(ANY),
    }
)

_OBJECT = {"apiVersion": STRING, "kind": STRING, "metadata": Kubernetes("V1ObjectMeta")}
_NEEDED = frozenset({"apiVersion", "kind", "metadata"})
OBJECTS: Mapping[tuple[str, str], Any] = {
    ("pulumi.com/v1", "Stack"): Object({**_OBJECT, "spec": _STACK_SPEC}, _NEEDED | {"spec"}),
    ("pulumi.com/v1", "Program"): Object({**_OBJECT, "program": _PROGRAM}, _NEEDED | {"program"}),
    ("v1", "ServiceAccount"): Kubernetes("V1ServiceAccount"),
    ("v1", "ConfigMap"): Kubernetes("V1ConfigMap"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): Kubernetes("V1ClusterRoleBinding"),
}

# A value that may be secret is a string, or a map that marks the string as secret.
_SECRET = ANY
DEPLOYMENT_SETTINGS = Object(
    {
        "settings": Object(
            {
                "tag": STRING,
                "agentPoolID": STRING,
                "executorContext": Object(
                    {
                        "workingDirectory": STRING,
                        "executorRootPath": STRING,
                        "executorImage": Object(
                            {
                                "reference": STRING,
                                "credentials": Object({"username": STRING, "password": _SECRET}),
                            },
                            frozenset({"reference"}),
                        ),
                    }
                ),
                "sourceContext": Object(
                    {
                        "git": Object(
                            {
                                "repoUrl": STRING,
                                "branch": STRING,
                                "repoDir": STRING,
                                "commit": STRING,
                                "gitAuth": Object(
                                    {
                                        "accessToken": _SECRET,
                                        "sshAuth": Object({"sshPrivateKey": _SECRET, "password": _SECRET}),
                                        "basicAuth": Object({"userName": _SECRET, "password": _SECRET}),
                                    }
                                ),
                            }
                        )
                    }
                ),
                "gitHub": Object(
                    {
                        "repository": STRING,
                        "pullRequestTemplate": BOOLEAN,
                        "deployCommits": BOOLEAN,
                        "previewPullRequests": BOOLEAN,
                        "deployPullRequest": INTEGER,
                        "paths": ListOf(STRING),
                    }
                ),
                "operationContext": Object(
                    {
                        "oidc": Object(
                            {
                                "aws": Object(
                                    {
                                        "duration": STRING,
                                        "policyArns": ListOf(STRING),
                                        "roleArn": STRING,
                                        "sessionName": STRING,
                                    },
                                    frozenset({"roleArn", "sessionName"}),
                                ),
                                "azure": Object({"clientId": STRING, "tenantId": STRING, "subscriptionId": STRING}),
                                "gcp": ANY,
                            }
                        ),
                        "preRunCommands": ListOf(STRING),
                        "environmentVariables": MapOf(_SECRET),
                        "options": Object(
                            {
                                "skipInstallDependencies": BOOLEAN,
                                "skipIntermediateDeployments": BOOLEAN,
                                "shell": STRING,
                                "deleteAfterDestroy": BOOLEAN,
                                "remediateIfDriftDetected": BOOLEAN,
                            }
                        ),
                    }
                ),
            }
        )
    },
    frozenset({"settings"}),
)

_SCALARS: Mapping[str, type | tuple[type, ...]] = {"string": str, "boolean": bool, "integer": int}


def faults(value: Any, schema: Any, path: str = "") -> list[str]:
    """Everything in `value` that the schema does not allow, with its path."""
    where = path or "it"
    if schema == ANY:
        return []
    if isinstance(schema, str):
        fits = isinstance(value, _SCALARS[schema]) and isinstance(value, bool) == (schema == BOOLEAN)
        return [] if fits else [f"{where}: is no {schema}"]
    if isinstance(schema, OneOf):
        return [] if value in schema.values else [f"{where}: is none of {', '.join(schema.values)}"]
    if isinstance(schema, ListOf):
        if not isinstance(value, list):
            return [f"{where}: is no list"]
        return [fault for index, item in enumerate(value) for fault in faults(item, schema.item, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return [f"{where}: is no map"]
    if isinstance(schema, MapOf):
        return [fault for key, item in value.items() for fault in faults(item, schema.value, _joined(path, key))]
    fields, required = _of_kubernetes(schema) if isinstance(schema, Kubernetes) else (schema.fields, schema.required)
    found = [f"{_joined(path, key)}: no such field" for key in value if key not in fields]
    found += [f"{_joined(path, key)}: is required" for key in sorted(required) if key not in value]
    for key, item in value.items():
        if key in fields:
            found += faults(item, fields[key], _joined(path, key))
    return found


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _of_kubernetes(schema: Kubernetes) -> tuple[dict[str, Any], set[str]]:
    model = getattr(kubernetes, schema.model)
    fields = {
        wire: _kubernetes_type(model.openapi_types[name], partial=schema.partial)
        for name, wire in model.attribute_map.items()
    }
    needed = {model.attribute_map[name] for name, known in model.model_fields.items() if known.is_required()}
    return fields, set() if schema.partial else needed


def _kubernetes_type(text: str, *, partial: bool) -> Any:
    """The schema of a type in the client's own notation: `List[V1Volume]`, `Dict[str, str]`, `str`, `V1ObjectMeta`,
    ..."""
    scalars = {"str": STRING, "bool": BOOLEAN, "int": INTEGER}
    if text.startswith("List["):
        return ListOf(_kubernetes_type(text[5:-1], partial=partial))
    if text.startswith("Dict["):
        return MapOf(_kubernetes_type(text[5:-1].split(", ", 1)[1], partial=partial))
    if text in scalars:
        return scalars[text]
    return Kubernetes(text, partial) if hasattr(kubernetes, text) else ANY
