"""The questions that a task may ask of a model, and their answers. Log-probabilities are in nats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogLikelihood:
    """`log P(continuation | context)`: answered by a `Likelihood`.

    The pair is encoded together, and what follows the context's own tokens is scored; spaces at the end of the
    context count as the continuation's. An empty context is end of text. `forbidden` are words (as they stand in
    the text, with the space before them) that the first token may not be on its own in `greedy_allowed`.
    """

    context: str
    continuation: str
    forbidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """`log P(continuation | context)` of each continuation: answered by a tuple of `Likelihood`."""

    context: str
    continuations: tuple[str, ...]


@dataclass(frozen=True)
class Rolling:
    """`log P(text)` of a text of any length: answered by a tuple of `Likelihood`, one for each window of it."""

    text: str


@dataclass(frozen=True)
class Generate:
    """A continuation of at most `max_tokens` tokens, cut before the first of `until`: answered by a string.

    The continuation is greedy, or drawn where `temperature` is above 0, or found by a beam search over `beams` with the
    length penalty `((5 + tokens) / 6) ** length_penalty` (Wu et al. 2016). With `clip`, it has fewer tokens where the
    context has no room.
    """

    context: str
    max_tokens: int
    until: tuple[str, ...] = ()
    beams: int = 1
    length_penalty: float = 0.6
    temperature: float = 0.0
    top_k: int | None = None
    clip: bool = False


@dataclass(frozen=True)
class Likelihood:
    """`log_prob` (nats) of `tokens` tokens; whether each was the likeliest, with and without forbidden words."""

    log_prob: float
    tokens: int
    greedy: bool
    greedy_allowed: bool

    @property
    def per_token(self) -> float:
        """Nats per token; minus infinity of none."""
        return self.log_prob / self.tokens if self.tokens else float("-inf")


Request = LogLikelihood | Choice | Rolling | Generate
Answer = Likelihood | tuple[Likelihood, ...] | str


def likelihood(answer: Answer) -> Likelihood:
    """The answer to a `LogLikelihood`."""
    assert isinstance(answer, Likelihood)
    return answer


def choices(answer: Answer) -> tuple[Likelihood, ...]:
    """The answer to a `Choice`, or to a `Rolling`."""
    assert isinstance(answer, tuple)
    return answer


def written(answer: Answer) -> str:
    """The answer to a `Generate`."""
    assert isinstance(answer, str)
    return answer
