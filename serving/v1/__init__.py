"""Version 1 of the service on the wire: the proto file and what is generated from it."""
