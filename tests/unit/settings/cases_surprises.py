"""Every refusal of what people write by mistake wherever they write it: names that are too long, letters that only look
alike, what YAML takes for something else, paths, sizes, secrets in plain, modes mixed up; as in `cases`."""

from __future__ import annotations

import datetime
import functools

from tests.samples import CERTIFICATE_FORM, existing_configuration, release_entry
from tests.unit.settings.cases import MANUAL, K, R, T
from tests.unit.settings.cases_tls import EXISTING, ISSUED

VALUES_FILE = f"{K}.valuesFiles[0]"
ENABLED = {"accessGraph/networkPolicy/enabled": True}

NAMES = [
    R("accessGraph/release", "r" * 64, "has 64 characters, Helm allows 53", "use at most 53"),
    R(f"{T}/namespace", "n" * 64, "has 64 characters, Kubernetes allows 63", "use at most 63"),
    R(f"{T}/release", "r" * 54, "has 54 characters, Helm allows 53", "use at most 53"),
    R("accessGraph/networkPolicy/clientNamespaces", ["n" * 64], "has 64 characters, Kubernetes allows 63", "at most 63",
      key="accessGraph.networkPolicy.clientNamespaces[0]", also=ENABLED),
    R("accessGraph/networkPolicy/metricsNamespaces", ["n" * 64], "has 64 characters, Kubernetes allows 63",
      "at most 63", key="accessGraph.networkPolicy.metricsNamespaces[0]",
      also={**ENABLED, "accessGraph/metrics": True}),
    R("accessGraph/imagePullSecrets", ["s" * 254], "is not the name of a Kubernetes object", "at most 253",
      key="accessGraph.imagePullSecrets[0]"),
    R("tls", {**EXISTING, "secretName": "s" * 254}, "is not the name of a Kubernetes object", "at most 253",
      key="tls.secretName"),
    R("tls", {**ISSUED, "issuer": {"mode": "existing", "name": "s" * 254}}, "is not the name of a Kubernetes object",
      "at most 253", key="tls.issuer.name"),
    R("database", {"mode": "existing", "secret": {"name": "s" * 254}}, "is not the name of a Kubernetes object",
      "at most 253", key="database.secret.name", base=existing_configuration),
    R("labels", {"k" * 64: "x"}, "is not the key of a label", "give the key of a label", key=f'labels."{"k" * 60}"'),
    R("labels", {f"{'d' * 254}/team": "x"}, "is not the key of a label", "give the key", key=f'labels."{"d" * 60}"'),
    R("annotations", {"k" * 64: "x"}, "is not the key of an annotation", "give the key",
      key=f'annotations."{"k" * 60}"'),
    R("accessGraph/nodeSelector", {"zone": "z" * 64}, "at most 63 letters", "shorten it",
      key="accessGraph.nodeSelector.zone"),
    R("aws/workloadIdentity", {"mode": "podIdentity", "clusterName": "c" * 101}, "is not the name of an EKS cluster",
      "aws eks list-clusters", key="aws.workloadIdentity.clusterName"),
    R("database/masterUsername", "u" * 64, "is not a user name", "at most 63"),
    R("kubernetes/context", "c" * 1025, "is not the name of a kubeconfig context", "kubectl config get-contexts"),
    # As long as may be, and wrong for another reason.
    R("accessGraph/namespace", "N" * 63, "is not a Kubernetes name", "a-z, 0-9"),
    R("accessGraph/release", "R" * 53, "is not a Helm release name", "a-z, 0-9"),
    R("database/identifier", "T" * 63, "is not an RDS identifier", "such characters"),
    R("tls", {"mode": "generated", "extraDnsNames": [f"*.{'d' * 63}.{'d' * 63}.{'d' * 63}.{'d' * 59}"]},
      "is a wildcard", "such as graph.example.com", key="tls.extraDnsNames[0]"),
    R("tags", {"k" * 129: "x"}, "is not the key of an AWS tag", "shorten it", key=f'tags."{"k" * 60}"'),
]  # fmt: skip

# What a chart's template would make a number, a truth or nothing of.
UNQUOTED = [
    *(
        R(path, value, "is not text to YAML without quotes, as charts write it", "does not take for a number, true",
          key=path.replace("/", "."))
        for path, value in (
            ("accessGraph/namespace", "123"), ("accessGraph/namespace", "0x1f"), ("accessGraph/namespace", "1e3"),
            ("accessGraph/release", "on"), (f"{T}/namespace", "0b1"), (f"{T}/release", "n"),
        )
    ),
    *(
        R(f"database/secret/{field}", value, "is not text to YAML without quotes", "give a name that YAML",
          also={"database/secret/name": "database"} if field == "key" else {}, base=existing_configuration)
        for field, value in (
            ("name", "2026"), ("name", "0o7"), ("name", "1.5"), ("name", "null"), ("key", "Yes"), ("key", "-1"),
            ("key", ".5"), ("key", ".NaN"), ("key", "1_0"), ("key", "1e-3"),
        )
    ),
    R("tls", {**EXISTING, "secretName": "true"}, "is not text to YAML without quotes", "give a name that YAML",
      key="tls.secretName"),
    R(f"{T}/release", "0teleport", "is not a name that begins with a letter, as that of the proxies' Service does",
      "begin it with a letter"),
]  # fmt: skip

# Cyrillic, full-width, a hyphen that is none, an invisible space, a mark that turns the line around.
LETTERS = [
    R("accessGraph/namespace", "\u0442eleport", "is not a Kubernetes name", "a-z, 0-9"),
    R("accessGraph/release", "gra\u0440h", "is not a Helm release name", "a-z, 0-9"),
    R("aws/accountId", "\uff11\uff12\uff13456789012", "is not an AWS account id of 12 digits", "12 digits in quotes"),
    R("aws/region", "eu\u2011central\u20111", "is not an AWS region", "such as eu-central-1"),
    R("kubernetes/context", "dev\u200b", "is not the name of a kubeconfig context", "kubectl config get-contexts"),
    R("kubernetes/context", "dev\u202e", "is not the name of a kubeconfig context", "kubectl config get-contexts"),
    R("database/identifier", "graph\u00a0dev", "is not an RDS identifier", "such characters"),
    R("database/databaseName", "gr\u00f6\u00dfe", "is not a database name", "such characters"),
    R("database/masterUsername", "\u0430dmin_tag", "is not a user name", "such characters"),
    R("database/port", "\uff11\uff15\uff10\uff10", "is not a whole number from 1150 to 65535", "digits alone"),
    R("labels", {"team": "pl\u00e4tform"}, "is not the value of a label", "shorten it", key="labels.team"),
    R("tags", {"owner": "x\0"}, "is not the value of an AWS tag", "leave such characters out", key="tags.owner"),
    R("tags", {"owner": "\ud800"}, "is not the value of an AWS tag", "leave such characters out", key="tags.owner"),
    R("accessGraph/external", {"hostname": "gr\u0430ph.example.com"}, "is not in ASCII", "xn--",
      key="accessGraph.external.hostname"),
    R("teleport/\u0442eleport.example.com", MANUAL, "is not the name of a Teleport cluster", "tctl status"),
    R("teleport/[key]", MANUAL, "is not the name of a Teleport cluster", "tctl status"),
    R("\u0430ws", {}, "is not a setting", "did you mean aws?"),
]  # fmt: skip

YAML = [
    # 0o1234567012345 without quotes.
    R("aws/accountId", 0o1234567012345, "is not text", "write its 12 digits in quotes"),
    R("aws/accountId", 1.23456789012e11, "is not text", "write its 12 digits in quotes"),
    R("database/engineVersion", 17.10, "names a minor version", 'such as "17"'),
    R("database/allocatedStorageGib", 1e3, "is not a whole number from 20 to 65536", "without point and exponent"),
    R("database/allocatedStorageGib", "1e3", "is not a whole number from 20 to 65536", "digits alone"),
    R("database/allocatedStorageGib", "0x64", "is not a whole number from 20 to 65536", "digits alone"),
    R("database/allocatedStorageGib", "0o144", "is not a whole number from 20 to 65536", "digits alone"),
    R("database/port", "1_500", "is not a whole number from 1150 to 65535", "digits alone"),
    R("accessGraph/replicas", 2.0, "is not a whole number from 1 to 50", "without point and exponent"),
    R("accessGraph/podDisruptionBudget", {"enabled": True, "minAvailable": float("inf")}, "is not a whole number",
      "digits alone", key="accessGraph.podDisruptionBudget.minAvailable"),
    R("accessGraph/podDisruptionBudget", {"enabled": True, "minAvailable": float("nan")}, "is not a whole number",
      "digits alone", key="accessGraph.podDisruptionBudget.minAvailable"),
    # 120:00 in base 60, to YAML 1.1.
    R("database/backupWindow", 7200, "is not text", "02:00-03:00, in quotes"),
    R("database/backupWindow", datetime.date(2026, 1, 31), "is not text", "YAML reads it as a date",
      key="database.backupWindow"),
    R("accessGraph/createNamespace", "Off", "is not true or false", "set true or false"),
    R("accessGraph/createNamespace", 1, "is not true or false", "set true or false"),
    R("accessGraph/enabled", "on", "is not true or false", "set true or false"),
    R("database/multiAz", "y", "is not true or false", "set true or false"),
    R("database/protect", 0, "is not true or false", "set true or false"),
    R("accessGraph/logLevel", False, "is not one of DEBUG, INFO, WARN, ERROR", "YAML reads an unquoted true or false"),
    R("database/onDestroy", True, "is not one of keep, snapshot, delete", "YAML reads an unquoted true or false"),
    R("tags", {"since": datetime.date(2026, 1, 31)}, "is not text", "YAML reads it as a date", key="tags.since"),
    R("labels", {"since": datetime.datetime(2026, 1, 31, 12)}, "is not text", "YAML reads it as a date",
      key="labels.since"),
    R(f"{T}/auditLog", {"startDate": datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)}, "is not text",
      "YAML reads it as a date", key=f"{K}.auditLog.startDate"),
    R("tags", {"a": ["b"]}, "is not text", "give the value of an AWS tag", key="tags.a"),
    R("tags", {"a": 1e3}, "is not text", "put it in quotes", key="tags.a"),
    R("labels", {"team": 8}, "is not text", "put it in quotes", key="labels.team"),
    R("annotations", {"revision": 1e3}, "is not text", "put it in quotes", key="annotations.revision"),
    R(f"{T}/release", False, "is not text", "YAML reads an unquoted true or false"),
    R("accessGraph/resources/memoryLimit", 1, "is not text", "512Mi or 1Gi, in quotes"),
    R("accessGraph/resources/cpuRequest", 0.25, "is not text", "put it in quotes"),
    R("accessGraph/resources/memoryLimit", "1e3", "is not an amount of memory with its unit", "such as 512Mi"),
    R("accessGraph/chart/version", 1.30, "is not text", "without range, in quotes"),
    R("accessGraph/chart/version", "1.30", "is not an exact chart version", "such as 1.30.2"),
    R("database/engineVersion", "017", "is not a major version of PostgreSQL", 'such as "17"'),
]  # fmt: skip

PATHS = [
    R(f"{T}/valuesFiles", ["../absent.yaml"], "does not exist", "write the file", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["~/values.yaml"], "is absolute", "give it from there", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["/etc/values.yaml"], "is absolute", "give it from there", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["file:///values.yaml"], "does not exist", "write the file", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["C:\\values.yaml"], "is not a path relative", "give it from there", key=VALUES_FILE),
    R(f"{T}/valuesFiles", [""], "is not a path relative", "give it from there", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["."], "is not a YAML file", "ends in .yaml or .yml", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["values.yaml/"], "is not a YAML file", "ends in .yaml or .yml", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["pipe.yaml"], "is no regular file", "name a file", key=VALUES_FILE),
    R(f"{T}/valuesFiles", [f"{'x' * 300}.yaml"], "cannot be read: file name too long", "its path", key=VALUES_FILE),
    R(f"{T}/valuesFiles", ["values.yaml", "values.yaml"], 'has "values.yaml" twice, as [0] and as [1]', "remove what"),
    R(f"{T}/valuesFiles", "values.yaml", "is not a list", "begins with '- '"),
    R("database/caBundleFile", "/etc/ssl/certs/ca.pem", "is absolute", "give it from there"),
    R("database/caBundleFile", "../absent.pem", "does not exist", "write the file"),
    R("accessGraph/chart", {"path": "../absent.tgz"}, "does not exist", "the path starts",
      key="accessGraph.chart.path"),
    R(f"{T}/valuesFiles", [f"{'./' * 507}values.yaml"], "is not a path relative", "give it from there",
      key=VALUES_FILE),
    R("accessGraph/chart/repository", "https://charts.example.com:0",
      "is not the https:// or oci:// URL", "give it such as"),
    R("database/accessJob", {"image": "postgres@sha256:0123"}, "is not an image with a tag or a digest", "postgres:17",
      key="database.accessJob.image"),
    R("database/accessJob", {"image": f"Postgres@sha256:{'0' * 64}"}, "is not an image with a tag or a digest",
      "postgres:17", key="database.accessJob.image"),
    R("database/accessJob", {"image": f"registry.example.com:5000/Postgres@sha256:{'0' * 64}"},
      "is not an image with a tag or a digest", "postgres:17", key="database.accessJob.image"),
    R("database/instanceClass", "large", "is not a class of RDS instances", "such as db.t4g.medium"),
    R("tls", {**EXISTING, "trustBundleFile": "empty.yaml"}, "is empty", "write the file", key="tls.trustBundleFile"),
]  # fmt: skip

SIZES = [
    R("accessGraph/chart/version", "14.0.0", "which does not follow Teleport's numbers", "such as 1.30.2"),
    R("accessGraph/chart", {"path": "teleport-access-graph-1.99.0.tgz"}, "is version 1.99.0, and 1.13.0 and 1.30.2",
      "set accessGraph.allowUntested", key="accessGraph.chart.path"),
    R("database/allocatedStorageGib", 59578, "is less than 10 % above the 59578 GiB", "set 65536 or more",
      key="database.maxAllocatedStorageGib", also={"database/maxAllocatedStorageGib": 60000}),
    R("database/allocatedStorageGib", 59579, "is less than 10 % above the 59579 GiB", "lower database.allocated",
      key="database.maxAllocatedStorageGib", also={"database/maxAllocatedStorageGib": 60000}),
    R("teleport/second", release_entry(namespace="second", adopt=True, valuesFiles=["values.yaml"]),
      "is the release of teleport.teleport.example.com too", "a name of its own", key="teleport.second.release"),
    R("accessGraph/replicas", 10**30, "is not a whole number from 1 to 50", "set 1 to 50"),
    R("database/port", 2**31, "is not a whole number from 1150 to 65535", "set 1150 to 65535"),
    R("database/port", -1, "is below 1150", "set 1150 to 65535"),
    R("database/allocatedStorageGib", 65537, "is not a whole number from 20 to 65536", "set 20 to 65536",
      also={"database/maxAllocatedStorageGib": 65536}),
    R("accessGraph/resources/memoryLimit", "1Ei", "is not an amount of memory with its unit", "such as 512Mi"),
    R("accessGraph/resources/memoryLimit", "0", "is not an amount of memory with its unit", "such as 512Mi"),
    R("accessGraph/resources", {"memoryLimit": "10Mi"}, "is more than accessGraph.resources.memoryLimit 10Mi", "raise",
      key="accessGraph.resources.memoryRequest"),
    R("database/network/clientCidrs", ["0.0.0.0/0"], "is wider than /16", "the subnets' own blocks",
      key="database.network.clientCidrs[0]"),
    # As deep as may be: it is refused for what it is.
    R("tags", functools.reduce(lambda inner, _: {"a": inner}, range(15), {}), "is not text", "give the value of an AWS",
      key="tags.a"),
    R("tags", functools.reduce(lambda inner, _: {"a": inner}, range(16), {}), "is nested deeper than 16 levels",
      "no setting is that deep"),
]  # fmt: skip

SECRETS = [
    R("database/password", "hunter2", "is not a setting", "did you mean masterPassword?"),
    R("database/masterPassword", ["hunter2"], "is not one of managed, generated", "set managed or generated"),
    R("database/masterPassword", True, "is not one of managed, generated", "YAML reads an unquoted"),
    R("database/databaseUri", "postgres://u:hunter2@h/d", "is a secret, which has a key of its own",
      "config set --secret databaseUri`, remove it here, and change what was exposed", base=existing_configuration,
      also={"database/secret": ...}),
    R(f"{T}/teleportSecretValues", {"a": "hunter2"}, "is a secret, which has a key of its own", "remove it here",
      key=f"{K}.teleportSecretValues"),
    R("database/uri", "postgres://u:hunter2@h/d", "is not a setting", "the keys here are"),
    R("aws/secretAccessKey", "AKIAIOSFODNN7EXAMPLE", "is not a setting", "the keys here are"),
    R("aws/assumeRole", {"roleArn": "AKIAIOSFODNN7EXAMPLE"}, "is not the ARN of an IAM role", "give it such as",
      key="aws.assumeRole.roleArn"),
    R("accessGraph/chart", {"repository": "oci://u:hunter2@charts.example.com", "name": "teleport-access-graph",
      "version": "1.30.2"}, "is not the https:// or oci:// URL", "helm registry login",
      key="accessGraph.chart.repository"),
    R("accessGraph/license", "hunter2", "is not a setting", "the keys here are"),
    R("database", {"mode": "existing", "secret": "hunter2"}, "is not a map", "write a YAML map",
      key="database.secret", base=existing_configuration),
    R("tls", {"mode": "generated", "privateKey": "hunter2"}, "is not a setting", "the keys here are",
      key="tls.privateKey"),
]  # fmt: skip

MODES = [
    R("database/mode", ["rds"], "is not one of rds, existing", "set rds or existing"),
    R("database/mode", "RDS", "is not one of rds, existing", "set rds"),
    R("database/mode", None, "is not one of rds, existing", "set rds or existing"),
    R("database", [], "is not a map", "with a mode of rds or existing"),
    R("tls", {"mode": "certmanager"}, "is not one of generated, certManager, existingSecret", "set certManager",
      key="tls.mode"),
    R("tls", {"mode": "generated", "issuer": {"mode": "ca", "secretName": "x"}}, "belongs to mode certManager",
      "or set tls.mode to certManager", key="tls.issuer"),
    R("tls", {**ISSUED, "issuer": {"mode": "ca", "secretName": "x", "name": "y"}}, "belongs to mode existing",
      "or set tls.issuer.mode to existing", key="tls.issuer.name"),
    R("tls", {**ISSUED, "issuer": {"mode": "existing", "secretName": "x", "name": "y"}}, "belongs to mode ca",
      "or set tls.issuer.mode to ca", key="tls.issuer.secretName"),
    R("tls", {**ISSUED, "issuer": "internal-ca"}, "is not a map", "with a mode of existing or ca", key="tls.issuer"),
    R("tls", {**EXISTING, "reloader": {"mode": "external", "everyMinutes": 5}}, "belongs to mode restarter",
      "to restarter", key="tls.reloader.everyMinutes"),
    R("tls", {**EXISTING, "reloader": {"mode": "none"}}, "is not one of restarter, external", "restarter or external",
      key="tls.reloader.mode"),
    R("database/notifications", {"mode": "none", "emails": ["a@example.com"]}, "belongs to mode ownTopic", "ownTopic",
      key="database.notifications.emails"),
    R("database/notifications", {"mode": "topic"}, "is missing (the ARN of a standard SNS topic)", "for example to",
      key="database.notifications.topicArn"),
    R("database/notifications", {"mode": "ownTopic", "topicArn": "x"}, "belongs to mode topic", "to topic",
      key="database.notifications.topicArn"),
    R("database/notifications", {}, "is missing", "set ownTopic, topic or none", key="database.notifications.mode"),
    R("database/restore", "latest", "is not a map", "with a mode of snapshot or pointInTime"),
    R("accessGraph/chart", "a.tgz", "is not a map", "give one with a repository or a path"),
    R("accessGraph/chart", {"path": "teleport-access-graph-1.30.2.tgz", "version": "1.30.2"},
      "belongs to a repository, and this is a path", "or what makes it a path", key="accessGraph.chart.version"),
    R(f"{T}/hostAuthorities", {"certificates": [CERTIFICATE_FORM]}, "is missing", "set inline, file or proxy",
      key=f"{K}.hostAuthorities.mode"),
    R(f"{T}/hostAuthorities", [CERTIFICATE_FORM], "is not a map", "with a mode of inline, file or proxy"),
    R(f"{T}/hostAuthorities", {"mode": "inline", "certificates": [CERTIFICATE_FORM], "path": "x"},
      "belongs to mode file", "to file", key=f"{K}.hostAuthorities.path"),
    R("aws/workloadIdentity", {"mode": "pod-identity", "clusterName": "prod"}, "is not one of irsa, podIdentity",
      "set podIdentity", key="aws.workloadIdentity.mode"),
    R("aws/workloadIdentity", {"mode": "podIdentity", "clusterName": "prod", "oidcProviderArn": "x"},
      "belongs to mode irsa", "to irsa", key="aws.workloadIdentity.oidcProviderArn"),
]  # fmt: skip

SURPRISES = [*NAMES, *UNQUOTED, *LETTERS, *YAML, *PATHS, *SIZES, *SECRETS, *MODES]
