"""Stand-in for the `kubernetes` plugin: objects over the API server's own REST interface, releases by the real Helm."""
