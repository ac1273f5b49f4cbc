"""A run is one frozen value: every number that shapes it is a field here, typed, checked and dumped.

Each section has one file, and `RunConfig` (run.py) holds all sections. Sizes are counted in tokens. training/plan.py
derives the steps and the accumulation. `override` changes fields by name. `to_dict`, `digest` and `differences`
(codec.py) write a config down, name it and compare it with another config.
"""

from gpt_jax.config.codec import decides_numbers, differences, digest, flatten, from_dict, to_dict
from gpt_jax.config.data import DataConfig
from gpt_jax.config.finetuning import FinetuningConfig
from gpt_jax.config.mesh import MeshConfig
from gpt_jax.config.model import ModelConfig
from gpt_jax.config.optimizer import OptimizerConfig
from gpt_jax.config.override import override
from gpt_jax.config.run import RunConfig
from gpt_jax.config.training import TrainingConfig

__all__ = [
    "DataConfig",
    "FinetuningConfig",
    "MeshConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "TrainingConfig",
    "decides_numbers",
    "differences",
    "digest",
    "flatten",
    "from_dict",
    "override",
    "to_dict",
]
