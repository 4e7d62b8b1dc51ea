"""A Job that runs once for each content of what it does, and is awaited: the one shape of this program's Jobs."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

# Seconds after the Job's own deadline: the engine is to show why the Job failed, not that it grew tired of waiting.
_PATIENCE = 120


def awaited_job(
    name: str,
    *,
    object_name: pulumi.Input[str],
    namespace: pulumi.Input[str],
    spec: pulumi.Output[Any],
    opts: pulumi.ResourceOptions,
) -> kubernetes.batch.v1.Job:
    """The Job `object_name`, whose end the engine waits for. `spec` (wire form) says when it is given up.

    A Job cannot be changed, so its name has a digest of all that it does: what changes makes a new one. The former
    goes first: an `up` that stops in between leaves none to be deleted later, whose name a way back would need.
    """
    return kubernetes.batch.v1.Job(
        name,
        metadata={
            "name": object_name,
            "namespace": namespace,
            # A Job that failed is replaced by the next `up`; without this it would be awaited again as it is. No
            # time to live: a Job that vanishes is drift.
            "annotations": {
                "pulumi.com/replaceUnready": "true",
                # Else the plugin gives up after ten minutes, whatever the deadline.
                "pulumi.com/timeoutSeconds": spec.apply(lambda job: str(int(job["activeDeadlineSeconds"]) + _PATIENCE)),
            },
        },
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )
