"""`python -m experiments`."""

import sys

from experiments.cli import main
from experiments.terminal import forgive_streams
from gpt_jax.training.host_memory import keep_freed_memory

if __name__ == "__main__":
    forgive_streams()
    keep_freed_memory()
    sys.exit(main(sys.argv[1:]))
