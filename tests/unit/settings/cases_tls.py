"""Every refusal of the certificate's settings, one case per row, as in `cases`."""

from __future__ import annotations

from typing import Any

from tests.samples import CERTIFICATE_FORM
from tests.unit.settings.cases import LABEL, K, R, Refusal, T

HOST = "teleport-access-graph.teleport-access-graph.svc.cluster.local"
ISSUED: dict[str, Any] = {
    "mode": "certManager",
    "issuer": {"mode": "existing", "name": "internal-ca"},
    "trustBundleFile": "authorities.pem",
}
EXISTING: dict[str, Any] = {
    "mode": "existingSecret",
    "secretName": "certificate",
    "trustBundleFile": "authorities.pem",
}
# Files that the cases name; `test_refusals` writes them.
FILES = {"authorities.pem": CERTIFICATE_FORM}


def _generated(path: str, value: Any, rule: str, remedy: str, key: str = "", **also: Any) -> Refusal:
    others = {f"tls/{name}": other for name, other in also.items()}
    return R(f"tls/{path}", value, rule, remedy, key=key, also={"tls/mode": "generated", **others})


def _in(section: dict[str, Any], path: str, value: Any, rule: str, remedy: str, key: str = "") -> Refusal:
    """A case with `value` at `path` inside `section`; Ellipsis removes the key."""
    *parents, last = path.split("/")
    inner = changed = dict(section)
    for part in parents:
        inner[part] = dict(inner.get(part, {}))
        inner = inner[part]
    inner[last] = value
    cleaned = {name: item for name, item in changed.items() if item is not ...}
    return R("tls", cleaned, rule, remedy, key=key or f"tls.{path.replace('/', '.')}")


AUTHORITY: dict[str, Any] = {"authority": {"generation": 2}}

TLS = [
    R("tls", {}, "is missing", "set generated, certManager or existingSecret", key="tls.mode"),
    R("tls", [], "is not a map", "with a mode of generated, certManager or existingSecret"),
    R("tls/mode", "genrated", "is not one of generated, certManager, existingSecret", "set generated"),
    _generated("algorithm", "ecdsa", "is not one of ECDSA, RSA", "set ECDSA"),
    _generated("caValidityHours", 23, "is not a whole number from 24", "set 24 to"),
    _generated("caEarlyRenewalHours", 0, "is not a whole number from 1 to 438000", "set 1 to"),
    _generated("caEarlyRenewalHours", 87600, "is not below the 87600 of tls.caValidityHours", "set less than 87600"),
    _generated("certificateValidityHours", 9529, "is more than 397 days", "set 1 to 9528"),
    _generated("certificateEarlyRenewalHours", 0, "is not a whole number from 1 to 9528", "set 1 to 9528"),
    _generated("certificateEarlyRenewalHours", 9528, "is not below the 9528 of tls.certificateValidityHours",
               "set less than 9528"),
    _generated("certificateValidityHours", 9000, "is not below the 9000 of tls.caValidityHours",
               "lengthen the authority's", caValidityHours=9000, caEarlyRenewalHours=8000),
    _generated("authority/generation", 0, "is not a whole number from 1 to 1000000", "set 1 to"),
    _generated("authority/phase", "introduced", "is not one of stable, introduce, switch, retire", "set introduce"),
    _generated("authority/phase", "introduce", "is the first generation, and phase introduce needs one before it",
               "set the next generation (2", key="tls.authority.generation"),
    _generated("authority/phase", "retire", "is the first generation, and phase retire", "or phase stable",
               key="tls.authority.generation"),
    _generated("authority/previousAlgorithm", "RSA", "in phase stable there is no previous authority", "remove it"),
    _generated("authority/previousAlgorithm", "DSA", "is not one of ECDSA, RSA", "set",
               **{"authority/phase": "switch", "authority/generation": 2}),
    _generated("trust", "bundel", "is not one of bundle, system", "set bundle"),
    _generated("trust", "system", "with tls.trust system Teleport gets no bundle", "or set tls.trust to bundle",
               key="tls.trustBundleFile", trustBundleFile="authorities.pem"),
    _generated("trustBundleFile", "absent.pem", "does not exist", "create the file"),
    _generated("trustBundleFile", "/authorities.pem", "is absolute", "give a path from the directory of Pulumi.yaml"),
    _generated("secretName", "certificate", "belongs to mode existingSecret, and the mode is generated",
               "set tls.mode to existingSecret"),
    _generated("issuer", {"mode": "ca"}, "belongs to mode certManager", "set tls.mode to certManager"),
    _generated("extraDnsNames", ["*.example.com"], "is a wildcard", "full DNS name", key="tls.extraDnsNames[0]"),
    _generated("extraDnsNames", ["10.0.0.1"], "is not a DNS name", "full DNS name", key="tls.extraDnsNames[0]"),
    _generated("extraDnsNames", [f"{LABEL}.example.com"], "has a label of more than 63 characters", "full DNS name",
               key="tls.extraDnsNames[0]"),
    _generated("extraDnsNames", [".".join(["d" * 50] * 6)], "has 305 characters, a DNS name has at most", "full DNS",
               key="tls.extraDnsNames[0]"),
    _generated("extraDnsNames", ["gräf.example.com"], "is not in ASCII", "xn--", key="tls.extraDnsNames[0]"),
    _generated("extraDnsNames", ["graph.example.com."], "is not a DNS name", "full DNS", key="tls.extraDnsNames[0]"),
    _generated("extraDnsNames", ["a.example.com", "a.example.com"], 'has "a.example.com" twice', "remove"),
    _generated("extraDnsNames", [HOST], "is the Service's own name", "remove it"),
    _generated("protect", "no", "is not true or false", "set true or false"),
    # cert-manager's
    _in(ISSUED, "issuer", ..., "is missing", "with a mode of existing or ca"),
    _in(ISSUED, "issuer", {"mode": "selfSigned"}, "is not one of existing, ca", "set", key="tls.issuer.mode"),
    _in(ISSUED, "issuer", {"mode": "existing"}, "is missing (the name of a Kubernetes object", "for example to",
        key="tls.issuer.name"),
    _in(ISSUED, "issuer/kind", "clusterissuer", "is not a kind of Kubernetes resource", "such as ClusterIssuer"),
    _in(ISSUED, "issuer/kind", "AWSPCAClusterIssuer",
        "is not a kind of issuer in cert-manager.io, the group in tls.issuer.group",
        "set Issuer or ClusterIssuer, or tls.issuer.group to the group of that kind"),
    _in(ISSUED, "issuer/group", "cert_manager.io", "is not a DNS name", "full DNS name"),
    _in(ISSUED, "issuer", {"mode": "ca"}, "is missing", "for example to internal-ca", key="tls.issuer.secretName"),
    _in(ISSUED, "issuer/secretName", "ca", "belongs to mode ca, and the mode is existing", "remove it"),
    _in(ISSUED, "issuer", {"mode": "ca", "secretName": "teleport-access-graph-tls"},
        "is a Secret that the stack fills in another tls.mode", "another name", key="tls.issuer.secretName"),
    _in(ISSUED, "certificateValidityHours", 9529, "is more than 397 days", "set 1 to 9528"),
    _in(ISSUED, "certificateEarlyRenewalHours", 2160, "is not below the 2160 of tls.certificateValidityHours",
        "set less than 2160"),
    _in(ISSUED, "trustBundleFile", ..., "is missing, and in mode certManager the stack does not know", "the issuer's"),
    _in(ISSUED, "trust", "system", "with tls.trust system Teleport gets no bundle", "remove it",
        key="tls.trustBundleFile"),
    _in({**ISSUED, "trustBundleFile": ..., "nextAuthority": {}}, "trust", "system", "with tls.trust system",
        "remove it", key="tls.nextAuthority"),
    _in(ISSUED, "nextAuthority/generation", 0, "is not a whole number from 1 to 1000000", "set 1 to"),
    _in(ISSUED, "nextAuthority", {"caValidityHours": 48, "caEarlyRenewalHours": 48},
        "is not below the 48 of tls.nextAuthority.caValidityHours", "set less than 48",
        key="tls.nextAuthority.caEarlyRenewalHours"),
    _in(ISSUED, "authority", {}, "belongs to mode generated, and the mode is certManager", "remove it"),
    _in(ISSUED, "reloader", "external", "is not a map", "with a mode of restarter or external"),
    _in(ISSUED, "reloader", {}, "is missing", "set restarter or external", key="tls.reloader.mode"),
    _in(ISSUED, "reloader", {"mode": "external", "image": "kubectl:1"}, "belongs to mode restarter", "remove it",
        key="tls.reloader.image"),
    _in(ISSUED, "reloader", {"mode": "restarter", "image": "kubectl"}, "names no version", "such as registry",
        key="tls.reloader.image"),
    _in(ISSUED, "reloader", {"mode": "restarter", "everyMinutes": 60}, "is not a whole number from 1 to 59",
        "set 1 to 59", key="tls.reloader.everyMinutes"),
    _in(ISSUED, "includeServiceName", False, "tls.extraDnsNames is empty", "by which Teleport dials TAG"),
    _in({**ISSUED, "extraDnsNames": ["graph.example.com"]}, "includeServiceName", False,
        "would dial a name that is not in the certificate", "with a host of tls.extraDnsNames", key=f"{K}.endpoint"),
    R(f"{T}/endpoint", f"{HOST}:443", "has a host that is not in the server certificate", "tls.extraDnsNames",
      also={"tls": {**ISSUED, "extraDnsNames": ["graph.example.com"], "includeServiceName": False}}),
    R("accessGraph/serviceType", "LoadBalancer", "has no name by which they could dial it", "tls.extraDnsNames",
      also={"tls": ISSUED}),
    # An existing Secret
    _in(EXISTING, "secretName", ..., "is missing (the name of a Kubernetes object", "for example to"),
    _in(EXISTING, "secretName", "a/b", "is not the name of a Kubernetes object", "use at most 253"),
    _in(EXISTING, "secretName", "teleport-access-graph-tls", "is a Secret that the stack fills in another tls.mode",
        "another name"),
    _in(EXISTING, "secretName", "teleport-access-graph-issued-tls", "deletes when that mode ends", "another name"),
    _in(EXISTING, "trustBundleFile", ..., "is missing, and in mode existingSecret the stack does not know",
        "system where"),
    _in(EXISTING, "trust", "system", "with tls.trust system Teleport gets no bundle", "remove it",
        key="tls.trustBundleFile"),
    _in(EXISTING, "extraDnsNames", [], "belongs to mode generated, and the mode is existingSecret", "remove it"),
    _in(EXISTING, "protect", True, "belongs to mode generated, and the mode is existingSecret", "remove it"),
]  # fmt: skip
