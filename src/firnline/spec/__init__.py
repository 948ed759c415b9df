"""What the builder declared: YAML -> frozen models."""
