"""Every refusal of what platform teams configure: labels and annotations of objects, namespaces, digests, the external
endpoint, network policies. Rows are as in `cases`."""

from __future__ import annotations

from tests.samples import existing_configuration
from tests.unit.settings.cases import MANUAL, K, R, T
from tests.unit.settings.cases_tls import EXISTING, HOST

OUTSIDE = {"hostname": "graph.example.com"}
NAMED = {"tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]}}
POLICY = "accessGraph/networkPolicy"

OBJECTS = [
    R("labels", {"cost centre": "x"}, "is not the key of a label", "give the key", key="labels.cost centre"),
    R("labels", {"team": "a b"}, "is not the value of a label", "shorten it", key="labels.team"),
    R("labels", {"team": "x" * 64}, "is not the value of a label", "shorten it", key="labels.team"),
    R("labels", {"team": True}, "is not text", "YAML reads an unquoted", key="labels.team"),
    R("labels", {"app.kubernetes.io/name": "graph"}, "is set by the stack, a chart or Kubernetes itself",
      "such as example.com/team", key="labels.app.kubernetes.io/name"),
    R("labels", {"pod-security.kubernetes.io/enforce": "privileged"}, "is set by the stack, a chart or Kubernetes",
      "of your organisation's", key="labels.pod-security.kubernetes.io/enforce"),
    *(R("labels", {key: "x"}, "is set by the stack, a chart or Kubernetes itself", "such as example.com/team",
        key=f"labels.{key}") for key in ("controller-uid", "job-name", "pod-template-hash")),
    R("annotations", {"team/": "x"}, "is not the key of an annotation", "give the key", key="annotations.team/"),
    R("labels", {"kubernetes.io/metadata.name": "x"}, "is set by the stack, a chart or Kubernetes itself", "of your",
      key="labels.kubernetes.io/metadata.name"),
    R("labels", {"example..com/team": "x"}, "is not the key of a label", "such as example.com/team",
      key="labels.example..com/team"),
    R("annotations", {"a.-b/team": "x"}, "is not the key of an annotation", "example.com/team",
      key="annotations.a.-b/team"),
    R("annotations", {"team": 1}, "is not text", "put it in quotes", key="annotations.team"),
    R("annotations", {"checksum/credentials": "x"}, "is set by the stack, a chart or Kubernetes itself",
      "such as example.com/team", key="annotations.checksum/credentials"),
    R("annotations", {"team": "x" * 131072}, "is not a map of at most 131072 bytes",
      "Kubernetes allows an object 262144 bytes"),
]  # fmt: skip

NAMESPACE = [
    R("accessGraph/createNamespace", "no", "is not true or false", "set true or false"),
    R("accessGraph/namespace", "default", "is a namespace of Kubernetes' own", "give one for TAG",
      also={"accessGraph/createNamespace": False}),
    R("accessGraph/keepNamespace", True, "the stack has no namespace to keep", "the stack does not delete",
      also={"accessGraph/createNamespace": False}),
]  # fmt: skip

IMAGES = [
    R("accessGraph/imageDigest", "1.30.2", "is not the digest of an image", "crane digest"),
    R("accessGraph/imageDigest", f"sha256:{'A' * 64}", "in lower case", "crane digest"),
]

EXTERNAL = [
    R("accessGraph/external", {}, "is missing (a DNS name", "graph.example.com", key="accessGraph.external.hostname"),
    R("accessGraph/external", OUTSIDE, "is not a name of TAG's certificate", "add it to tls.extraDnsNames",
      key="accessGraph.external.hostname"),
    R("accessGraph/external", {**OUTSIDE, "port": 0}, "is not a whole number from 1 to 65535", "set 1 to",
      key="accessGraph.external.port", also=NAMED),
    R("accessGraph/external", {**OUTSIDE, "sourceRanges": ["10.0.0.1/8"]}, "is not written as the block 10.0.0.0/8",
      "such as 10.20.0.0/16", key="accessGraph.external.sourceRanges[0]", also=NAMED),
    R("accessGraph/external", {**OUTSIDE, "sourceRanges": ["10.0.0.1"]}, "has no prefix length",
      "such as 10.20.0.0/16", key="accessGraph.external.sourceRanges[0]", also=NAMED),
    R("accessGraph/external", {**OUTSIDE, "annotations": {"a b": "x"}}, "is not the key of an annotation", "give",
      key="accessGraph.external.annotations.a b", also=NAMED),
    R("accessGraph/external", {**OUTSIDE, "annotations": {"team": "a"}}, 'conflicts with "b" in annotations',
      "in one place",
      key="accessGraph.external.annotations.team", also={**NAMED, "annotations": {"team": "b"}}),
    R("accessGraph/external", {**OUTSIDE, "annotations": {"team": "a"}},
      "conflicts with another value in annotations", "in one place",
      key="accessGraph.external.annotations.team",
      also={**NAMED, "annotations": {"team": "postgres://team:canary@example.com"}}),
    R("accessGraph/external", {**OUTSIDE, "annotations": {"a": "x" * 70000}},
      "have more than 131072 bytes together with annot",
      "shorten either", key="accessGraph.external.annotations", also={**NAMED, "annotations": {"b": "x" * 70000}}),
    R("accessGraph/external", {**OUTSIDE, "annotations": {"teleport-access-graph/stack": "mine"}},
      "is not the key of an annotation that is yours or your cloud's", "the stack finds its objects by it",
      key="accessGraph.external.annotations.teleport-access-graph/stack", also=NAMED),
    R("accessGraph/external", {**OUTSIDE, "loadBalancerClass": "a b"}, "is not the key of a label", "give",
      key="accessGraph.external.loadBalancerClass", also=NAMED),
    R("accessGraph/external", {"hostname": HOST}, "is TAG's name inside the cluster, which nobody outside can look up",
      "give a name of your own DNS", key="accessGraph.external.hostname"),
    # An endpoint with that name means the Service, whatever the load balancer's settings say.
    R("accessGraph/external", {"hostname": HOST, "port": 8443}, "is TAG's name inside the cluster", "of your own DNS",
      key="accessGraph.external.hostname", also={f"{T}/endpoint": f"{HOST}:443"}),
    R("accessGraph/serviceType", "LoadBalancer", "makes a second load balancer", "set it to ClusterIP",
      also={**NAMED, "accessGraph/external": OUTSIDE}),
]  # fmt: skip

ON = {f"{POLICY}/enabled": True}

POLICIES = [
    R(f"{POLICY}/databaseCidrs", ["10.0.0.0/16"], "leaves databaseCidrs without effect",
      "set it to true, or remove the other keys", key="accessGraph.networkPolicy.enabled"),
    R(f"{POLICY}/clientNamespaces", ["Agents"], "is not a Kubernetes name", "use at most 63",
      key="accessGraph.networkPolicy.clientNamespaces[0]", also=ON),
    R(f"{POLICY}/clientCidrs", ["everybody"], "is not a block of IP addresses", "10.20.0.0/16",
      key="accessGraph.networkPolicy.clientCidrs[0]", also=ON),
    R(f"{POLICY}/clientCidrs", ["::ffff:a00:0/104"], "is IPv4 written as IPv6", "such as 10.20.0.0/16",
      key="accessGraph.networkPolicy.clientCidrs[0]", also=ON),
    R(f"{POLICY}/clientCidrs", ["fe80::%eth0/64"], "has a zone, so that it stands for another host", "2001:db8::/32",
      key="accessGraph.networkPolicy.clientCidrs[0]", also=ON),
    R(f"{POLICY}/databaseCidrs", ["10.0.0.0/16", "10.1.0.0/16", "10.0.0.0/16"],
      'has "10.0.0.0/16" twice, as [0] and as [2]', "remove one of",
      also=ON),
    R(f"{POLICY}/databasePort", 5433, "with database.mode rds the port is database.port", "remove it", also=ON),
    R(f"{POLICY}/databasePort", 5433, "without databaseCidrs calls to the database are not restricted",
      "set databaseCidrs to the database's blocks", base=existing_configuration, also=ON),
    R(f"{POLICY}/enable", False, "is not a setting", "did you mean enabled?"),
]  # fmt: skip

WATCH = "monitoring/lockoutWatch"
RULES = {"monitoring/rules": True}

MONITORING = [
    R("monitoring/serviceMonitor", True, "is set, and TAG serves no metrics", "set accessGraph.metrics to true"),
    R("monitoring/scrapeIntervalSeconds", 1, "is not a whole number from 5 to 3600 (seconds)", "set 5 to 3600"),
    R("monitoring/expiryDays", 30, "is not less than the 720 hours of tls.certificateEarlyRenewalHours",
      "set fewer days", also=RULES),
    R("monitoring/expiryDays", 21, "is not less than the 504 hours of tls.caEarlyRenewalHours", "or renew earlier",
      also={**RULES, "tls": {"mode": "generated", "caEarlyRenewalHours": 504}}),
    R("monitoring/expiryDays", 21, "is not less than the 24 hours of tls.nextAuthority.caEarlyRenewalHours", "or renew",
      also={**RULES, "tls": {**EXISTING, "nextAuthority": {"caEarlyRenewalHours": 24}}}),
    R("monitoring/expiryDays", 0, "is not a whole number from 1 to 365 (days)", "set 1 to 365"),
    R("monitoring/labels", {"helm.sh/chart": "x"}, "is set by the stack, a chart or Kubernetes itself",
      "of your organisation's", key="monitoring.labels.helm.sh/chart"),
    R("monitoring/labels", {"team": "a"}, 'conflicts with "b" in labels, which every object gets',
      "set it in one place",
      key="monitoring.labels.team", also={"labels": {"team": "b"}}),
    R("monitoring/certificateEnd", "x509_cert_not_after", "in tls.mode generated the end is known without it", "remove",
      also=RULES),
    R("monitoring/certificateEnd", "x509_cert_not_after", "there are no alerts", "monitoring.rules to true",
      also={"tls": EXISTING}),
    *(R("monitoring/certificateEnd", expression, "has a comment, or an unmatched quote or bracket",
        "such as min(", also={"tls": EXISTING, **RULES})
      for expression in ("min(a", "a) or (b", 'a{b="c}', "a # b", "a[5m)")),
    *(R("monitoring/certificateEnd", expression, "is a scalar in PromQL, which no alert is made of; put it into vector",
        "x509_cert_not_after") for expression in ("1893456000", "2 * (3 + 4)", "scalar(a)", " time () + 5")),
    R("monitoring/certificateEnd", "a\nb", "is not a PromQL expression of at most 512", "x509_cert_not_after",
      also={"tls": EXISTING, **RULES}),
    *(R(f"{WATCH}/pattern", pattern, "is not an extended regular expression", "grep -E")
      for pattern in ("(", "[a", "a)", "a\\", "[z-a]", "a{2,1}")),
    R(f"{WATCH}/pattern", "(?i)could not find", "has a Perl group (?...)", "give what `grep -E` takes"),
    R(f"{WATCH}/pattern", "x" * 513, "is not an extended regular expression of at most 512", "grep -E"),
    R(f"{WATCH}/everyMinutes", 60, "is not a whole number from 1 to 59 (minutes)", "set 1 to 59"),
    R(f"{WATCH}/image", "kubectl", "names no version", "such as registry.example.com"),
    R(f"{WATCH}/imagePullSecrets", ["a", "a"], 'has "a" twice', "remove one of"),
    R("monitoring/lockoutWatch", {}, "no Teleport has mode release or values", "remove it",
      also={"teleport": {"t": MANUAL}}),
    R(f"{T}/applyReaderRole", "yes", "is not true or false", "set true or false", key=f"{K}.applyReaderRole"),
    R("teleport/second", {**MANUAL, "applyReaderRole": True}, "belongs to mode release", "remove it",
      key="teleport.second.applyReaderRole"),
]  # fmt: skip

PLATFORM = [*OBJECTS, *NAMESPACE, *IMAGES, *EXTERNAL, *POLICIES, *MONITORING]
