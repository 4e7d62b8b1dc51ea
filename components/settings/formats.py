"""Formats of names, addresses and identifiers: Kubernetes', DNS's, AWS's, Helm's and files'.

Owns what a single value must look like. What values mean together is `relations`'.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from components.settings.rules import Rule, Text, matching

LONGEST_DNS_NAME = 253
LONGEST_DNS_LABEL = 63
# Helm's own bound: it leaves room for what charts append to a release's name.
LONGEST_RELEASE_NAME = 53

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)


def is_dns_name(value: str) -> bool:
    """RFC 1123, lower case, at most 253 characters; no address, no wildcard, no trailing dot."""
    return len(value) <= LONGEST_DNS_NAME and bool(_DNS_NAME.fullmatch(value)) and not value.replace(".", "").isdigit()


def _why_no_dns_name(value: str) -> str | None:
    if len(value) > LONGEST_DNS_NAME:
        return f"has {len(value)} characters, a DNS name has at most {LONGEST_DNS_NAME}"
    if any(len(label) > LONGEST_DNS_LABEL for label in value.split(".")):
        return f"has a label of more than {LONGEST_DNS_LABEL} characters"
    if "*" in value:
        return "is a wildcard, which would make the certificate good for servers that are not the access graph"
    if not value.isascii():
        return "is not in ASCII, as names in certificates are"
    return None


def _why_no_label(value: str) -> str | None:
    if len(value) > LONGEST_DNS_LABEL:
        return f"has {len(value)} characters, Kubernetes allows {LONGEST_DNS_LABEL}"
    return None


def is_host_port(value: str) -> bool:
    host, separator, port = value.rpartition(":")
    return bool(separator) and is_dns_name(host) and bool(_PORT.fullmatch(port)) and int(port) <= 65535


def is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    return parts.scheme in schemes and bool(parts.hostname) and plain and port_is_valid and _has_no_space(value)


def _has_no_space(value: str) -> bool:
    return value.isprintable() and " " not in value


_DNS_RULE = Rule(
    "a DNS name in lower case",
    is_dns_name,
    "give a full DNS name such as graph.example.com (international names in their xn-- form)",
    _why_no_dns_name,
)
_LABEL_RULE = matching(
    _LABEL,
    "a Kubernetes name: lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
    f"use at most {LONGEST_DNS_LABEL} of a-z, 0-9 and '-'",
    _why_no_label,
)


def _is_object_name(value: str) -> bool:
    """A subdomain as Kubernetes takes it, which does not limit the parts between dots (`IsDNS1123Subdomain`)."""
    part = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    return len(value) <= LONGEST_DNS_NAME and bool(re.fullmatch(rf"{part}(\.{part})*", value, re.ASCII))


def _is_release_name(value: str) -> bool:
    return len(value) <= LONGEST_RELEASE_NAME and bool(re.fullmatch(_LABEL, value, re.ASCII))


def _why_no_release_name(value: str) -> str | None:
    if len(value) > LONGEST_RELEASE_NAME:
        return f"has {len(value)} characters, Helm allows {LONGEST_RELEASE_NAME}"
    return None


def _is_context(value: str) -> bool:
    return 0 < len(value) <= 1024 and value.isprintable() and value == value.strip()


DnsName = Annotated[Text, _DNS_RULE]
KubernetesName = Annotated[Text, _LABEL_RULE]
ObjectName = Annotated[
    Text,
    Rule(
        "the name of a Kubernetes object: lower-case letters, digits, hyphens and dots",
        _is_object_name,
        "use at most 253 of a-z, 0-9, '-' and '.'",
    ),
]
ReleaseName = Annotated[
    Text,
    Rule(
        "a Helm release name: lower-case letters, digits and hyphens",
        _is_release_name,
        f"use at most {LONGEST_RELEASE_NAME} of a-z, 0-9 and '-', beginning and ending with a letter or digit",
        _why_no_release_name,
    ),
]
# Charts write names without quotes (`namespace: {{ .Release.Namespace }}`), and what Helm then reads as a number, a
# truth or nothing, Kubernetes refuses in place of a name.
_NOT_TEXT = re.compile(
    r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9]+)(e[-+]?[0-9]+)?|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|\.inf|\.nan"
    r"|y|n|yes|no|on|off|true|false|null",
    re.ASCII | re.IGNORECASE,
)
UNQUOTED = Rule(
    "a name that YAML reads as text unquoted (charts do not quote it)",
    lambda value: not _NOT_TEXT.fullmatch(value),
    "give a name that YAML does not take for a number, true, false or null",
)
ContextName = Annotated[
    Text,
    Rule(
        "the name of a kubeconfig context",
        _is_context,
        "give one of `kubectl config get-contexts -o name`",
        lambda value: "is empty, which would mean whatever context is current" if value == "" else None,
    ),
]
ClusterIdentifier = Annotated[
    Text,
    matching(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "the UID of a namespace, in lower case",
        "give what `kubectl get namespace kube-system -o jsonpath='{.metadata.uid}'` prints",
    ),
]
HostAndPort = Annotated[
    Text, Rule("host:port, with a DNS name as host", is_host_port, "give it such as teleport.example.com:443")
]
SecretKey = Annotated[
    Text,
    matching(
        # A key is also the name of a file in a volume (`IsConfigMapKey` of Kubernetes).
        r"(?!\.\.|\.$)[A-Za-z0-9._-]{1,253}",
        "a key of a Secret: letters, digits, '-', '_' and '.', and neither '.' nor what begins with '..'",
    ),
]
Fingerprint = Annotated[
    Text,
    matching(
        r"[0-9a-f]{64}",
        "a SHA-256 fingerprint: 64 hexadecimal digits in lower case",
        "take the colons out of what `openssl x509 -fingerprint -sha256` prints and write it in lower case",
    ),
]
CpuQuantity = Annotated[
    Text,
    matching(r"[0-9]+m|[0-9]+(\.[0-9]{1,3})?", "an amount of CPU", 'give cores or thousandths of one: "2" or 250m'),
]
MemoryQuantity = Annotated[
    Text,
    matching(r"[0-9]+(\.[0-9]+)?(k|M|G|Ki|Mi|Gi)", "an amount of memory with its unit", "give it such as 512Mi or 1Gi"),
]


def memory_bytes(quantity: str) -> float:
    """Bytes of a memory quantity."""
    units = {"k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    number = quantity.rstrip("kKMGi")
    return float(number) * units[quantity[len(number) :]]


# AWS. The formats are those of the services' API references; the partitions are aws, aws-cn and aws-us-gov.
_PARTITION = r"arn:aws(-cn|-us-gov)?"


def partition_of(region: str) -> str:
    """The ARN partition of a region: `aws`, `aws-us-gov` or `aws-cn`."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def dns_suffix_of(region: str) -> str:
    """What the names of AWS's services end with in a region."""
    return "amazonaws.com.cn" if partition_of(region) == "aws-cn" else "amazonaws.com"


def _why_no_account(value: str) -> str | None:
    if value.isdigit() and len(value) < 12:
        return f"has {len(value)} digits of 12: YAML drops leading zeros of a number that is not quoted"
    return None


AccountId = Annotated[
    Text,
    matching(
        r"[0-9]{12}", "an AWS account id of 12 digits", 'write its 12 digits in quotes: "012345678901"', _why_no_account
    ),
]


def _why_no_region(value: str) -> str | None:
    if value.startswith(_OTHER_PARTITIONS):
        return "is in a partition that this stack does not know: it knows aws, aws-cn and aws-us-gov"
    return None


# Of the isolated partitions and of the European Sovereign Cloud: their ARNs and roots are others.
_OTHER_PARTITIONS = ("us-iso", "eu-iso", "eusc-")
Region = Annotated[
    Text,
    matching(
        r"(?!us-iso|eu-iso)[a-z]{2}(-[a-z]+){1,2}-[1-9]",
        "an AWS region",
        "give its code, such as eu-central-1 (not a zone)",
        _why_no_region,
    ),
]
RoleArn = Annotated[
    Text,
    matching(
        rf"{_PARTITION}:iam::[0-9]{{12}}:role/[\w+=,.@/-]{{1,512}}",
        "the ARN of an IAM role",
        "give it such as arn:aws:iam::123456789012:role/deploy",
    ),
]
OIDC_PROVIDER_ARN = matching(
    rf"{_PARTITION}:iam::[0-9]{{12}}:oidc-provider/[A-Za-z0-9./_:-]{{1,255}}",
    "the ARN of an IAM OIDC provider",
    "give what `aws iam list-open-id-connect-providers` prints for the cluster's issuer",
)
# https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html
EKS_CLUSTER_NAME = matching(
    r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", "the name of an EKS cluster", "give what `aws eks list-clusters` prints"
)
PolicyArn = Annotated[
    Text,
    matching(
        rf"{_PARTITION}:iam::([0-9]{{12}}|aws):policy/[\w+=,.@/-]{{1,512}}",
        "the ARN of an IAM policy",
        "give it such as arn:aws:iam::123456789012:policy/boundary",
    ),
]
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
IamPath = Annotated[
    Text,
    matching(
        # Without what a policy that names a role by its ARN would take for a pattern or a variable.
        r"/|/(?:(?![*?$])[\x21-\x7e]){1,510}/",
        "an IAM path: at most 512 letters, digits and marks of ASCII other than *, ? and $, a slash first and last",
        "give it such as /platform/",
    ),
]
TopicArn = Annotated[
    Text,
    matching(
        rf"{_PARTITION}:sns:[a-z0-9-]+:[0-9]{{12}}:[A-Za-z0-9_-]{{1,256}}",
        "the ARN of a standard SNS topic",
        "give it such as arn:aws:sns:eu-central-1:123456789012:operations; RDS cannot use a FIFO topic",
    ),
]
EmailAddress = Annotated[
    Text,
    matching(
        r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+",
        "an e-mail address",
        "give it such as ops@example.com",
    ),
]
KmsKeyArn = Annotated[
    Text,
    matching(
        rf"{_PARTITION}:kms:[a-z0-9-]+:[0-9]{{12}}:key/(mrk-)?[0-9a-f-]{{32,36}}",
        "the ARN of a KMS key",
        "give the key's ARN (an alias can be pointed at another key, so it is not taken)",
    ),
]


def _aws_id(prefix: str, thing: str) -> Rule:
    return matching(
        rf"{prefix}-([0-9a-f]{{8}}|[0-9a-f]{{17}})",
        f"the id of {thing}: {prefix}- and 8 or 17 hexadecimal digits",
        f"give it such as {prefix}-0123456789abcdef0",
    )


VPC_ID = _aws_id("vpc", "a VPC")
SUBNET_ID = _aws_id("subnet", "a subnet")
SECURITY_GROUP_ID = _aws_id("sg", "a security group")
PrefixListId = Annotated[Text, _aws_id("pl", "a prefix list")]


# Container images. A tag that moves would change what runs without any change of the stack.
def _is_pinned_image(value: str) -> bool:
    name, _, digest = value.partition("@")
    if digest:
        return bool(_IMAGE_NAME.fullmatch(name.split(":")[0] if "/" not in name else name)) and bool(
            re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
        )
    name, _, tag = value.rpartition(":")
    return (
        bool(_IMAGE_NAME.fullmatch(name))
        and ":" not in name.rsplit("/", 1)[-1]
        and bool(re.fullmatch(r"[\w][\w.-]{0,127}", tag, re.ASCII))
        and tag != "latest"
    )


def _why_not_pinned(value: str) -> str | None:
    if value.endswith(":latest") or ":" not in value.rsplit("/", 1)[-1]:
        return "names no version, so what runs would change without a change here"
    return None


_IMAGE_NAME = re.compile(
    r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?",
    re.ASCII,
)
PinnedImage = Annotated[
    Text,
    Rule(
        "an image with a tag or a digest",
        _is_pinned_image,
        "give it such as registry.example.com/postgres:17.6",
        _why_not_pinned,
    ),
]
ImageRepository = Annotated[
    Text,
    Rule(
        "the repository of an image, without tag or digest",
        lambda value: bool(_IMAGE_NAME.fullmatch(value)) and ":" not in value.rsplit("/", 1)[-1] and "@" not in value,
        "give it such as registry.example.com/teleport-access-graph; the chart's version is the image's tag",
    ),
]

ImageDigest = Annotated[
    Text,
    matching(
        r"sha256:[0-9a-f]{64}",
        "the digest of an image: sha256: and 64 hexadecimal digits in lower case",
        "give what `crane digest <repository>:<version>` prints",
    ),
]


def _is_network(value: str) -> bool:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        return False
    # Python takes zones, and IPv4 in IPv6; Kubernetes does not.
    return str(network) == value and "%" not in value and not _is_mapped(network)


def _is_mapped(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return network.version == 6 and network.network_address.ipv4_mapped is not None


def _why_no_network(value: str) -> str | None:
    if "%" in value:
        return "has a zone, so that it stands for another host on each network interface"
    try:
        loose = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None
    if _is_mapped(loose):
        return "is IPv4 written as IPv6, which Kubernetes refuses"
    return "has no prefix length" if "/" not in value else f"is not written as the block {loose}"


Cidr = Annotated[
    Text,
    Rule("a block of IP addresses", _is_network, "give it such as 10.20.0.0/16 or 2001:db8::/32", _why_no_network),
]


# Charts and files.
_NUMBER = r"(0|[1-9][0-9]{0,8})"
SEMVER = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"


def _why_no_version(value: str) -> str | None:
    if value.startswith("v"):
        return "begins with v, which chart versions do not"
    if value.lower() in ("latest", "stable", "") or any(character in value for character in "^~<>*|, xX"):
        return "is no exact version, so what is installed would change without a change here"
    return None


ChartVersion = Annotated[
    Text,
    matching(
        SEMVER, "an exact chart version of three numbers", "give one such as 1.30.2, without range", _why_no_version
    ),
]
ChartRepository = Annotated[
    Text,
    Rule(
        "the https:// or oci:// URL of a chart repository, without credentials",
        lambda value: is_url(value, ("https", "oci")),
        "give it such as https://charts.releases.teleport.dev; credentials belong to `helm registry login`",
        lambda value: (
            "is not encrypted, so anyone on the way can change the chart" if value.startswith("http://") else None
        ),
    ),
]
ChartName = Annotated[Text, matching(r"[a-z0-9][a-z0-9./_-]{0,252}", "the name of a chart in its repository")]
EndpointUrl = Annotated[
    Text,
    Rule(
        "an http:// or https:// URL without credentials",
        lambda value: is_url(value, ("http", "https")),
        "give it such as https://vpce-1.rds.eu-central-1.vpce.amazonaws.com",
    ),
]


def _is_project_path(value: str) -> bool:
    return 0 < len(value) <= 1024 and value.isprintable() and not value.startswith(("/", "~")) and "\\" not in value


ProjectPath = Annotated[
    Text,
    Rule(
        "a path relative to the directory of Pulumi.yaml",
        _is_project_path,
        "give a path from the directory of Pulumi.yaml, such as environments/dev/teleport.yaml",
        lambda value: (
            "is absolute, so it would differ from one machine to the next" if value.startswith(("/", "~")) else None
        ),
    ),
]
