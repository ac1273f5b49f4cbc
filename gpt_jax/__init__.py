"""GPT-1, GPT-2 and GPT-3 as one decoder, one training step, and a set of claims that can be measured.

Names are imported on first use, so that `import gpt_jax` does not start JAX.
"""

from importlib import import_module

_HOME = {
    "GPT": "gpt_jax.model.decoder",
    "ModelConfig": "gpt_jax.config",
    "RunConfig": "gpt_jax.config",
    "InputError": "gpt_jax.errors",
    "generate": "gpt_jax.generation",
    "load_pretrained": "gpt_jax.interop",
    "save_pretrained": "gpt_jax.interop",
}
__all__ = [*_HOME]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'gpt_jax' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
