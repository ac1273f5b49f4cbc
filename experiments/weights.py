"""Trained parameters back from a run folder, and text from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpt_jax.config import RunConfig
from gpt_jax.errors import InputError

DEFAULT_TOKENS = 200


def restore(config: RunConfig, folder: Path, report: Callable[[str], None]) -> Any:
    """The newest readable `TrainState` of a run; nothing in the folder is changed.

    A checkpoint that cannot be read is named through `report` and passed over. Raises `InputError` if none can.
    """
    import jax

    from gpt_jax.training.checkpoint import Checkpoints
    from gpt_jax.training.state import init_state

    path = folder / "checkpoints"
    if not path.is_dir():
        raise InputError(f"{path}: no such folder: the run has no checkpoint yet; `resume` goes on with it")
    checkpoints = Checkpoints(path)
    try:
        restored = checkpoints.restore(jax.eval_shape(lambda: init_state(config)), report, discard=False)
    finally:
        checkpoints.close()
    if restored is None:
        raise InputError(f"{path}: holds no checkpoint: `resume` goes on with the run")
    return restored[0]


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
    report: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """`samples` texts that start with `prompt`, by the model of a run folder.

    `tokens` None means 200, or as many as the context has room for. Raises `InputError` on a prompt that is empty
    or leaves no room, and on a folder whose config, tokenizer or checkpoints cannot be read.
    """
    if not prompt:
        raise InputError("--prompt: '' is not allowed: at least one character")
    import jax

    from experiments.runner import read_folder
    from gpt_jax.data.tokenizer import load_tokenizer
    from gpt_jax.generation import generate

    config, _ = read_folder(folder)
    tokenizer = load_tokenizer(folder / "tokenizer")
    try:
        start = tokenizer.encode(prompt)
    except UnicodeEncodeError:
        raise InputError(f"--prompt: {prompt!r} is not allowed: valid Unicode text") from None
    context = config.model.context_length
    if len(start) >= context:
        raise InputError(f"--prompt: its {len(start)} tokens leave no room: fewer than the context of {context}")
    room = context - len(start)
    if tokens is not None and tokens > room:
        raise InputError(f"--tokens: {tokens} is not allowed: at most {room}, the context less the prompt's tokens")
    params = restore(config, folder, report).params
    continuations = generate(
        config.model, params, [start] * samples, tokens or min(DEFAULT_TOKENS, room), temperature,
        top_k=top_k, top_p=top_p, key=jax.random.key(seed), stop_token=tokenizer.end_of_text,
    )  # fmt: skip
    return [prompt + tokenizer.decode(continuation) for continuation in continuations]
