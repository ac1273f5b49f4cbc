"""Every task: its name, the files that it reads as they are distributed, and one line on files of another form."""

import subprocess
import sys

import pytest

from gpt_jax import InputError
from gpt_jax.data.public_files import Files
from gpt_jax.evaluation.task import families, find_tasks
from gpt_jax.evaluation.tasks import arithmetic
from tests.evaluation.task_files import task, write


def test_every_task_has_a_name_of_its_own_a_summary_a_source_and_a_metric():
    tasks = [task for family in families().values() for task in family]
    assert len({t.name for t in tasks}) == len(tasks) > 100
    assert all(t.summary and t.source and t.metrics for t in tasks)
    assert [t.name for t in find_tasks(["winograd", "gpt1_heuristics", "winograd"])] == [
        "winograd",
        "cola_zero_shot",
        "sst2_zero_shot",
        "race_zero_shot",
        "dprd_zero_shot",
    ]
    with pytest.raises(InputError, match="did you mean 'lambada'"):
        find_tasks(["lambda"])


def test_a_missing_file_is_named_for_every_task_that_reads_one(tmp_path):
    made = {f"generated_{name}" for name in arithmetic.NAMES} | {task.name for task in find_tasks(["sums"])}
    for t in find_tasks(families()):
        if t.name not in made:
            with pytest.raises(InputError, match=r"--data-dir: '.*' holds no '"):
                t.items(Files(tmp_path))
    with pytest.raises(InputError, match=r"--data-dir: a folder that holds 'wsc273.txt' is needed"):
        task("winograd").items(Files())


def test_lambada_and_blimp_come_from_tfds_where_no_folder_is_given(monkeypatch):
    rows = {
        "lambada": [{"passage": b"a b c"}],
        "blimp/causative": [{"sentence_good": b"Good.", "sentence_bad": b"Bad.", "UID": b"causative"}],
    }

    class Builder:
        def __init__(self, name):
            self.name = name

        def as_data_source(self, split):
            assert split == ("test" if self.name == "lambada" else "train")
            return rows[self.name]

    monkeypatch.setattr("gpt_jax.data.tfds_source.builder_of", Builder)
    assert task("lambada").items(Files()) == [{"context": "a b", "word": " c"}]
    assert task("blimp_causative").items(Files()) == [{"good": "Good.", "bad": "Bad.", "set": "causative"}]


def test_a_folder_of_a_files_name_is_passed_over(tmp_path):
    files = write(tmp_path, "text8/text8", "one")
    assert task("text8").items(files) == [{"text": "one", "units": 3}]


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("lambada", "lambada_test.jsonl", '{"passage": "a b"}'),
        ("blimp", "blimp/x.jsonl", '{"sentence_good": "a", "sentence_bad": 1, "UID": "x"}'),
        ("arc_challenge", "ARC-Challenge-Test.jsonl", '{"question": {"stem": "x"}, "answerKey": "A"}'),
        ("hellaswag", "hellaswag_val.jsonl", '{"ctx": "x", "endings": ["a"], "label": "x"}'),
        ("story_cloze", "cloze_test_test__spring2016 - all.csv", "header\n1,2,3\n"),
        ("reversed_words", "reversed_words.jsonl", '{"context": "ba ="}'),
        ("natural_questions", "NQ-open.dev.jsonl", '{"question": "who", "answer": "me"}'),
        ("coqa", "coqa-dev-v1.0.json", '{"data": [{"story": "x"}]}'),
        ("coqa", "coqa-dev-v1.0.json", "[]"),
        ("race", "RACE/test/high/1.txt", '{"questions": ["a"], "options": [["b"]], "answers": ["E"], "article": "c"}'),
    ],
)
def test_files_of_another_form_are_an_error_of_one_line(tmp_path, name, file, text):
    with pytest.raises(InputError) as caught:
        task(name).load(write(tmp_path, file, text))
    assert "\n" not in str(caught.value)


def test_labelled_data_is_found_where_the_folder_given_is_the_tasks_own(tmp_path):
    rows = "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tWater fell.\tentailment\n"
    for name in ("train", "dev"):
        write(tmp_path, f"rte/{name}.tsv", rows)
    assert len(task("rte").items(Files(tmp_path / "rte"))) == len(task("rte").items(Files(tmp_path))) == 1


def test_tasks_are_listed_without_jax():
    code = "import sys; from gpt_jax.evaluation.task import families; families(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
