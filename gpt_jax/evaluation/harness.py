"""The model that lm-evaluation-harness knows as `gpt_jax` (extra `eval`).

    python -m experiments harness --model_args path=DIR --tasks lambada_openai

is the harness's own command line, with the model registered (experiments/commands/harness.py). The harness (0.4.13)
looks for models in its own package only and loads no plug-ins, so that its bare `lm_eval` command cannot find one:
something has to import this module. In Python, an import is enough: `import gpt_jax.evaluation.harness`, then
`lm_eval.simple_evaluate(model="gpt_jax", model_args="path=DIR", ...)`.

Contexts that are too long are cut on the left and long texts are scored in windows of the whole context, as the
harness's `hf` model does. Without `until`, a text ends at end of text or after `max_gen_toks` (256).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval.models  # noqa: F401  (its own models: the registry fills itself only while it is empty)
from lm_eval.api.model import LM
from lm_eval.api.registry import model_registry

from gpt_jax.data.tokenizers import END_OF_TEXT
from gpt_jax.errors import InputError
from gpt_jax.evaluation.answering import answer
from gpt_jax.evaluation.asking import Options
from gpt_jax.evaluation.inference.encoding import encode, scores, truncate
from gpt_jax.evaluation.inference.requests import (
    Answer,
    Generate,
    LogLikelihood,
    Request,
    Rolling,
    choices,
    likelihood,
    written,
)
from gpt_jax.evaluation.inference.scoring import TextModel
from gpt_jax.loading import load_model

MAX_NEW_TOKENS = 256
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
SAMPLING = ("do_sample", "temperature", "top_k", "until")


class HarnessModel(LM):
    """A run folder or a weights folder, `path`, for the harness. `batch_tokens` bounds a forward pass; `step` and
    `int8` are `load_model`'s."""

    def __init__(
        self,
        path: str,
        step: int | None = None,
        batch_tokens: int | None = None,
        seed: int = 0,
        int8: bool = False,
        **_: Any,
    ):
        super().__init__()
        loaded = load_model(Path(path), step=step, int8=int8)
        self.model = TextModel.of(loaded.config, loaded.params, loaded.tokenizer, loaded.digest)
        self.options = Options(seed=int(seed), overflow="truncate", batch_tokens=batch_tokens and int(batch_tokens))

    @property
    def tokenizer_name(self) -> str:
        return self.model.tokenizer.digest

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        answers = self._answers([LogLikelihood(*request.args) for request in requests], disable_tqdm)
        found = [(likelihood(a).log_prob, likelihood(a).greedy) for a in answers]
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, value)
        return found

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        answers = self._answers([Rolling(request.args[0]) for request in requests], disable_tqdm)
        found = [sum(window.log_prob for window in choices(a)) for a in answers]
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, value)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        found = [written(a) for a in self._answers([_generation(*request.args) for request in requests], disable_tqdm)]
        for request, value in zip(requests, found, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, value)
        return found

    def _answers(self, requests: list[Request], silent: bool) -> list[Answer]:
        from tqdm import tqdm

        context = self.model.config.context_length
        encoded = [truncate(e, context) for e in encode(self.model.tokenizer, requests, context, context)]
        for request, e in zip(requests, encoded, strict=True):
            if isinstance(request, LogLikelihood) and isinstance(e, tuple) and not scores(e):
                raise InputError(
                    f"loglikelihood: the continuation {request.continuation!r} after {request.context[-40:]!r} has no "
                    "token to score: at least one is needed"
                )
        with tqdm(disable=silent, desc="gpt_jax", unit=" tokens") as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            return answer(self.model, requests, encoded, self.options, progress)


def _generation(context: str, how: dict[str, Any]) -> Generate:
    """The harness's keywords. Raises `InputError` on one that would change the text and is not supported."""
    unsupported = [key for key, value in how.items() if key not in (*LENGTHS, *SAMPLING) and value is not None]
    if unsupported:
        raise InputError(f"generation_kwargs: {unsupported[0]!r} is not allowed: {', '.join((*LENGTHS, *SAMPLING))}")
    until = how.get("until") or []
    until = [until] if isinstance(until, str) else until
    temperature = float(how.get("temperature") or 0.0)
    if how.get("do_sample") is False:
        temperature = 0.0
    elif how.get("do_sample") and how.get("temperature") is None:
        temperature = 1.0
    length = next((int(how[key]) for key in LENGTHS if how.get(key) is not None), MAX_NEW_TOKENS)
    return Generate(context, length, (*until, END_OF_TEXT), temperature=temperature, top_k=how.get("top_k") or None)


if "gpt_jax" not in model_registry:
    model_registry.register("gpt_jax", target="gpt_jax.evaluation.harness:HarnessModel")
