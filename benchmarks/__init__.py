"""What is measured: one file each. `python -m benchmarks` runs them in turn."""
