"""Passes options of a component on to its children where Pulumi does not.

The engine and the SDK themselves pass on `protect`, `retain_on_delete`, providers and transformations, to children that
do not set them.
"""

import copy

import pulumi


def waiting(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions | None:
    """`opts`, changed so that all that the component makes waits for its `depends_on`, but the component does not.

    With Pulumi alone only the component waits, which helps nobody, and a destroy would delete what the component needs
    before what needs it. And with `--continue-on-error` the engine would leave out a component that waits for something
    failed, and then end the run at the component's outputs.
    """
    if opts is None or not opts.depends_on:
        return opts
    given = pulumi.ResourceOptions(depends_on=opts.depends_on)

    def wait(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if isinstance(args.resource, pulumi.ComponentResource):
            return None
        # Only `depends_on` is merged: a merge of all options would change the child's providers.
        own = pulumi.ResourceOptions(depends_on=args.opts.depends_on)
        changed = copy.copy(args.opts)
        changed.depends_on = pulumi.ResourceOptions.merge(own, given).depends_on
        return pulumi.ResourceTransformationResult(args.props, changed)

    handing_on = copy.copy(opts)
    handing_on.depends_on = None
    handing_on.transformations = [*(opts.transformations or []), wait]
    return handing_on


def asked(option: bool) -> bool | None:
    """`option` (`protect` or `retain_on_delete`) for a child, without an explicit False of its own.

    A False would override what the component was given: a namespace would be deleted with all that was to stay in it.
    """
    return option or None
