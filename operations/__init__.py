"""Commands that inspect a live stack and repair it: preflight, adopt, recover, verify and diagnose, and `fleet`, which
runs them over many environments. They work wherever a kubeconfig reaches.

Other commands write reports for people: on a preview (comment, drift, graph), on the rights that each purpose needs, on
the configuration for a new environment, on what the program is made of. The Pulumi program itself is `components`;
nothing here changes what it declares.
"""
