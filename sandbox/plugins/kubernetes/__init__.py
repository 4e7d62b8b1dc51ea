"""Stand-in for the `kubernetes` plugin: objects through the API server's REST interface, releases through the real
Helm."""
