"""No resource: what any Python program of Pulumi costs."""

import pulumi  # noqa: F401
