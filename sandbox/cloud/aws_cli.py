"""`aws` for pods: `secretsmanager get-secret-value`, the only AWS CLI command that this project's workloads run.

Credentials are found as the real CLI finds them; with AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE it first assumes the
role, with AWS_CONTAINER_CREDENTIALS_FULL_URI it asks the EKS Pod Identity agent.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from typing import Any

# The real CLI's exit codes: 252 for a command line that cannot be parsed, 254 for an error of the service.
# https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-returncodes.html
USAGE_ERROR = 252
CONFIGURATION_ERROR = 253
SERVICE_ERROR = 254


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        print(
            f"aws: {message}; this stand-in knows only `aws secretsmanager get-secret-value --secret-id X "
            "[--version-stage S] [--query SecretString] [--output text|json] [--region R] [--endpoint-url U]`",
            file=sys.stderr,
        )
        raise SystemExit(USAGE_ERROR)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="aws", add_help=False, allow_abbrev=False)
    parser.add_argument("service", choices=["secretsmanager"])
    parser.add_argument("operation", choices=["get-secret-value"])
    parser.add_argument("--secret-id", required=True)
    parser.add_argument("--version-id")
    parser.add_argument("--version-stage")
    # JMESPath in the real CLI, a plain field name here.
    parser.add_argument("--query", choices=["SecretString", "ARN", "Name", "VersionId"])
    parser.add_argument("--output", choices=["text", "json"], default="json")
    parser.add_argument("--region")
    parser.add_argument("--endpoint-url")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    if arguments in (["--version"], ["version"]):
        print("aws-cli/2 (stand-in)")
        return 0
    options = _parse(arguments)
    # Imported late, so that a usage error appears without delay.
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    request = {"SecretId": options.secret_id}
    if options.version_id:
        request["VersionId"] = options.version_id
    if options.version_stage:
        request["VersionStage"] = options.version_stage
    try:
        # The CLI reads AWS_REGION; boto3 alone does not. The session's region is also where it assumes a role.
        region = options.region or os.environ.get("AWS_REGION")
        client = boto3.Session(region_name=region).client("secretsmanager", endpoint_url=options.endpoint_url)
        answer = client.get_secret_value(**request)
    except ClientError as error:
        print(f"\n{error}", file=sys.stderr)
        return SERVICE_ERROR
    except BotoCoreError as error:
        print(f"\n{error}", file=sys.stderr)
        return CONFIGURATION_ERROR
    answer.pop("ResponseMetadata", None)
    _print(answer[options.query] if options.query else answer, options.output)
    return 0


def _print(value: Any, output: str) -> None:
    if output == "text":
        # As in the real CLI: fields in alphabetical order of their names, separated by tabs.
        print("\t".join(_text(value[name]) for name in sorted(value)) if isinstance(value, dict) else value)
    else:
        print(json.dumps(value, indent=4, default=_text))


def _text(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return ",".join(value) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
