"""The table of symptoms: what a line in a log, an event or a container's state means, and the remedy.

`diagnose` reads the lines. A new symptom is a new row, tested with a line in which it was seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from operations.findings import WRITTEN_BACK
from operations.teleport_log import ABOUT


@dataclass(frozen=True)
class Symptom:
    """What is seen, where, and what it means. `pattern` is searched for in one line at a time."""

    pattern: re.Pattern[str]
    roles: frozenset[str]  # whose lines: auth, proxy, access-graph
    cause: str
    remedy: str
    about: bool = False
    """Whether a line of Teleport's must mention the access graph: other failures use the same words, such as those of
    an identity provider, an agent, or a scanner of a public port."""
    repeated: bool = False
    """Whether the program repeats it at each attempt while it lasts: an older line is then over."""

    def fits(self, role: str, line: str) -> bool:
        if role not in self.roles or not self.pattern.search(line):
            return False
        return not self.about or role == "access-graph" or bool(ABOUT.search(line))


def _symptom(
    pattern: str, roles: Sequence[str], cause: str, remedy: str, *, about: bool = False, repeated: bool = False
) -> Symptom:
    return Symptom(re.compile(pattern, re.IGNORECASE), frozenset(roles), cause, remedy, about, repeated)


_TELEPORT = ("auth", "proxy")
_ALL = ("auth", "proxy", "access-graph")


def _of_either(pattern: str, cause: str, remedy: str, teleports: str) -> tuple[Symptom, Symptom]:
    """A symptom of any pod. TAG's remedy is in the stack's settings, Teleport's (`teleports`) in its release's
    values."""
    return _symptom(pattern, ("access-graph",), cause, remedy), _symptom(pattern, _TELEPORT, cause, teleports)


_UNKNOWN_HOST_AUTHORITY = (
    "the access graph does not know the host CA that issued Teleport's certificate: it was rotated, or the Teleport "
    "cluster rebuilt, since the last `up`. The access graph's pods look healthy meanwhile",
    "renew the cluster's hostAuthorities (file or inline: the union of old and new), then `up`",
)

# Most precise first: the first that fits a line decides. In Teleport, only auth dials TAG.
SYMPTOMS = (
    # TAG's own words, which no other program uses.
    _symptom(r"could not find host CA", ("auth",), *_UNKNOWN_HOST_AUTHORITY, repeated=True),
    _symptom(
        r"alert unknown ca|unknown certificate authority|remote error: tls: unknown",
        ("auth",),
        *_UNKNOWN_HOST_AUTHORITY,
        about=True,
        repeated=True,
    ),
    _symptom(
        r"Unexpected end of JSON input|access[ _-]?graph did not answer",
        ("proxy",),
        "the proxy asks auth about the access graph only at its own start; the access graph did not answer then, and "
        "the proxy now backs off for up to ten minutes",
        "once auth is connected, restart the proxies: kubectl -n <namespace> rollout restart "
        "deployment/<release>-proxy",
        about=True,
    ),
    _symptom(
        r"tls error: .*x509|(postgres|pgx|:5432).*x509",
        ("access-graph",),
        "the access graph does not trust the database's certificate: it is signed by another authority, issued for "
        "another name, or outside its validity",
        "set database.caBundleFile to the authorities of the server's certificate (on RDS the region's bundle), or "
        "correct the host in the URI; then `up`",
    ),
    _symptom(
        r"certificate is (not )?valid for|is not valid for any names|hostname mismatch|doesn't match"
        r"|x509: cannot validate|relies on legacy Common Name",
        ("auth",),
        "the access graph's certificate is not for the host in access_graph.endpoint",
        "make endpoint and certificate agree (accessGraph.release, namespace, clusterDomain, tls.extraDnsNames), "
        "then `up`",
        about=True,
        repeated=True,
    ),
    _symptom(
        r"certificate has expired|certificate expired|expired or is not yet valid",
        ("auth", "access-graph"),
        "a certificate is outside of its validity: the server's, its CA's or Teleport's host CA",
        "`up` renews what the stack issued; for a host CA export the current one",
        about=True,
        repeated=True,
    ),
    _symptom(
        r"certificate signed by unknown authority|failed to verify certificate|unable to get local issuer|self-signed",
        ("auth",),
        "auth does not trust the CA of the access graph's certificate: auth read its CA file before the CA changed, or "
        "the ConfigMap has another CA",
        f"{WRITTEN_BACK}; if the ConfigMap is right, restart auth, then the proxies",
        about=True,
        repeated=True,
    ),
    _symptom(
        r"remote error: tls: (bad certificate|unknown certificate authority)",
        ("access-graph",),
        "a Teleport that calls does not trust the access graph's certificate",
        f"auth's own log says why; {WRITTEN_BACK}; then restart auth and the proxies if the ConfigMap is right",
    ),
    _symptom(
        r"access_graph\.ca|failed to read /var/run/access-graph|open /var/run/access-graph",
        ("auth",),
        "auth cannot read its CA file, and does not start without it",
        "`up --refresh` makes the ConfigMap teleport-access-graph-ca; if the access graph is to go, set "
        "accessGraph.enabled to false first",
    ),
    _symptom(
        r"licen[cs]e (does not|doesn't) include|not (licensed|entitled)|licen[cs]e.*access[ _-]?graph"
        r"|policy.*not enabled",
        _TELEPORT,
        "the licence does not cover the access graph: Teleport says so once, and does nothing",
        "get a license.pem with Identity Security, replace the Secret `license`, restart auth",
        about=True,
    ),
    _symptom(
        r"license file not found|requires a valid license file|failed to (read|open) license"
        r"|(open|stat) \S*license\.pem: |license\.pem: (permission denied|no such file)",
        ("auth",),
        "auth has no licence file",
        "kubectl -n <namespace> create secret generic license --from-file=license.pem",
    ),
    _symptom(
        r"password authentication failed|no pg_hba.conf entry|permission denied for (database|schema)|must be owner"
        r"|is not permitted to log in|(role|database) \S+ does not exist|SQLSTATE (28000|28P01|3D000)",
        ("access-graph",),
        "the database refuses the access graph's role, or does not have that role",
        "delete the access Job (kubectl -n <namespace> get jobs), and `up --refresh` runs it again; with database.mode "
        "existing correct the URI or the role's rights",
    ),
    _symptom(
        r"(no such host|connection refused|i/o timeout|no route to host|deadline exceeded).*(5432|postgres|pgx|dial)"
        # The port is the settings' (6432 in production). At 80 and 443 are EKS Pod Identity's agent and AWS's API.
        r"|(postgres|pgx|5432|database|\.rds\.|dial tcp \S+:(?!(?:80|443):)\d+:)"
        r".*(no such host|connection refused|timeout|no route|not reachable)",
        ("access-graph",),
        "the database cannot be reached from the access graph's pods",
        "look at database.network.clientSecurityGroupIds (the nodes' or pods' group), the routes, the instance",
    ),
    _symptom(
        r"unrecognized configuration parameter",
        ("access-graph",),
        "the URI has a parameter that the access graph's driver does not know and hands to the server",
        "remove all parameters but sslmode and sslrootcert from the URI",
    ),
    _symptom(
        r"access[ _-]?graph.*(no such host|connection refused|i/o timeout|deadline exceeded|unavailable)",
        _TELEPORT,
        "the access graph does not answer at its endpoint",
        "look at its own pods; from another Kubernetes cluster: its LoadBalancer, teleport.<cluster>.endpoint",
        repeated=True,
    ),
)

# What the kubelet says of an object that a pod mounts; kind and name.
MISSED = r"(secret|configmap) \"?([\w.-]+)\"? not found"
# Reasons of waiting containers and of events, matched with the kubelet's message.
OBJECT_SYMPTOMS = (
    _symptom(
        r"configmap \"?teleport-access-graph-ca\"? not found",
        _ALL,
        "the ConfigMap with the access graph's CA is gone while the values still mount it: the pod hangs in "
        "ContainerCreating",
        "`up --refresh` makes it again; to be rid of the access graph set accessGraph.enabled to false and `up` first",
    ),
    *_of_either(
        MISSED,
        "something that the pod mounts does not exist",
        "`up --refresh` makes what is the stack's; the Secrets that tls and database name are their owners' to make",
        "`up --refresh` makes what is the stack's; the rest is in the values' extraVolumes",
    ),
    *_of_either(
        r"ErrImagePull|ImagePullBackOff|[Ff]ailed to pull image|pull access denied|manifest unknown",
        "the image cannot be pulled: a version that does not exist, or a registry that wants credentials",
        "correct the chart's version, or set accessGraph.imagePullSecrets",
        "correct the chart's version, or `imagePullSecrets` among Teleport's values",
    ),
    *_of_either(
        r"OOMKilled",
        "the container ran out of memory",
        "raise accessGraph.resources.memoryLimit (the first import is hungry)",
        "raise `resources` among Teleport's values",
    ),
    _symptom(
        r"violates PodSecurity",
        _ALL,
        "the namespace enforces a pod security standard that the pod does not meet",
        "use images and charts as pinned; another owner's admission controller may strip the security context",
    ),
    *_of_either(
        r"exceeded quota: |failed quota: |(maximum|minimum) \S+ usage per (Container|Pod) is"
        r"|max limit to request ratio per (Container|Pod) is",
        "a ResourceQuota or LimitRange of the namespace does not let the pod in",
        "raise it, with room for one more pod while pods are replaced, or correct accessGraph.replicas, resources",
        "raise it, with room for one more pod while pods are replaced, or correct `resources` among Teleport's values",
    ),
    _symptom(
        r"failed calling webhook",
        _ALL,
        "an admission webhook does not answer, and the API server lets nothing in without it",
        "look at the pods and the certificate of the webhook that it names; its owner may exempt this namespace",
    ),
    *_of_either(
        r"admission webhook \S+ denied the request|denied request: ",
        "an admission policy refuses the pod",
        "meet what it asks for (labels, annotations, accessGraph.image, resources), or have its owner exempt the pod",
        "meet what it asks for by Teleport's values, or have its owner exempt the pod",
    ),
    *_of_either(
        r"FailedScheduling|Insufficient (cpu|memory)|untolerated taint",
        "no node takes the pod",
        "add nodes, or correct accessGraph.nodeSelector, tolerations, resources",
        "add nodes, or correct `nodeSelector`, `tolerations`, `resources` among Teleport's values",
    ),
    _symptom(
        r"CrashLoopBackOff",
        _ALL,
        "the container's program exits again and again",
        "its last lines say why: kubectl -n <namespace> logs --previous <pod>",
    ),
)
