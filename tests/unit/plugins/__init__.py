"""The plugin framework, and the stand-ins for random, tls and the Python language host."""
