"""Text from a trained model. gpt_jax/loading.py loads the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpt_jax.data.tokenizers import continued
from gpt_jax.errors import InputError, require_unicode
from gpt_jax.loading import LoadedModel, checkpoint_steps, is_run_folder, load_model, restore

__all__ = ["LoadedModel", "checkpoint_steps", "is_run_folder", "load_model", "restore", "write_text"]
DEFAULT_TOKENS = 200


def write_text(
    folder: Path,
    prompt: str,
    *,
    tokens: int | None = None,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    samples: int = 1,
    int8: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """`samples` texts that start with `prompt`, by the model of a run folder or a weights folder.

    `tokens` None means 200, or fewer where the context has less room; `int8` is `load_model`'s. Raises `InputError` on
    a prompt that is empty or leaves no room, and on a folder whose config, tokenizer or checkpoints cannot be read.
    """
    if not prompt:
        raise InputError("--prompt: '' is not allowed: at least one character")
    import jax

    from gpt_jax.generation import generate

    model = load_model(folder, report, int8=int8)
    start = model.tokenizer.encode(require_unicode(prompt, "--prompt"))
    context = model.config.context_length
    if len(start) >= context:
        raise InputError(f"--prompt: its {len(start)} tokens leave no room: fewer than the context of {context}")
    room = context - len(start)
    if tokens is not None and tokens > room:
        raise InputError(f"--tokens: {tokens} is not allowed: at most {room}, the context less the prompt's tokens")
    continuations = generate(
        model.config,
        model.params,
        [start] * samples,
        tokens or min(DEFAULT_TOKENS, room),
        temperature,
        top_k=top_k,
        top_p=top_p,
        key=jax.random.key(seed),
        stop_token=model.tokenizer.end_of_text,
    )
    return [prompt + continued(model.tokenizer, start, continuation) for continuation in continuations]
