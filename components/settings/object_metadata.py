"""Formats of labels and annotations, and which of them are not a user's to set: those that we, the charts or Kubernetes
set ourselves.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ and its sibling on annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from components.settings.names import STACK_ANNOTATION
from components.settings.rules import Frozen, Rule, Text, matching

# Kubernetes allows 256 KiB an object, keys and values together; ours and the charts' stay far below the other half.
MOST_ANNOTATION_BYTES = 128 * 1024

# What the access graph's chart and our own objects carry, and selectors count on; and what Kubernetes itself puts on
# the pods of a Job and a Deployment: the API server refuses a Job that has it otherwise (`validateGeneratedSelector`).
RESERVED_LABELS = frozenset(
    f"app.kubernetes.io/{name}" for name in ("component", "instance", "managed-by", "name", "version")
) | {"controller-uid", "job-name", "pod-template-hash"}
# Domains whose keys mean something to a controller or to this program: with them a label would do more than label.
RESERVED_DOMAINS = (
    "batch.kubernetes.io",
    "checksum",
    "deployment.kubernetes.io",
    "eks.amazonaws.com",
    "helm.sh",
    "kubectl.kubernetes.io",
    "kubernetes.io",
    "meta.helm.sh",
    "pod-security.kubernetes.io",
    "pulumi.com",
    "service.kubernetes.io",
    "teleport-access-graph",
)


def is_reserved(key: str) -> bool:
    """Whether a label or annotation of that key is set by somebody whom it would contradict."""
    domain, separator, _ = key.rpartition("/")
    return key in RESERVED_LABELS or (bool(separator) and domain in RESERVED_DOMAINS)


def metadata_bytes(values: Mapping[str, str]) -> int:
    """As Kubernetes counts them."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in values.items())


# Before the slash a name of DNS, of at most 253 characters in all.
_PART = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_KEY_PATTERN = rf"((?=[^/]{{1,253}}/){_PART}(\.{_PART})*/)?[A-Za-z0-9]([A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?"
_LABEL_VALUE = matching(
    r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?",
    "the value of a label: at most 63 letters, digits, '-', '_' and '.'",
    "shorten it, and quote what YAML takes for a number or a boolean",
)
_NOT_RESERVED = Rule(
    "a key of your own",
    lambda value: not is_reserved(value),
    "use a key of your organisation's, such as example.com/team",
    lambda value: "is set by the stack, a chart or Kubernetes itself on some of these objects",
)
_NOT_THE_STACKS = Rule(
    "the key of an annotation that is yours or your cloud's",
    lambda value: value != STACK_ANNOTATION,
    "leave it out: the stack finds its objects by it",
)
_LITTLE_ENOUGH = Rule(
    f"a map of at most {MOST_ANNOTATION_BYTES} bytes",
    lambda values: metadata_bytes(values) <= MOST_ANNOTATION_BYTES,
    "shorten it: Kubernetes allows an object 262144 bytes in all, others' annotations included",
)

# Of nodes, taints and classes; on the stack's own objects that example would be refused.
LabelKey = Annotated[Text, matching(_KEY_PATTERN, "the key of a label, such as kubernetes.io/arch")]
_ObjectLabelKey = Annotated[Text, matching(_KEY_PATTERN, "the key of a label, such as example.com/team")]
LabelValue = Annotated[Text, _LABEL_VALUE]
AnnotationKey = Annotated[Text, matching(_KEY_PATTERN, "the key of an annotation, such as example.com/team")]

ObjectLabels = Annotated[Mapping[Annotated[_ObjectLabelKey, _NOT_RESERVED], LabelValue], Frozen]
ObjectAnnotations = Annotated[Mapping[Annotated[AnnotationKey, _NOT_RESERVED], Text], _LITTLE_ENOUGH, Frozen]
# Of one object that is ours alone: a cloud's controller reads what its owner writes there.
ServiceAnnotations = Annotated[Mapping[Annotated[AnnotationKey, _NOT_THE_STACKS], Text], _LITTLE_ENOUGH, Frozen]
