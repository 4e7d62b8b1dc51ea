"""Inputs that several resource types share, and the location of their documentation."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.aws.tables import Input

# pulumi-aws 7.51.1 bridges terraform-provider-aws 6; the docstrings of its SDK are the provider's documentation.
TERRAFORM: Final = "https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/"

TAGS: Final = Input("map", longest=256)
ARN: Final = r"arn:[\w-]+:[\w-]+:[\w-]*:(\d{12}|aws)?:.+"
KMS_ARN: Final = r"arn:[\w-]+:kms:[\w-]+:\d{12}:(key|alias)/.+"
TOPIC_ARN: Final = r"arn:[\w-]+:sns:[\w-]+:\d{12}:[\w-]{1,256}"


def named(pattern: str = "", *, longest: int = 255, prefix_pattern: str = "", longest_prefix: int) -> dict[str, Input]:
    """`name` and `namePrefix`: both replace and exclude each other. The provider appends 26 digits to a prefix."""
    return {
        "name": Input(computed=True, replaces=True, pattern=pattern, longest=longest, conflicts=("namePrefix",)),
        "namePrefix": Input(computed=True, replaces=True, pattern=prefix_pattern, longest=longest_prefix),
    }
