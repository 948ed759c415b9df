"""What is measured, how, and with what result: `python -m benchmarks.<name>`."""
