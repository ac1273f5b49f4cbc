"""The files of each task's original distribution, as they are. Each task has one function from a folder to splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from gpt_jax.data.tasks.task import CONNECTIVES, Example, Splits
from gpt_jax.disk import read_utf8
from gpt_jax.errors import InputError


def lines(path: Path, encoding: str = "utf-8-sig") -> Iterator[tuple[str, str]]:
    """Where each line is ("file:line"), and its text."""
    try:
        for number, line in enumerate(path.read_bytes().decode(encoding).split("\n"), 1):
            if line.strip():
                yield f"{path}:{number}", line.removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InputError(f"data: {str(path)!r} is not {encoding} text: {error.reason}") from None


def fields(path: Path, count: int, header: bool = False, exact: bool = True) -> Iterator[tuple[str, list[str]]]:
    """The tab-separated fields of each line. Raises `InputError` where their number is not that of `count`."""
    for number, (where, line) in enumerate(lines(path)):
        parts = line.split("\t")
        if len(parts) < count or (exact and len(parts) != count):
            raise InputError(f"data: {where}: {len(parts)} columns, expected {count}")
        if not (header and number == 0):
            yield where, parts


def index(where: str, value: str, names: tuple[str, ...] | list[str]) -> int:
    """The place of `value` among `names`. Raises `InputError`."""
    if value not in names:
        raise InputError(f"data: {where}: label {value!r} is not allowed: {', '.join(names)}")
    return list(names).index(value)


def number(where: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"data: {where}: {value!r} is not a number") from None


def sst2(folder: Path) -> Splits:
    """train.tsv, dev.tsv, test.tsv (GLUE's dev): sentence, label. `dev` is a part of the training sentences."""

    def split(name: str) -> list[Example]:
        rows = fields(folder / name, 2, header=True)
        return [
            Example((text.strip(),), index(w, label, ("0", "1")), str(n)) for n, (w, (text, label)) in enumerate(rows)
        ]

    return {"train": split("train.tsv"), "validation": split("dev.tsv"), "test": split("test.tsv")}


def cola(folder: Path) -> Splits:
    """raw/: source, label, the author's mark, sentence. "test" is the out-of-domain development set, the only labelled
    text that training sources do not cover; validation is the in-domain one."""

    def split(name: str) -> list[Example]:
        rows = fields(folder / "raw" / f"{name}.tsv", 4)
        return [
            Example((text,), index(w, label, ("0", "1")), str(n), source)
            for n, (w, (source, label, _, text)) in enumerate(rows)
        ]

    names = {"train": "in_domain_train", "validation": "in_domain_dev", "test": "out_of_domain_dev"}
    return {split_name: split(name) for split_name, name in names.items()}


def trec(folder: Path) -> Splits:
    """A class from 0 to 5, and the question; Latin-1."""

    def split(name: str) -> list[Example]:
        out = []
        for where, line in lines(folder / name, "latin-1"):
            label, _, text = line.partition(" ")
            out.append(Example((text.strip(),), index(where, label, [*"012345"]), str(len(out))))
        return out

    return {"train": split("TREC.train.all"), "test": split("TREC.test.all")}


def rte(folder: Path) -> Splits:
    """GLUE's: index, sentence1, sentence2, label. Its test.tsv has no labels and is left out."""

    def split(name: str) -> list[Example]:
        labels = ("entailment", "not_entailment")
        rows = fields(folder / name, 4, header=True)
        return [Example((a, b), index(w, label, labels), i) for w, (i, a, b, label) in rows]

    return {"train": split("train.tsv"), "validation": split("dev.tsv")}


def _sick(folder: Path, score: bool) -> Splits:
    def split(name: str) -> list[Example]:
        labels = ("NEUTRAL", "ENTAILMENT", "CONTRADICTION")
        rows = fields(folder / name, 5, header=True)
        return [
            Example((a, b), number(w, related) if score else index(w, label, labels), i)
            for w, (i, a, b, related, label) in rows
        ]

    names = {"train": "SICK_train.txt", "validation": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
    return {split_name: split(name) for split_name, name in names.items()}


def sick(folder: Path) -> Splits:
    return _sick(folder, score=False)


def sick_relatedness(folder: Path) -> Splits:
    return _sick(folder, score=True)


def stsb(folder: Path) -> Splits:
    """genre, source, year, id, score, two sentences (and, in some rows, two licences). `group` is "genre/source"."""

    def split(name: str) -> list[Example]:
        return [
            Example((row[5], row[6]), number(w, row[4]), row[3], f"{row[0]}/{row[1]}")
            for w, row in fields(folder / name, 7, exact=False)
        ]

    return {"train": split("sts-train.csv"), "validation": split("sts-dev.csv"), "test": split("sts-test.csv")}


def pan(folder: Path) -> Splits:
    """Three files for each split, line by line: two sentences, and 1 where they say the same."""

    def split(name: str) -> list[Example]:
        parts = [list(lines(folder / f"pan-{name}{end}")) for end in ("_s1.txt", "_s2.txt", ".labels")]
        if len({len(part) for part in parts}) != 1:
            raise InputError(
                f"data: {folder}/pan-{name}*: {', '.join(str(len(p)) for p in parts)} lines, expected as many"
            )
        return [
            Example((a, b), index(w, label, ("0", "1")), str(n))
            for n, ((_, a), (_, b), (w, label)) in enumerate(zip(*parts, strict=True))
        ]

    return {"train": split("train"), "test": split("test")}


def copa(folder: Path) -> Splits:
    """XML. The development set trains (there is no other), the test set is the test. The question, "cause" or
    "effect", becomes the word that joins premise and alternative: "because" or "so"."""
    place = folder / "datasets" if (folder / "datasets").is_dir() else folder

    def split(name: str) -> list[Example]:
        path = place / name
        try:
            items = ElementTree.fromstring(read_utf8(path)).iter("item")
        except ElementTree.ParseError as error:
            raise InputError(f"data: {str(path)!r} is not XML: {error}") from None
        out = []
        for item in items:
            texts = [(item.findtext(tag) or "").strip() for tag in ("p", "a1", "a2")]
            asked, right = item.get("asks-for", ""), item.get("most-plausible-alternative", "")
            where = f"{path} item {item.get('id')}"
            index(where, asked, tuple(CONNECTIVES))
            out.append(
                Example((texts[0], CONNECTIVES[asked], *texts[1:]), index(where, right, ("1", "2")), item.get("id", ""))
            )
        return out

    return {"train": split("copa-dev.xml"), "test": split("copa-test.xml")}


def openbookqa(folder: Path) -> Splits:
    """id, question, "(A) ... (B) ... (C) ... (D) ...", the whole, the letter. The questions have no context."""

    def split(name: str) -> list[Example]:
        out = []
        for where, (i, question, choices, _, letter) in fields(folder / name, 5, header=True):
            answers = re.fullmatch(r"\(A\) (.*?) \(B\) (.*?) \(C\) (.*?) \(D\) (.*)", choices.strip())
            if answers is None:
                raise InputError(f"data: {where}: expected the answers as (A) ... (B) ... (C) ... (D) ...")
            out.append(Example((question, "", *answers.groups()), index(where, letter.strip(), [*"ABCD"]), i))
        return out

    return {"train": split("train.tsv"), "validation": split("dev.tsv"), "test": split("test.tsv")}


def _mctest(folder: Path, size: str) -> Splits:
    """A story and four questions in a row, four answers each; the letters are in a file beside it."""

    def split(name: str) -> list[Example]:
        stories = list(fields(folder / f"{size}.{name}.tsv", 23))
        answers = list(fields(folder / f"{size}.{name}.ans", 4))
        if len(stories) != len(answers):
            raise InputError(f"data: {folder}/{size}.{name}: {len(stories)} stories and {len(answers)} rows of answers")
        out = []
        for (where, row), (_, letters) in zip(stories, answers, strict=True):
            story = row[2].replace("\\newline", " ").replace("\\tab", " ")
            for question, letter in enumerate(letters):
                asked, *choices = row[3 + 5 * question : 8 + 5 * question]
                asked = re.sub(r"^(one|multiple): ", "", asked)  # how many sentences the answer needs
                out.append(Example((story, asked, *choices), index(where, letter, [*"ABCD"]), f"{row[0]}.{question}"))
        return out

    return {"train": split("train"), "validation": split("dev"), "test": split("test")}


def mctest160(folder: Path) -> Splits:
    return _mctest(folder, "mc160")


def mctest500(folder: Path) -> Splits:
    return _mctest(folder, "mc500")
