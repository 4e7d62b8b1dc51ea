"""Any combination of settings gives objects that Kubernetes and AWS accept, no secret in clear, nothing that starts
before what it names, the outputs of the contract, and a preview that shows what the `up` does.

Each choice has tests of its own. Here one choice of each kind is drawn, with the longest names and texts allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from components.outputs_contract import OUTPUT_TYPES
from sandbox.plugins.aws.resources import violations
from tests.samples import ACCOUNT, OTHER_CLUSTER_IDENTIFIER, REGION, TELEPORT_CLUSTER
from tests.states.stacks import EXISTING_SECRET, ISSUED, TOPIC
from tests.unit.model.certificates import authority
from tests.unit.monitor import Recording, Registration, leaves, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program
from tests.unit.program.test_canaries import Canaries, hidden_in, in_clear
from tests.unit.program.test_outputs import PYTHON_TYPES
from tests.unit.program.test_preview_agrees import OPTIONS, differences, registered

pytestmark = [pytest.mark.unit, pytest.mark.slow]

Config = dict[str, Any]
Change = Callable[[Config], None]

INSTANCE = "aws:rds/instance:Instance"
OUTSIDE = "graph.example.com"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
SECOND_CLUSTER = "Second_1.example.com"


def database(**changes: Any) -> Change:
    return lambda config: config["database"].update(changes)


def existing(**changes: Any) -> Change:
    def change(config: Config) -> None:
        config.pop("aws")
        config["database"] = {"mode": "existing", **changes}

    return change


def adopted(config: Config) -> None:
    config["database"] |= {"adopt": True, "kmsKeyArn": KEY}
    network = config["database"]["network"]
    del network["subnetIds"]
    network["subnetGroupName"] = "theirs"


def by_pod_identity(config: Config) -> None:
    config["aws"]["workloadIdentity"] = {"mode": "podIdentity", "clusterName": "c" * 100}
    config["database"] |= {"authentication": "iam", "kmsKeyArn": KEY.replace(ACCOUNT, "999999999999")}


def certificate(**section: Any) -> Change:
    return lambda config: config.update(tls=section)


def entry(*removed: str, **changes: Any) -> Change:
    def change(config: Config) -> None:
        found = config["teleport"][TELEPORT_CLUSTER]
        found |= changes
        for key in removed:
            del found[key]

    return change


def two(config: Config) -> None:
    """The second Teleport: it runs in another Kubernetes cluster, and somebody else owns its Helm release."""
    config["teleport"][SECOND_CLUSTER] = {
        "mode": "values",
        "kubernetes": {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER},
        "hostAuthorities": {"mode": "inline", "certificates": [host_authority(SECOND_CLUSTER)]},
        "endpoint": f"{OUTSIDE}:443",
        "rollout": {"imagePullSecrets": ["pull.secret"]},
    }


def graph(**changes: Any) -> Change:
    return lambda config: config["accessGraph"].update(changes)


def as_long_as_it_may_be(config: Config) -> None:
    config["accessGraph"] |= {
        "namespace": "n" * 63,
        "release": "r" * 53,
        "imagePullSecrets": ["s" * 253],
        "nodeSelector": {f"{'d' * 63}.example.com/{'k' * 63}": "v" * 63},
    }
    for number, found in enumerate(config["teleport"].values()):
        if found["mode"] != "manual":
            found |= {"namespace": f"{number}-{'t' * 61}", "release": "t" * 52}
    if "aws" in config:
        config["database"] |= {"identifier": "i" * 55, "databaseName": "d" * 63, "masterUsername": "m" * 63}
        config["aws"]["iam"] = {"path": f"/{'p' * 510}/"}


def told_to_everything(config: Config) -> None:
    config["labels"] = {"example.com/team": "", f"{'d' * 63}.example.com/{'k' * 63}": "v" * 63, "sidecar": "1e3"}
    config["annotations"] = {"example.com/note": 'Ünï\n"$(HOME)" {{ .Values }} \U0001f600' + "x" * 10_000}
    config["tags"] = {f"{number:02}" + "k" * 126: "日本 ü" + "v" * 252 for number in range(40)}
    config["accessGraph"]["metrics"] = True
    config["monitoring"] = {"rules": True, "serviceMonitor": True, "labels": {"release": "prometheus"}}


# One choice of each kind is drawn; any combination is a valid configuration.
KINDS: dict[str, dict[str, Change]] = {
    "database": {
        "managed": database(profile="production", port=6432),
        "generated": database(masterPassword="generated", rotation=0, onDestroy="snapshot"),
        "replica": database(
            masterPassword="generated",
            authentication="iam",
            replica={"multiAz": True},
            notifications={"mode": "ownTopic", "emails": ["on.call@example.com"]},
            alarms={},
        ),
        "pod identity": by_pod_identity,
        "adopted": adopted,
        "snapshot": database(restore={"mode": "snapshot", "snapshotIdentifier": "rds:former-2026-01-01"}),
        "moment": database(
            restore={"mode": "pointInTime", "sourceIdentifier": "former"},
            notifications={"mode": "topic", "topicArn": TOPIC},
            onDestroy="delete",
            protect=False,
            monitoringIntervalSeconds=0,
        ),
        "secret": existing(secret={"name": "database", "key": "k" * 253}),
        "URI": existing(),
    },
    "certificate": {
        "generated": certificate(mode="generated", algorithm="RSA", extraDnsNames=[OUTSIDE]),
        "system": certificate(mode="generated", trust="system", extraDnsNames=[OUTSIDE]),
        "cert-manager": certificate(
            **ISSUED,
            issuer={"mode": "existing", "name": "a.b"},
            extraDnsNames=[OUTSIDE],
            reloader={"mode": "restarter"},
        ),
        "authority": certificate(
            **ISSUED, issuer={"mode": "ca", "secretName": "pair"}, extraDnsNames=[OUTSIDE], nextAuthority={}
        ),
        "somebody's": certificate(**EXISTING_SECRET),
    },
    "Teleport": {
        "owned": entry(auditLog={"startDate": "2026-01-31T00:00:00+14:00"}, applyReaderRole=True),
        "adopted": entry(adopt=True),
        "handed over": entry("chart", mode="values"),
        "awaited": entry("chart", mode="values", rollout={}, emitSecretValues=True),
        "manual": entry("chart", "valuesFiles", mode="manual", caPath="/etc/graph/ca.pem"),
        "disconnected": entry("hostAuthorities", connected=False),
        "none": entry(),
    },
    "second": {"none": lambda config: None, "elsewhere": two},
    "graph": {
        "usual": graph(replicas=1, tolerations=[{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]),
        "off": graph(enabled=False),
        "theirs": graph(createNamespace=False, networkPolicy={"enabled": True}),
        "kept": graph(keepNamespace=True, image="registry.example.com:5000/tag", imageDigest=f"sha256:{'0' * 64}"),
        "outside": graph(
            external={"hostname": OUTSIDE, "annotations": {"service.beta.kubernetes.io/type": "nlb"}},
            networkPolicy={"enabled": True, "clientCidrs": ["::/0"], "databaseCidrs": ["10.0.0.0/8"]},
        ),
    },
    "names": {"usual": lambda config: None, "longest": as_long_as_it_may_be},
    "metadata": {"none": lambda config: None, "all": told_to_everything},
}


def drawn(choices: dict[str, str], directory: Path) -> tuple[Config, Config, Canaries]:
    """The plain configuration, the secret one, and the canaries that must not appear anywhere in clear."""
    canaries = Canaries()
    (directory / "authorities.pem").write_text(authority("Issuer A"))
    config = configuration(directory)
    if choices["Teleport"] == "disconnected" and choices["second"] == "none":
        choices = {**choices, "graph": "off"}  # nobody would use the access graph
    for kind, changes in KINDS.items():  # in this order, whatever the order of the draw
        changes[choices[kind]](config)
    secrets: Config = {}
    if choices["database"] == "URI":
        secrets["databaseUri"] = canaries.uri
    if config["teleport"][TELEPORT_CLUSTER]["mode"] != "manual":
        secrets["teleportSecretValues"] = canaries.values
    return config, secrets, canaries


PART = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
LABEL = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)"
KEY_OF_METADATA = re.compile(rf"((?=.{{1,253}}/){PART}(\.{PART})*/)?{LABEL}")
LONGEST_NAMES = {"CronJob": 52, "Job": 63, "Namespace": 63, "Service": 63}


def kind_of(item: Registration) -> str:
    return str(item.inputs.get("kind") or item.type.rsplit(":", 1)[1])


def inner(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every map in `value`, at any depth, that has `key`."""
    if isinstance(value, dict):
        if key in value:
            yield value
        for part in value.values():
            yield from inner(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from inner(part, key)


def refused_by_kubernetes(item: Registration) -> Iterator[str]:
    inputs = unsealed(item.inputs)
    if kind_of(item) == "Release":
        return
    name = inputs["metadata"]["name"]
    if len(name) > LONGEST_NAMES.get(kind_of(item), 253) or not re.fullmatch(rf"{PART}(\.{PART})*", name):
        yield f"{item.name}: name {name}"
    for holder in inner(inputs, "metadata"):
        metadata = holder["metadata"]
        for key, value in (metadata.get("labels") or {}).items():
            if not KEY_OF_METADATA.fullmatch(key) or not re.fullmatch(f"{LABEL}?", value):
                yield f"{item.name}: label {key}={value!r}"
        for key, value in (metadata.get("annotations") or {}).items():
            if not KEY_OF_METADATA.fullmatch(key) or not isinstance(value, str):
                yield f"{item.name}: annotation {key}={value!r}"
    for pod in inner(inputs, "containers"):
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            context = {**pod["securityContext"], **container["securityContext"]}
            # The Pod Security Standard `restricted` requires this.
            safe = context["runAsNonRoot"] is True and context["allowPrivilegeEscalation"] is False
            safe = safe and context["capabilities"] == {"drop": ["ALL"]}
            if not safe or context["seccompProfile"] != {"type": "RuntimeDefault"}:
                yield f"{item.name}: container {container['name']} is not restricted"
            if any(not isinstance(one.get("value", ""), str) for one in container.get("env", ())):
                yield f"{item.name}: an environment variable of {container['name']} is no text"


def refused_by_aws(item: Registration) -> Iterator[str]:
    inputs = unsealed(item.inputs)
    yield from (f"{item.name}: {violation}" for violation in violations(item.type, inputs))
    if len(inputs.get("tags", ())) > 50:
        yield f"{item.name}: more than 50 tags"


def named_by(item: Registration) -> Iterator[tuple[str, str]]:
    """Kind and name of each object without which a pod or a release cannot start."""
    inputs = unsealed(item.inputs)
    for pod in inner(inputs.get("spec"), "containers"):
        yield "ServiceAccount", pod["serviceAccountName"]
    for holder in inner(inputs, "secretKeyRef"):
        yield "Secret", holder["secretKeyRef"]["name"]
    for holder in inner(inputs, "configMap"):
        yield "ConfigMap", holder["configMap"]["name"]
    for key, kind in (("secretName", "Secret"), ("existingSecretName", "Secret")):
        # cert-manager creates the Secrets that its objects name, or waits for them by itself.
        if kind_of(item) not in ("Certificate", "Issuer"):
            yield from ((kind, holder[key]) for holder in inner(inputs, key))


def started_too_early(stack: Recording) -> Iterator[str]:
    def place(item: Registration) -> tuple[str, str]:
        inputs = unsealed(item.inputs)
        return item.provider, str(inputs.get("namespace") or inputs["metadata"].get("namespace"))

    objects = [item for item in stack.custom() if item.type.startswith("kubernetes:")]
    made = {
        (*place(item), kind_of(item), unsealed(item.inputs)["metadata"]["name"]): item.name
        for item in objects
        if kind_of(item) != "Release"
    }
    for item in objects:
        needed = {made.get((*place(item), *named)) for named in named_by(item)}
        needed.add(made.get((item.provider, "None", "Namespace", place(item)[1])))
        yield from (f"{item.name} before {name}" for name in needed - {None} - stack.ancestors(item.name))
        waits = kind_of(item) == "Release" or item.name.endswith("-values")
        if waits and item.name.startswith("teleport-") and "access_graph" in str(item.inputs):
            yield from () if "access-graph-release" in stack.ancestors(item.name) else (f"{item.name} before TAG",)


def off_the_contract(config: Config, stack: Recording) -> Iterator[str]:
    for name, value in stack.outputs.items():
        output = OUTPUT_TYPES[name]
        if any(secret for _, _, secret in leaves(value)) != output.secret:
            yield f"secrecy of {name}"
        if not isinstance(unsealed(value), PYTHON_TYPES[output.kind]):
            yield f"type of {name}"
    there = {"releaseName": config["accessGraph"].get("enabled", True), "databaseEndpoint": "aws" in config}
    there |= {"externalEndpoint": "external" in config["accessGraph"], "ledger": True, "endpoint": True}
    yield from (f"{name} is there or not" for name, wanted in there.items() if (name in stack.outputs) != wanted)


def other_way_round(section: Any) -> Any:
    """The same section with the keys of every map in reverse order. The caller keeps the order of the Teleports."""
    if isinstance(section, dict):
        return {key: other_way_round(section[key]) for key in reversed(section)}
    return [other_way_round(item) for item in section] if isinstance(section, list) else section


# A drawn configuration is short enough to read; shrinking it to a smaller failing one would take minutes.
@settings(
    max_examples=12,
    phases=set(Phase) - {Phase.shrink},
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.fixed_dictionaries({kind: st.sampled_from(list(choices)) for kind, choices in KINDS.items()}))
def test_whatever_is_set_together_is_a_whole(tmp_path: Path, choices: dict[str, str]) -> None:
    config, secrets, canaries = drawn(choices, tmp_path)
    computed = canaries.computed()
    # If the data come from an earlier instance, the plugin reports the master user.
    computed[INSTANCE] = {**computed[INSTANCE], "username": "theirs"}
    stack = run_program(config, tmp_path, secrets=secrets, computed=computed)
    assert [where for where, text in in_clear(stack) if hidden_in(text, canaries.word)] == []
    for item in stack.custom():
        assert not item.type.startswith("kubernetes:") or list(refused_by_kubernetes(item)) == []
        assert not item.type.startswith("aws:") or list(refused_by_aws(item)) == []
    assert list(started_too_early(stack)) == []
    assert list(off_the_contract(config, stack)) == []

    turned = {key: section if key == "teleport" else other_way_round(section) for key, section in config.items()}
    shown = registered(run_program(turned, tmp_path, secrets=secrets, computed=computed, preview=True).registrations)
    done = registered(stack.registrations)
    assert shown.keys() == done.keys()
    for urn, item in shown.items():
        assert list(differences(item.inputs, done[urn].inputs, f"{item.name}: ")) == []
        assert [option for option in OPTIONS if getattr(item, option) != getattr(done[urn], option)] == [], item.name
