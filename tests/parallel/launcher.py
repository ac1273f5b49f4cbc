"""What a launcher tells its processes."""


def launcher(port: int, index: int) -> dict[str, str]:
    """The variables by which JAX knows SLURM."""
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "JAX_COORDINATOR_PORT": str(port),
    }
