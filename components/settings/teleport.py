"""Settings of each Teleport cluster that uses the access graph, and of how its host CAs are learnt."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from components.settings.charts import ChartSettings
from components.settings.clusters import KubernetesSettings
from components.settings.formats import (
    UNQUOTED,
    Fingerprint,
    HostAndPort,
    KubernetesName,
    ObjectName,
    PinnedImage,
    ProjectPath,
    ReleaseName,
)
from components.settings.moments import MOMENT
from components.settings.names import DEFAULT_KUBECTL_IMAGE
from components.settings.rules import (
    DISTINCT,
    Rule,
    Section,
    Switch,
    Text,
    WholeNumber,
    at_least,
    between,
    matching,
    setting,
)
from components.settings.unions import by_mode, tag

# A host CA is about 1.3 kB; a set with room for rotations is far below.
LONGEST_PEM = 256 * 1024


def _is_certificate_text(value: str) -> bool:
    return "-----BEGIN CERTIFICATE-----" in value and "PRIVATE KEY" not in value and len(value) <= LONGEST_PEM


def _why_no_certificate(value: str) -> str | None:
    if "PRIVATE KEY" in value:
        return "holds a private key, which has no business here"
    if len(value) > LONGEST_PEM:
        return f"has {len(value)} characters, {LONGEST_PEM} are allowed"
    return None


_CERTIFICATE = Rule(
    "a certificate in PEM",
    _is_certificate_text,
    "paste the text between and with -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- as a YAML block (|)",
    _why_no_certificate,
    secret=True,
)
ClusterName = Annotated[
    Text,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?",
        "the name of a Teleport cluster",
        "give the cluster's name, which `tctl status` prints, such as teleport.example.com",
    ),
]
# The chart's Service is called as the release.
_SERVICE_NAME = matching(
    r"[a-z].*", "a name that begins with a letter, as that of the proxies' Service does", "begin it with a letter"
)
ValuesFile = Annotated[ProjectPath, matching(r".+\.ya?ml", "a YAML file", "give a path that ends in .yaml or .yml")]
HostPath = Annotated[
    Text,
    matching(
        r"(/[A-Za-z0-9_][A-Za-z0-9._-]*){2,}", "an absolute path", "give it such as /etc/teleport-access-graph/ca.pem"
    ),
]
# As errors write them: auth.extraEnv[0].value, auth.annotations["example.com/a key"].
_VALUE_PATH = r'([^\s."\[\]]+|\[".+?"\])(\.[^\s."\[\]]+|\[[0-9]+\]|\[".+?"\])*'
ValuePath = Annotated[
    Text,
    matching(_VALUE_PATH, "a dotted path of a Helm value", "give it such as auth.teleportConfig.some.key"),
]


class _HostAuthorities(Section):
    """What the settings of host CAs have, wherever those come from."""

    former: Literal["keep", "drop"] = setting(
        "keep",
        why="what becomes of host CAs that TAG accepted before and that are no longer given: keep them while a "
        "rotation may be under way, drop them once it is over",
    )
    fingerprints: Annotated[tuple[Fingerprint, ...], DISTINCT] = setting(
        (),
        why="SHA-256 of every host CA that may be given; others are refused. It also confirms a set that has none "
        "of the CAs accepted before",
    )


class InlineHostAuthorities(_HostAuthorities):
    """Host CAs that stand in the configuration itself: they are public."""

    mode: Literal["inline"] = setting(why="the certificates stand here", example="inline")
    certificates: Annotated[
        tuple[Annotated[Text, _CERTIFICATE], ...],
        at_least(1, "certificate", "add the cluster's host CA: without one TAG turns every call of Teleport away"),
    ] = setting(
        why="host CAs in PEM; while the CA is rotated, the old and the new", example=["-----BEGIN CERTIFICATE-----"]
    )


class FileHostAuthorities(_HostAuthorities):
    """Host CAs in a file of the project: the safe way through a rotation."""

    mode: Literal["file"] = setting(why="the certificates stand in a file", example="file")
    path: ProjectPath = setting(
        why="PEM, or the JSON of `tctl get cert_authorities --format=json`", example="environments/dev/host-ca.pem"
    )


class ProxyHostAuthorities(_HostAuthorities):
    """Host CAs fetched from Teleport's proxy by the program itself, at every preview."""

    mode: Literal["proxy"] = setting(
        why="the certificates are fetched; the proxy knows active keys only", example="proxy"
    )
    address: HostAndPort = setting(why="web address of the proxy", example="teleport.example.com:443")
    ca_file: ProjectPath | None = setting(
        None, why="PEM file with the authorities of the proxy's certificate; the system's otherwise"
    )


HostAuthoritySettings = Annotated[
    Annotated[InlineHostAuthorities, Tag(tag("inline"))]
    | Annotated[FileHostAuthorities, Tag(tag("file"))]
    | Annotated[ProxyHostAuthorities, Tag(tag("proxy"))],
    Discriminator(by_mode),
]


class AuditLogSettings(Section):
    """Export of Teleport's audit log to the access graph."""

    enabled: Switch = setting(True, why="whether audit events are exported")
    start_date: Annotated[Text, MOMENT] | None = setting(
        None,
        why="moment from which events are exported, RFC 3339; cannot be changed afterwards; left out, "
        "Teleport's own default",
    )


class TeleportEntry(Section):
    """What every Teleport cluster has, whoever owns it."""

    kubernetes: KubernetesSettings | None = setting(
        None, default_text="the stack's `kubernetes`", why="Kubernetes cluster that this Teleport runs in"
    )
    host_authorities: HostAuthoritySettings | None = setting(
        None, why="where this cluster's host CAs come from; required once it is connected"
    )
    connected: Switch = setting(
        True,
        why="whether this Teleport uses the access graph while `accessGraph.enabled` is true; false while a "
        "Teleport that does not exist yet is made beside others, and to disconnect this one alone",
    )
    audit_log: AuditLogSettings | None = setting(None, why="export of the audit log; left out, none")
    endpoint: HostAndPort | None = setting(
        None,
        default_text="TAG's Service",
        why="host:port by which this Teleport reaches TAG from another Kubernetes cluster",
    )


class _ChartEntry(TeleportEntry):
    namespace: Annotated[KubernetesName, UNQUOTED] = setting(
        "teleport", why="namespace of the teleport-cluster release"
    )
    release: Annotated[ReleaseName, UNQUOTED, _SERVICE_NAME] = setting(
        "teleport", why="name of the release, from which the chart derives the names of its Deployments"
    )
    values_files: Annotated[tuple[ValuesFile, ...], DISTINCT] = setting(
        (), why="values of the release, the source of truth; later files win, as with `helm -f`"
    )
    apply_reader_role: Switch = setting(
        False,
        why="whether to make the Teleport role that may read the graph, through the Teleport operator in "
        "this namespace",
    )
    allow_secret_paths: Annotated[tuple[ValuePath, ...], DISTINCT] = setting(
        (),
        why="dotted paths of values that look like secrets but are none; other such values are refused in plain files",
    )


class ReleaseTeleportSettings(_ChartEntry):
    """A teleport-cluster release that this stack owns."""

    mode: Literal["release"] = setting(why="this stack owns the release", example="release")
    chart: ChartSettings = setting(
        why="the teleport-cluster chart; its version is Teleport's",
        example={
            "repository": "https://charts.releases.teleport.dev",
            "name": "teleport-cluster",
            "version": "18.10.3",
        },
    )
    adopt: Switch = setting(False, why="whether a release that already runs is taken over, with its values")
    timeout_seconds: Annotated[WholeNumber, between(30, 3600, "seconds")] = setting(
        600, why="how long Helm waits for auth and proxies"
    )


class RolloutSettings(Section):
    """How the stack waits for somebody else's rollout: a Job in Teleport's namespace that may only look."""

    image: PinnedImage = setting(
        DEFAULT_KUBECTL_IMAGE,
        why="image with kubectl, sh, date, grep, sleep and tr; name your mirror if you mirror images",
    )
    timeout_seconds: Annotated[WholeNumber, between(60, 3600, "seconds")] = setting(
        900, why="how long the owner may take; after that the `up` fails, and the next one waits again"
    )
    image_pull_secrets: Annotated[tuple[ObjectName, ...], DISTINCT] = setting(
        (), why="names of Secrets, in Teleport's namespace, with credentials of a private registry"
    )


class ValuesTeleportSettings(_ChartEntry):
    """A release that someone else owns: the stack makes the ConfigMap and hands over the values."""

    mode: Literal["values"] = setting(why="someone else owns the release", example="values")
    rollout: RolloutSettings | None = setting(
        None,
        why="wait for the owner's rollout in each `up` that hands over something new, then restart the proxies; "
        "left out, the owner restarts them",
    )
    emit_secret_values: Switch = setting(
        False, why="whether the secret output `teleportMergedValues` has the values with the secret ones in them"
    )


class ManualTeleportSettings(TeleportEntry):
    """A Teleport without the chart: the stack emits parts of `teleport.yaml`."""

    mode: Literal["manual"] = setting(why="there is no chart", example="manual")
    ca_path: HostPath = setting(
        "/etc/teleport-access-graph/ca.pem",
        why="file on auth's hosts with the authorities of TAG's certificate; not below /var/run, which is empty "
        "after a restart",
    )


TeleportSettings = Annotated[
    Annotated[ReleaseTeleportSettings, Tag(tag("release"))]
    | Annotated[ValuesTeleportSettings, Tag(tag("values"))]
    | Annotated[ManualTeleportSettings, Tag(tag("manual"))],
    Discriminator(by_mode),
]
