"""`python -m experiments`."""

import sys

from experiments.cli import main
from gpt_jax.training.host_memory import keep_freed_memory

if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main(sys.argv[1:]))
