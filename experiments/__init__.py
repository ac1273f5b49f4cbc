"""One file for each claim, and the machinery that runs and judges claims: `python -m experiments`."""
