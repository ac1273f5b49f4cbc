"""Devices that are not there: a mesh rehearsed on the CPU."""

from __future__ import annotations

import re

from gpt_jax.errors import InputError

MOST = 512  # fake devices are threads of one processor


def fake_devices(text: str | None) -> None:
    """Has JAX see "cpu:N", N devices on this machine's CPU; None leaves the devices as they are.

    Call this before anything asks JAX for a device. Raises `InputError`.
    """
    if text is None:
        return
    match = re.fullmatch(r"cpu:([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= MOST:
        raise InputError(f"--devices: {text!r} is not allowed: cpu:N, N from 1 to {MOST}, for example cpu:8")
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", int(match[1]))
