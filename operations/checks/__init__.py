"""What `verify` proves, one module for each side: the endpoint, the database, Teleport, the user's own values."""
