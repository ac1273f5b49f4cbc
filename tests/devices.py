"""The flags of a process that has several devices."""

import os


def with_devices(count: int) -> str:
    """`XLA_FLAGS` for `count` devices of the CPU, and otherwise as the tests are run."""
    return f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()
