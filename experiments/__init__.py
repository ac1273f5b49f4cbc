"""One file per claim, and the little machinery that runs and judges them: `python -m experiments`."""
