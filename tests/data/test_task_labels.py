"""Labels and rows of a user's own task: what is one class, what is one row (docs/TASKS.md)."""

import json

import pytest

from gpt_jax.data.tasks import load_task
from gpt_jax.errors import InputError


def of_labels(tmp_path, labels: list[str]):
    """The task of a .jsonl file with these labels, each as it stands in JSON."""
    rows = "".join(f'{{"text": "text {n}", "label": {label}}}\n' for n, label in enumerate(labels))
    (tmp_path / "train.jsonl").write_text(rows * 4, encoding="utf-8")
    return load_task(str(tmp_path))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["0", "0.0", "-0.0", "1", "1.0"], ("0", "1")),
        (["1", '"1"', '" 1 "', "2"], ("1", "2")),
        (["1e2", "100", "-3"], ("-3", "100")),
        (["true", "false", '"true"'], ("false", "true")),
        (["1", "true"], ("1", "true")),
        (["0.5", "0.50", "5e-1", "2"], ("0.5", "2")),
        (['"good"', '"good\\r"', '"bad"'], ("bad", "good")),
    ],
)
def test_one_value_is_one_class_however_it_is_written(labels, classes, tmp_path):
    assert of_labels(tmp_path, labels)[0].labels == classes


@pytest.mark.parametrize("label", ["NaN", "Infinity", "-Infinity", "1e999", "[1]", '{"a": 1}', "[]"])
def test_what_is_no_class_is_refused_by_its_line(label, tmp_path):
    with pytest.raises(InputError, match=r"train\.jsonl:2: label .* is not allowed"):
        of_labels(tmp_path, ['"good"', label])


@pytest.mark.parametrize("row", ["[" * 1000 + "]" * 1000, '{"text": "a", "label": ' + "9" * 5000 + "}"])
def test_json_that_nothing_could_hold_is_refused_by_its_line(row, tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a", "label": 1}\n' + row, encoding="utf-8")
    with pytest.raises(InputError, match=r"train\.jsonl:2: "):
        load_task(str(tmp_path))


@pytest.mark.parametrize("suffix", ["tsv", "jsonl"])
def test_only_a_line_feed_ends_a_row(suffix, tmp_path):
    texts = ["one\rrow", "form\x0cfeed", "next\x85line", "line\u2028separator", "vertical\x0btab"]
    if suffix == "tsv":
        content = "text\tlabel\r\n" + "".join(f"{text}\t{n % 2}\r\n" for n, text in enumerate(texts))
    else:
        lines = [json.dumps({"text": text, "label": n % 2}, ensure_ascii=False) for n, text in enumerate(texts)]
        content = "\r\n".join(lines)
    (tmp_path / f"train.{suffix}").write_bytes(content.encode())
    task, splits = load_task(str(tmp_path))
    assert sorted(e.texts[0] for split in splits.values() for e in split) == sorted(texts)
    assert task.labels == ("0", "1")


def test_files_that_were_joined_have_byte_order_marks_in_the_middle(tmp_path):
    (tmp_path / "train.tsv").write_bytes("\ufefftext\tlabel\na\tgood\n\ufeffb\tbad\n".encode())
    _, splits = load_task(str(tmp_path))
    assert sorted(e.texts[0] for split in splits.values() for e in split) == ["a", "b"]


def test_copies_of_an_example_are_held_out_together(tmp_path):
    rows = [f"text {n}{end}\t{n % 2}\n" for n in range(300) for end in ("", " ", "  ")]
    (tmp_path / "train.tsv").write_text("text\tlabel\n" + "".join(rows), encoding="utf-8")
    _, splits = load_task(str(tmp_path))
    train, held = ({e.texts[0].strip() for e in splits[name]} for name in ("train", "validation"))
    assert held
    assert not train & held
