"""LAMBADA: the last word of a passage (Paperno et al. 2016), on OpenAI's text of it.

GPT-2 (section 3.3, table 3) is scored zero-shot, without preprocessing, with and without a stop-word filter. The
perplexity is per last word. A word is right when each of its tokens is the likeliest. GPT-3 (section 3.1.2) is given
examples, and the passage becomes a blank to fill in. The filter's word list is unpublished: ours holds English function
words by class. A word of several tokens is not filtered.
"""

from __future__ import annotations

from gpt_jax.data.public_files import Files, tfds_rows
from gpt_jax.evaluation.inference.requests import Answer, LogLikelihood, Request, likelihood
from gpt_jax.evaluation.metrics import mean, perplexity
from gpt_jax.evaluation.task import Item, Row, Task

FUNCTION_WORDS = """
a an the this that these those each every either neither some any no all both few many much more most other another
such same own i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she
her hers herself it its itself they them their theirs themselves one who whom whose which what when where why how
about above across after against along among around at before behind below beneath beside between beyond by down
during for from in inside into like near of off on onto out outside over past since through throughout till to
toward towards under until up upon with within without and but or nor so yet if because although though while
unless than whether as am is are was were be been being do does did doing have has had having can could may might
must shall should will would not never also just only very too then there here again once even still now ever
"""
TEST = ("lambada_test.jsonl", "lambada_test_en.jsonl")
STOP_WORDS = tuple(f" {word}" for word in FUNCTION_WORDS.split())


def as_item(passage: str) -> Item:
    """A passage as its context, without the last word, and the last word with the space before it."""
    context, _, word = passage.rpartition(" ")
    return {"context": context, "word": f" {word}"}


def items(files: Files) -> list[Item]:
    """Reads OpenAI's text. Without a folder, reads TFDS's original text: lower case, with spaces around punctuation."""
    if files.root is None and not files.has(*TEST):
        return [as_item(row["passage"]) for row in tfds_rows("lambada", "test")]
    return [as_item(row["text"]) for row in files.jsonl(*TEST, fields={"text": str})]


def pool(files: Files) -> list[Item]:
    """The development set, from which GPT-3 draws its examples. Where that is missing, the test set's other items."""
    names = ("lambada_development.jsonl", "lambada_validation.jsonl")
    if not files.has(*names):
        return items(files)
    return [as_item(row["text"]) for row in files.jsonl(*names, fields={"text": str})]


def blank(item: Item) -> str:
    return f"{item['context']} ____. →"


def requests(item: Item, shown: str) -> list[Request]:
    context = shown + blank(item) if shown else item["context"]
    return [LogLikelihood(context, item["word"], STOP_WORDS)]


def score(item: Item, answers: list[Answer]) -> Row:
    answer = likelihood(answers[0])
    return {"log_prob": answer.log_prob, "words": 1, "plain": answer.greedy, "filtered": answer.greedy_allowed}


TASKS = (
    Task(
        name="lambada",
        summary="the last word of a passage",
        source="GPT-2, table 3; GPT-3, section 3.1.2",
        items=items,
        requests=requests,
        score=score,
        pool=pool,
        metrics=(
            mean("plain", "accuracy"),
            mean("filtered", "accuracy, stop-word filter"),
            perplexity("words", "per word"),
        ),
        example=lambda item: blank(item) + item["word"],
        delimiter="\n",
    ),
)
