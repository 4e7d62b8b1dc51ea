"""A Job that runs once for each content, and is awaited: the one form of this program's Jobs."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

# Seconds after the Job's own deadline, so that the engine shows why the Job failed, not that its own wait timed out.
_PATIENCE = 120


def awaited_job(
    name: str,
    *,
    object_name: pulumi.Input[str],
    namespace: pulumi.Input[str],
    spec: pulumi.Output[Any],
    opts: pulumi.ResourceOptions,
) -> kubernetes.batch.v1.Job:
    """The Job `object_name`, whose end the engine waits for. `spec` (wire form) has its deadline.

    A Job cannot be changed, so its name has a digest of its content, and a change makes a new Job. The former one is
    deleted first. Otherwise an `up` that stops in between would leave it to be deleted later, although a way back would
    need its name.
    """
    return kubernetes.batch.v1.Job(
        name,
        metadata={
            "name": object_name,
            "namespace": namespace,
            # The next `up` replaces a Job that failed; otherwise it would await the same Job again. There is no time to
            # live, because a Job that vanishes is drift.
            "annotations": {
                "pulumi.com/replaceUnready": "true",
                # Otherwise the plugin gives up after ten minutes, whatever the deadline.
                "pulumi.com/timeoutSeconds": spec.apply(lambda job: str(int(job["activeDeadlineSeconds"]) + _PATIENCE)),
            },
        },
        spec=spec,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )
