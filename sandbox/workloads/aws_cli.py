"""`aws` of the sandbox's containers: `secretsmanager get-secret-value`, with the credentials that the pod's role gives.

Everything else of the AWS CLI is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from sandbox.workloads.journal import StartRefused, run_program

_FIELDS = ("ARN", "Name", "VersionId", "SecretString")


def main(arguments: list[str]) -> int:
    if arguments in (["--version"], ["version"]):
        print("aws-cli/2 (stand-in)")
        return 0
    if arguments[:2] != ["secretsmanager", "get-secret-value"]:
        raise StartRefused(
            f"aws {' '.join(arguments[:2])}: this stand-in knows `secretsmanager get-secret-value` alone"
        )
    parser = argparse.ArgumentParser(prog="aws secretsmanager get-secret-value")
    parser.add_argument("--secret-id", required=True)
    parser.add_argument("--version-stage")
    parser.add_argument("--region")
    parser.add_argument("--query", default="@", choices=["@", *_FIELDS])
    parser.add_argument("--output", default="json", choices=["json", "text"])
    given = parser.parse_args(arguments[2:])

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client: Any = boto3.client("secretsmanager", **({"region_name": given.region} if given.region else {}))
        stage = {"VersionStage": given.version_stage} if given.version_stage else {}
        answer = client.get_secret_value(SecretId=given.secret_id, **stage)
    except (BotoCoreError, ClientError) as error:
        raise StartRefused(f"aws: {error}") from None
    chosen = {field: answer[field] for field in _FIELDS if field in answer}
    value = chosen if given.query == "@" else chosen.get(given.query)
    if given.output == "text" and not isinstance(value, dict):
        print("None" if value is None else value)
    else:
        print(json.dumps(value, indent=4))
    return 0


if __name__ == "__main__":
    sys.exit(run_program(lambda: main(sys.argv[1:])))
