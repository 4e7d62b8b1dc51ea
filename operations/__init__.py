"""Commands that inspect a live stack and repair it: preflight, adopt, recover, verify and diagnose. They work wherever
a kubeconfig reaches. `fleet` previews or deploys many environments.

Others write for people: about a preview (comment, drift, graph), about rights and dependencies; `environment` writes a
new configuration. The Pulumi program is `components`; nothing here changes what it declares. In comments, TAG is
Teleport Access Graph, and the engine is Pulumi's CLI.
"""
