"""How serious each step is: red cannot be undone, amber has effects that users feel, green is due, the rest is plain.

Has the table of what is stateful, and why; `restarts` determines what restarts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from operations.preview.document import QUIET, Preview, Step
from operations.preview.property_paths import RELEASE, changed_paths
from operations.preview.restarts import Restart, restarts
from operations.preview.scrub import UNKNOWNS
from operations.value_at import value_at


class Severity(IntEnum):
    """Worst first."""

    RED = 0
    AMBER = 1
    GREEN = 2
    PLAIN = 3


@dataclass(frozen=True)
class Judgement:
    step: Step
    severity: Severity
    reason: str  # what it means; empty when plain


@dataclass(frozen=True)
class Assessment:
    """The whole preview, judged."""

    judgements: tuple[Judgement, ...]  # for each step that changes something, worst first
    restarts: tuple[Restart, ...]

    def of(self, severity: Severity) -> tuple[Judgement, ...]:
        return tuple(one for one in self.judgements if one.severity is severity)

    @property
    def worst(self) -> Severity:
        return min((one.severity for one in self.judgements), default=Severity.PLAIN)


# What is lost with a resource, by type.
_STATEFUL = {
    "aws:rds/instance:Instance": "the database with everything in it",
    "aws:rds/cluster:Cluster": "the database with everything in it",
    "aws:rds/snapshot:Snapshot": "a snapshot of the database",
    "aws:rds/clusterSnapshot:ClusterSnapshot": "a snapshot of the database",
    "aws:backup/vault:Vault": "a vault with the backups in it",
    "aws:kms/key:Key": "the key without which what it encrypted cannot be read again",
    "aws:kms/externalKey:ExternalKey": "the key without which what it encrypted cannot be read again",
    "aws:cloudwatch/logGroup:LogGroup": "the database's logs",
    "aws:secretsmanager/secret:Secret": "a secret with every version of it",
    "aws:dynamodb/table:Table": "a table with everything in it",
    "aws:ebs/volume:Volume": "a volume with everything on it",
    "aws:efs/fileSystem:FileSystem": "a file system with everything on it",
    "aws:s3/bucket:Bucket": "a bucket with everything in it",
    "aws:s3/bucketV2:BucketV2": "a bucket with everything in it",
    "kubernetes:core/v1:Namespace": "the namespace and every object in it, also those of others",
    "kubernetes:core/v1:PersistentVolume": "a volume with everything on it",
    "kubernetes:core/v1:PersistentVolumeClaim": "a volume with everything on it",
    "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition": "a kind of object, and every object of that kind",
    "kubernetes:apps/v1:StatefulSet": "a StatefulSet's pods",
    RELEASE: "a Helm release: every object of it is uninstalled",
}
_AUTHORITY = re.compile(r"-ca-(\d+)(-key)?$")
_AUTHORITY_TYPES = ("tls:index/privateKey:PrivateKey", "tls:index/selfSignedCert:SelfSignedCert")
_ISSUED = "tls:index/locallySignedCert:LocallySignedCert"
_REQUEST = "tls:index/certRequest:CertRequest"
_INSTANCE = "aws:rds/instance:Instance"
_KEY = "aws:kms/key:Key"
_SERVICE = "kubernetes:core/v1:Service"
_BALANCED = "LoadBalancer"
_ADDRESS_GOES = "a load balancer goes with its address: who dials that from outside does not get through"
_LOGS = "aws:cloudwatch/logGroup:LogGroup"
_PROVIDER = "pulumi:providers:"
# The inputs of a provider that decide in which account or cluster its resources are created.
_REACH = frozenset(
    {
        *("context", "cluster", "clusterIdentifier", "kubeconfig"),
        *("region", "profile", "accessKey", "allowedAccountIds", "assumeRoles", "endpoints"),
    }
)
# Changes of an instance that break its connections (AWS, "Settings for DB instances").
_BREAKS_CONNECTIONS = {
    "engineVersion": "another version of PostgreSQL; a major one cannot be taken back",
    "instanceClass": "another instance class",
    "identifier": "another name, hence another endpoint",
    "port": "another port",
    "caCertIdentifier": "another certificate authority",
    "parameterGroupName": "other parameters, some of which wait for a reboot",
}
_RENEWAL = "readyForRenewal"
# Reasons to reissue a certificate unchanged, because it or its authority is due.
_DUE = frozenset({_RENEWAL, "caCertPem", "caPrivateKeyPem"})

# Without discard, discard-replaced and read-replacement: they only forget what was read, which stays as it is.
_GOES = frozenset({"delete", "delete-replaced"})
_REPLACED = frozenset({"replace", "create-replacement", "import-replacement"})


def assess(preview: Preview) -> Assessment:
    """Judges every step that changes something; worst first, otherwise in the engine's order."""
    renewed = frozenset(step.urn for step in preview.changes if is_renewal(step))
    restarted = restarts(preview)
    felt: dict[str, list[str]] = {}
    for restart in restarted:
        felt.setdefault(restart.urn, []).append(str(restart))
    judged = []
    for step in preview.steps:
        severity, reason = _judge(step, preview, renewed)
        if severity is Severity.PLAIN and step.urn in felt and step.operation not in QUIET | {"import"}:
            severity, reason = Severity.AMBER, f"restarts {' and '.join(felt[step.urn])}"
        if severity < Severity.PLAIN or step.operation not in QUIET:
            judged.append(Judgement(step, severity, reason))
    return Assessment(tuple(sorted(judged, key=lambda one: one.severity)), tuple(restarted))


def is_renewal(step: Step) -> bool:
    """Whether the step renews a certificate that is due, which nobody caused."""
    return step.operation in _REPLACED and step.replace_reasons == (_RENEWAL,)


def _judge(step: Step, preview: Preview, renewed: frozenset[str]) -> tuple[Severity, str]:
    if step.operation in _GOES | _REPLACED:
        return _judge_loss(step, preview, renewed)
    if step.protected and step.new and step.new.get("protect") is not True:
        return Severity.AMBER, "its protection is lifted: a later `destroy` can delete it"
    if step.retained and step.type in _STATEFUL and step.new and step.new.get("retainOnDelete") is not True:
        return Severity.AMBER, "a later `destroy` no longer leaves it where it is, but deletes it"
    if step.operation == "update":
        return _judge_update(step)
    return Severity.PLAIN, ""


def _judge_update(step: Step) -> tuple[Severity, str]:
    if step.type == _INSTANCE:
        return _judge_instance(step)
    if (
        step.type == _KEY
        and step.old_inputs.get("isEnabled") is not False
        and step.new_inputs.get("isEnabled") is False
    ):
        return Severity.RED, "the key is disabled: RDS stops the database, and after seven days does not start it again"
    if step.type == _LOGS and (days := _shortened(step, "retentionInDays", forever=0)) is not None:
        return Severity.AMBER, f"logs of more than {days} days are deleted"
    if step.type == RELEASE:
        # TAG's own Service, which is not part of its pods.
        before, after = (value_at(inputs, "values", "service", "type") for inputs in (step.old_inputs, step.new_inputs))
        if before == _BALANCED and after not in (_BALANCED, *UNKNOWNS):
            return Severity.AMBER, _ADDRESS_GOES
    if step.type.startswith(_PROVIDER):
        reach = sorted({re.split(r"[.\[]", path, maxsplit=1)[0] for path in changed_paths(step)} & _REACH)
        if reach:
            return Severity.AMBER, f"all that is made through it may be somewhere else: its {', '.join(reach)} changes"
    return Severity.PLAIN, ""


def _shortened(step: Step, name: str, *, forever: int | None = None) -> int | None:
    """The new number of days, if it is lower than before. `forever` is the value that means no limit, and also stands
    for a missing one."""
    before, after = step.old_inputs.get(name, forever), step.new_inputs.get(name, forever)
    if not isinstance(after, (int, float)) or not isinstance(before, (int, float)) or after == forever:
        return None
    return int(after) if before == forever or after < before else None


def _judge_loss(step: Step, preview: Preview, renewed: frozenset[str]) -> tuple[Severity, str]:
    replaced = step.operation in _REPLACED
    if is_renewal(step):
        return Severity.GREEN, "a certificate's renewal: it is in the last part of its validity"
    if replaced and step.type == _ISSUED and not step.protected and (other := {*step.replace_reasons} - _DUE):
        return Severity.AMBER, f"issued again as another one{_other_names(step, preview)} (because of {_listed(other)})"
    if replaced and step.type == _ISSUED and renewed.intersection(step.dependencies):
        return Severity.GREEN, "issued again, by the renewed authority"
    if step.protected:
        verb = "replaced" if replaced else "deleted"
        return Severity.RED, f"it is protected: the engine refuses that it is {verb}"
    if step.retained and not replaced:
        return Severity.AMBER, "leaves the stack, and stays where it is: nobody looks after it from then on"
    authority = _AUTHORITY.search(step.name) if step.type in _AUTHORITY_TYPES else None
    if authority is not None:
        newest = value_at(preview.configuration, "tls", "authority", "generation")
        if not replaced and isinstance(newest, int) and int(authority.group(1)) < newest:
            return Severity.AMBER, "a retired authority's: the last step of a rotation"
        return Severity.RED, "lost: the authority that signs the access graph's certificate" + _because(step)
    if step.type.startswith(_PROVIDER):
        return Severity.RED, "the provider is replaced or gone, and with it all that was made through it" + _because(
            step
        )
    if step.type in _STATEFUL:
        return Severity.RED, f"lost: {_STATEFUL[step.type]}" + _because(step)
    if step.type == _SERVICE and value_at(step.old_inputs, "spec", "type") == _BALANCED:
        return Severity.AMBER, _ADDRESS_GOES + (", until DNS has the new one" if replaced else "") + _because(step)
    return Severity.PLAIN, ""


def _judge_instance(step: Step) -> tuple[Severity, str]:
    paths = changed_paths(step)
    if "publiclyAccessible" in paths and step.new_inputs.get("publiclyAccessible") is True:
        return Severity.RED, "the database gets an address on the internet"
    kept = _shortened(step, "backupRetentionPeriod")
    if kept == 0:
        return Severity.RED, "every automated backup of the database is deleted, and no more are made"
    felt = list(_felt(step, paths))
    if not felt:
        return Severity.PLAIN, ""
    return Severity.AMBER, "; ".join(felt)


def _felt(step: Step, paths: frozenset[str]) -> Iterator[str]:
    if "deletionProtection" in paths and step.new_inputs.get("deletionProtection") is not True:
        yield "its deletion protection is lifted"
    if "skipFinalSnapshot" in paths and step.new_inputs.get("skipFinalSnapshot") is True:
        yield "it leaves no snapshot when it is deleted"
    if kept := _shortened(step, "backupRetentionPeriod"):
        yield f"backups of more than {kept} days are deleted"
    if (
        "iamDatabaseAuthenticationEnabled" in paths
        and step.new_inputs.get("iamDatabaseAuthenticationEnabled") is not True
    ):
        yield "it refuses logins by IAM"
    broken = [text for path, text in _BREAKS_CONNECTIONS.items() if path in paths]
    if broken:
        yield "connections to the database break: " + ", ".join(broken)


def _other_names(step: Step, preview: Preview) -> str:
    """The names that the certificate's request adds and removes."""
    said = ""
    for request in preview.steps:
        if request.type == _REQUEST and request.urn in step.dependencies:
            before, after = _names(request.old_inputs), _names(request.new_inputs)
            if before is None or after is None:
                continue  # known after the apply
            said += f", without {_listed(before - after)}" if before - after else ""
            said += f", for {_listed(after - before)} too" if after - before else ""
    return said


def _names(inputs: Mapping[str, Any]) -> set[str] | None:
    names = inputs.get("dnsNames")
    return {*map(str, names)} if isinstance(names, list) and not UNKNOWNS.intersection(map(str, names)) else None


def _because(step: Step) -> str:
    reasons = _listed(step.replace_reasons)
    return f" (because of {reasons})" if reasons else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)).replace("`", "'")
