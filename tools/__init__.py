"""What `run` starts."""
