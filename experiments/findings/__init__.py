"""What a claim fits to all of its runs, beyond comparisons: a claim names one of these files as its `findings`."""
