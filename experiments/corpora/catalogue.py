"""The public data that claims and tasks read: what each set is, whose it is, and where its files are.

`SETS` says what a set is. `files.tsv` has its files: name, bytes, SHA-256 and address. An address is of one commit, so
that its bytes do not change, and ends in `#MEMBER` where the file lies in a .zip. A set that is `made` comes from other
sets, by a function of `transforms.py`. The sets lie in `public_root()` (gpt_jax/data/public_files.py), a folder each;
claims and tasks find them there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from experiments.command import typed
from experiments.experiment import SMOKE, Experiment
from gpt_jax.data.public_files import public_root
from gpt_jax.disk import read_utf8
from gpt_jax.errors import InputError, unknown

MANIFEST = Path(__file__).parent / "files.tsv"
GITHUB = "https://raw.githubusercontent.com/"
JSDELIVR = "https://cdn.jsdelivr.net/gh/"  # has the same files of the same commits


@dataclass(frozen=True)
class PublicFile:
    """One file of a set, by its path there. `sha256` is of the file as the set holds it, unpacked."""

    path: str
    bytes: int
    sha256: str
    url: str

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it is, the first address first: its origin, and a mirror of what GitHub has."""
        if not self.url.startswith(GITHUB):
            return (self.url,)
        owner, repository, commit, path = self.url.removeprefix(GITHUB).split("/", 3)
        return tuple(map(_quoted, (self.url, f"{JSDELIVR}{owner}/{repository}@{commit}/{path}")))


@dataclass(frozen=True)
class DataSet:
    """A set: `readers` are the claims and tasks that need it, `origin` is where its authors or keepers have it.

    `made` names the sets that it is made from, and `tfds` the dataset that TFDS fetches and keeps itself.
    """

    name: str
    what: str
    readers: tuple[str, ...]
    licence: str
    origin: str
    made: tuple[str, ...] = ()
    tfds: str = ""

    @property
    def files(self) -> tuple[PublicFile, ...]:
        """Its files, as the manifest has them: none of a set that is made, or TFDS's."""
        return _manifest().get(self.name, ())

    @property
    def folder(self) -> Path:
        """Where it lies, or will."""
        return public_root() / self.name

    @property
    def missing(self) -> tuple[PublicFile, ...]:
        """The files that are not here, by their size. `fetch` reads their bytes."""
        return tuple(f for f in self.files if not _has_size(self.folder / f.path, f.bytes))

    @property
    def here(self) -> bool:
        """Whether the whole set lies in its folder; TFDS knows where its own are."""
        return self.folder.is_dir() and not self.missing


RESEARCH = "none stated; for research"
PUBLIC_DOMAIN = "public domain"
CC_BY = "CC BY 4.0"

SETS = (
    DataSet("sst2", "sentiment of film reviews", ("ood", "word_order", "zero_shot_sets"), RESEARCH, "forest-snow/alps"),
    DataSet(
        "cola", "acceptability of sentences", ("cola_sources", "word_order", "zero_shot_sets"),
        "published examples; for research", "nyu-mll",
    ),
    DataSet(
        "trec", "kinds of question", ("aux_loss", "transfer", "word_order"),
        RESEARCH, "harvardnlp/sent-conv-torch",
    ),
    DataSet("rte", "entailment", ("rte", "word_order"), RESEARCH, "marcwww/nlu_eval"),
    DataSet(
        "sick", "entailment, relatedness", ("sick", "sick_relatedness", "word_order"),
        "CC BY-NC-SA 3.0", "FTAsr/STS",
    ),
    DataSet(
        "stsb", "similarity of sentences", ("stsb", "stsb_images", "stsb_headlines", "word_order"),
        "scores CC BY-SA 4.0; texts by LICENSE.txt", "zhangzhenhu/Semantic-Texual-Similarity-Toolkits",
    ),
    DataSet("pan", "paraphrases", ("pan",), RESEARCH, "wasiahmad/paraphrase_identification"),
    DataSet("copa", "plausible alternatives", ("copa",), "BSD 2-clause", "drwiner/COPA"),
    DataSet("openbookqa", "science questions", ("openbookqa",), "Apache 2.0", "genggui001/opencompass"),
    DataSet(
        "mctest", "stories with questions", ("mctest160", "mctest500"), "LICENSE.pdf; research", "mcobzarenco/mctest"
    ),
    DataSet("pros_cons", "likes and dislikes", ("ood",), CC_BY, "nltk/nltk_data"),
    DataSet("product_reviews", "sentences on products", ("ood",), CC_BY, "nltk/nltk_data"),
    DataSet("vader", "tweets and editorials, rated", ("ood",), "MIT", "cjhutto/vaderSentiment"),
    DataSet("scan", "commands and actions", ("composition",), "BSD", "brendenlake/SCAN"),
    DataSet("blimp", "minimal pairs", ("blimp", "zero_shot_sets"), CC_BY, "alexwarstadt/blimp"),
    DataSet("lambada", "last words of passages", ("lambada", "zero_shot_sets"), CC_BY, "cybertronai/bflm"),
    DataSet("gpt3", "sums and scrambled words", ("arithmetic", "scramble"), "none stated", "openai/gpt-3"),
    DataSet(
        "winograd", "Winograd schemas", ("winograd", "dprd_zero_shot", "zero_shot_sets"), "CC BY 4.0; research",
        "vid-koci/bert-commonsense",
    ),
    DataSet("gpt1_bpe", "GPT-1's vocabulary", ("data.tokenizer=gpt1:FOLDER",), "MIT", "openai/finetune-transformer-lm"),
    DataSet("char_rnn", "the char-rnn text", ("quickstart --data-dir FOLDER",), PUBLIC_DOMAIN, "karpathy/char-rnn"),
    DataSet(
        "wikitext2", "Wikipedia (validation, test)", ("wikitext2", "mixtures", "zero_shot_sets"),
        "CC BY-SA 3.0", "pytorch/examples",
    ),
    DataSet("abc", "radio news", ("mixtures",), "none stated", "nltk/nltk_data"),
    DataSet("inaugural", "presidents' speeches", ("mixtures",), PUBLIC_DOMAIN, "nltk/nltk_data"),
    DataSet("state_union", "presidents' speeches", ("mixtures",), PUBLIC_DOMAIN, "nltk/nltk_data"),
    DataSet(
        "novels", "98 English novels", ("books",), "public domain in the US",
        "computationalstylistics/100_english_novels",
    ),
    DataSet("litbank", "100 books", ("books",), "public domain (Gutenberg); CC BY 4.0", "dbamman/litbank"),
    DataSet(
        "books", "novels and litbank as running text, without copies",
        ("books", "aux_loss", "transfer", "ood", "word_order", "zero_shot_sets"),
        "as its parts", "made here", ("novels", "litbank"),
    ),
    DataSet(
        "mixtures", "books, news, speeches, Wikipedia", ("mixtures", "ood", "domains"), "as its parts", "made here",
        ("books", "abc", "inaugural", "state_union", "wikitext2"),
    ),
    DataSet("qnli", "entailment", ("qnli",), RESEARCH, "TFDS", tfds="glue/qnli"),
    DataSet("mnli", "entailment", ("mnli",), "OANC and others", "TFDS", tfds="glue/mnli"),
    DataSet("mrpc", "paraphrases", ("mrpc",), RESEARCH, "TFDS", tfds="glue/mrpc"),
    DataSet("qqp", "paraphrases", ("qqp",), RESEARCH, "TFDS", tfds="glue/qqp"),
    DataSet("boolq", "yes or no questions", ("boolq",), "CC BY-SA 3.0", "TFDS", tfds="bool_q"),
)  # fmt: skip


def get(name: str) -> DataSet:
    """The set of that name. Raises `InputError` with the nearest one."""
    found = next((one for one in SETS if one.name == name), None)
    if found is None:
        raise unknown("NAME", name, [one.name for one in SETS])
    return found


def fetched(claim: str, data: str, source: str) -> Path | None:
    """The folder of the set `data`, where a claim reads it as local text (`data.source`), and no folder was given.

    Raises `InputError` where the set is not here.
    """
    if not data or "local" not in source:
        return None
    found = get(data)
    if not found.here:
        raise InputError(
            f"--data-dir: {claim} reads local text, and no folder is given: one is, or {typed('data', 'get', data)} "
            f"fetches what it reads to {str(found.folder)!r}"
        )
    return found.folder


def require_tests(claim: Experiment, scale: str) -> None:
    """Raises `InputError` where a set that a claim is tested on is not here; smoke scale needs none."""
    lacking = tuple(name for name in claim.tests if scale != SMOKE and not get(name).here)
    if lacking:
        raise InputError(
            f"{claim.name} is tested on {', '.join(claim.tests)}, and {', '.join(lacking)} is not here: "
            f"{typed('data', 'get', *lacking)} fetches what is missing to {str(public_root())!r}"
        )


def with_parts(names: tuple[str, ...]) -> tuple[DataSet, ...]:
    """The sets of these names, each after what it is made from, and once. Raises `InputError`."""
    ordered: dict[str, DataSet] = {}
    for name in names:
        one = get(name)
        for part in (*with_parts(one.made), one):
            ordered.setdefault(part.name, part)
    return tuple(ordered.values())


@lru_cache(maxsize=1)
def _manifest() -> dict[str, tuple[PublicFile, ...]]:
    """The files of each set."""
    found: dict[str, list[PublicFile]] = {}
    for number, line in enumerate(read_utf8(MANIFEST).splitlines()[1:], 2):
        fields = line.split("\t")
        if len(fields) != 5 or not fields[2].isdigit():
            raise InputError(f"{MANIFEST}:{number}: set, file, bytes, sha256 and url are expected")
        name, path, size, digest, url = fields
        found.setdefault(name, []).append(PublicFile(path, int(size), digest, url))
    return {name: tuple(files) for name, files in found.items()}


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _quoted(url: str) -> str:
    return quote(url, safe=":/#@%")
