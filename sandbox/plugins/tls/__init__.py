"""The stand-in for pulumi-tls: private keys, certificate requests and certificates, made on this machine."""
