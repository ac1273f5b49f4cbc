"""Tasks from a user's folder, from the original files, and from TFDS."""

import json
from pathlib import Path

import pytest

from gpt_jax.data import tfds_source
from gpt_jax.data.tasks import TASKS, Example, get_task, load_task, task_names
from gpt_jax.data.tasks import folder as task_folder
from gpt_jax.errors import InputError

FORMS = {
    "classification": "text\tlabel\nfine film\tgood\ndull film\tbad\nnice\tgood\n",
    "entailment": "premise\thypothesis\tlabel\nIt rains.\tIt is wet.\tyes\nIt rains.\tIt is dry.\tno\n",
    "similarity": "text_a\ttext_b\tlabel\na cat\ta kitten\t4.5\na cat\ta car\t0.2\n",
    "multiple_choice": "context\tquestion\tanswer_1\tanswer_2\tanswer_3\tlabel\n"
    "Tom fell.\tWhy?\tIce\tSun\t\t1\nA\tB\tC\tD\tE\t3\n",
}


def folder(tmp_path: Path, train: str, suffix: str = ".tsv", **others: str) -> Path:
    place = tmp_path / "mine"
    place.mkdir()
    for name, text in {"train": train, **others}.items():
        (place / (name if name.endswith("json") else name + suffix)).write_text(text, encoding="utf-8")
    return place


@pytest.mark.parametrize("shape", FORMS)
def test_the_columns_say_the_shape(tmp_path, shape):
    task, splits = load_task(str(folder(tmp_path, FORMS[shape])))
    assert (task.name, task.shape) == ("mine", shape)
    assert len(splits["train"]) + len(splits["validation"]) == len(FORMS[shape].splitlines()) - 1
    everything = {e.texts: e.label for split in splits.values() for e in split}
    expected = {
        "classification": {("fine film",): 1, ("dull film",): 0, ("nice",): 1},
        "entailment": {("It rains.", "It is wet."): 1, ("It rains.", "It is dry."): 0},
        "similarity": {("a cat", "a kitten"): 4.5, ("a cat", "a car"): 0.2},
        "multiple_choice": {("Tom fell.", "Why?", "Ice", "Sun"): 0, ("A", "B", "C", "D", "E"): 2},
    }
    assert everything == expected[shape]
    assert (task.metric == "pearson") == (task.regression is not None) == (shape == "similarity")


def test_json_lines_and_task_json_say_the_same(tmp_path):
    rows = [{"context": "Tom fell.", "answers": ["Ice", "Sun"], "label": 2, "id": "q7", "group": "easy"}]
    stated = {"shape": "multiple_choice", "metric": "accuracy", "name": "falls"}
    place = folder(tmp_path, "\n".join(map(json.dumps, rows * 3)), ".jsonl", **{"task.json": json.dumps(stated)})
    task, splits = load_task(str(place))
    assert task.name == "falls"
    assert splits["train"][0] == Example(("Tom fell.", "", "Ice", "Sun"), 1, "q7", "easy")


def test_stated_labels_keep_their_order(tmp_path):
    stated = json.dumps({"labels": ["good", "bad"], "metric": "f1"})
    task, _ = load_task(str(folder(tmp_path, FORMS["classification"], **{"task.json": stated})))
    assert task.labels == ("good", "bad") and task.metric == "f1"


def test_a_mark_carriage_returns_and_empty_lines_are_passed_over(tmp_path):
    text = "\ufeff" + FORMS["classification"].replace("\n", "\r\n\r\n")
    _, splits = load_task(str(folder(tmp_path, text)))
    assert {e.texts for s in splits.values() for e in s} == {("fine film",), ("dull film",), ("nice",)}


def test_test_labels_may_be_missing_and_validation_is_held_out_for_good(tmp_path):
    train = "text\tlabel\n" + "".join(f"text {n}\t{n % 2}\n" for n in range(400))
    place = folder(tmp_path, train, test="text\tlabel\nunknown\t\n")
    _, splits = load_task(str(place))
    assert splits["test"][0].label is None
    assert 20 < len(splits["validation"]) < 60
    assert not {e.texts for e in splits["train"]} & {e.texts for e in splits["validation"]}
    assert load_task(str(place))[1] == splits


@pytest.mark.parametrize(
    "train, others, said",
    [
        ("text\tlabel\nfine\tgood\textra\n", {}, r"train\.tsv:2: 3 columns"),
        ("words\tlabel\nfine\tgood\n", {}, r"train\.tsv:2: columns words, label"),
        ("text\tlabel\nfine\t\n", {}, r"train\.tsv:2: a training example has no label"),
        ("text\tlabel\n", {}, "has no rows"),
        (FORMS["multiple_choice"].replace("\t1\n", "\t4\n"), {}, r"train\.tsv:2: label '4'.* 1 to 2"),
        (FORMS["multiple_choice"].replace("Ice\tSun", "\tSun"), {}, r"train\.tsv:2: answer_1 is empty and a later"),
        (FORMS["classification"], {"test": "text\tlabel\nfine\tgreat\n"}, r"test\.tsv:2: label 'great'.* bad, good"),
        (FORMS["classification"], {"task.json": '{"shapes": 1}'}, r"task\.json: key.*shapes.*shape"),
        (FORMS["classification"], {"task.json": '{"shape": "pairs"}'}, "pairs"),
        (FORMS["classification"], {"task.json": "{"}, "not JSON"),
        (FORMS["similarity"], {"task.json": '{"regression": [0, 4]}'}, r"train\.tsv:2: label '4.5'.* 0 to 4"),
        (FORMS["classification"], {"task.json": "[]"}, r"task\.json: holds list: a JSON object"),
        (FORMS["classification"], {"task.json": '{"labels": 2}'}, r"task\.json: labels: 2 is not allowed"),
        (FORMS["classification"], {"task.json": '{"labels": ["bad", "bad", "good"]}'}, r"labels: .* different names"),
        (FORMS["classification"], {"task.json": '{"labels": [["bad"], "good"]}'}, r"task\.json: labels: "),
        (FORMS["classification"], {"task.json": '{"name": 3}'}, r"task\.json: name: 3 is not allowed"),
        (FORMS["similarity"], {"task.json": '{"regression": 5}'}, r"task\.json: regression: 5 is not allowed"),
        (FORMS["similarity"], {"task.json": '{"regression": ["0", "5"]}'}, r"task\.json: regression: "),
        (FORMS["similarity"], {"task.json": '{"regression": [0, Infinity]}'}, r"task\.json: regression: "),
        (FORMS["multiple_choice"], {"task.json": '{"regression": [0, 4]}'}, "regression: not allowed with multiple"),
        (FORMS["similarity"], {"task.json": '{"metric": "f1"}'}, "metric: 'f1' is not allowed: pearson or spearman"),
        (FORMS["multiple_choice"], {"task.json": '{"metric": "f1"}'}, "metric: 'f1' is not allowed: .* two labels"),
        (FORMS["similarity"].replace("4.5", "nan"), {}, r"train\.tsv:2: label 'nan' .* a finite number"),
        (FORMS["similarity"].replace("4.5", "inf"), {}, r"train\.tsv:2: label 'inf' .* a finite number"),
        (FORMS["similarity"].replace("4.5", "0.2"), {}, "every training label is 0.2"),
        ("text\tlabel\n\tgood\n \tbad\n", {}, "no text in any"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path, train, others, said):
    with pytest.raises(InputError, match=said):
        load_task(str(folder(tmp_path, train, **others)))


def test_json_that_is_no_text_is_named_by_its_line(tmp_path):
    for text in ("[" * 100_000, json.dumps({"text": "\ud800", "label": "bad"})):
        with pytest.raises(InputError, match=r"train\.jsonl:1: "):
            load_task(str(folder(tmp_path, text, ".jsonl")))
        (tmp_path / "mine" / "train.jsonl").unlink()
        (tmp_path / "mine").rmdir()


def test_stated_labels_may_be_numbers(tmp_path):
    train = "text\tlabel\nfine\t1\ndull\t0\n"
    task, splits = load_task(str(folder(tmp_path, train, **{"task.json": '{"labels": [1, 0]}'})))
    assert task.labels == ("1", "0") and splits["train"][0].label == 0


def test_the_order_of_labels_does_not_depend_on_the_order_of_a_set():
    for values in (["1", "1.0", "01", "0"], ["1.0", "01", "0", "1"]):
        assert task_folder._ordered(values) == ["0", "01", "1", "1.0"]
    assert task_folder._ordered(["nan", "1", "0"]) == ["0", "1", "nan"]
    assert task_folder._ordered(["10", "9"]) == ["9", "10"]


def test_one_example_trains_and_none_is_held_out(tmp_path):
    _, splits = load_task(str(folder(tmp_path, "text\tlabel\nfine film\tgood\n")))
    assert [e.texts for e in splits["train"]] == [("fine film",)] and "validation" not in splits


def test_unknown_tasks_name_the_nearest():
    with pytest.raises(InputError, match="sst2"):
        get_task("sst-2")


def test_every_declared_task_is_whole():
    assert len(set(task_names())) == len(TASKS) >= 14
    for task in TASKS:
        assert (task.shape == "multiple_choice" or task.regression is not None) == (task.labels == ())


DEV = ("train", "dev", "test")
SICK = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n1\tA\tB\t4.5\tCONTRADICTION\n"
COPA = (
    '<c><item id="1" asks-for="effect" most-plausible-alternative="2"><p>P.</p><a1>X.</a1><a2>Y.</a2></item>'
    '<item id="2" asks-for="cause" most-plausible-alternative="1"><p>Q.</p><a1>X.</a1><a2>Y.</a2></item></c>'
)
OPENBOOK = "ID\tq\tc\tw\tk\n7\tThe sun is\t(A) hot (B) cold (see (A)) (C) wet (D) far\tx\tA\n"
STORY = "s1\tAuthor\tTom fell.\\newlineHe rose.\t" + "\t".join(["one: Who?", "a", "b", "c", "d"] * 4) + "\n"
COLA = ("in_domain_train", "in_domain_dev", "out_of_domain_dev")
PAN = (("_s1.txt", "A\n"), ("_s2.txt", "B\n"), (".labels", "1\n"))
# files of the original distribution, and the first example's texts and label
ORIGINALS = {
    "sst2": (
        {f"sst2/{n}.tsv": "sentence\tlabel\na good film \t1\nbad\t0\n" for n in DEV},
        (("a good film",), 1),
    ),
    "cola": (
        {f"cola/raw/{n}.tsv": "gj04\t1\t\tHe left.\ngj04\t0\t*\tLeft he.\n" for n in COLA},
        (("He left.",), 1),
    ),
    "trec": (
        {f"trec/TREC.{n}.all": "0 What is an atom ?\n" * 3 for n in ("train", "test")},
        (("What is an atom ?",), 0),
    ),
    "rte": (
        {f"rte/{n}.tsv": "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tnot_entailment\n" for n in DEV},
        (("A", "B"), 1),
    ),
    "sick": (
        {f"sick/SICK_{n}.txt": SICK for n in ("train", "trial", "test_annotated")},
        (("A", "B"), 2),
    ),
    "stsb": (
        {f"stsb/sts-{n}.csv": 'news\tMSRpar\t2012\t7\t3.800\tA "b\tC\tx\ty\n' for n in DEV},
        (('A "b', "C"), 3.8),
    ),
    "pan": (
        {f"pan/pan-{n}{end}": text * 3 for n in ("train", "test") for end, text in PAN},
        (("A", "B"), 1),
    ),
    "copa": (
        {f"copa/datasets/copa-{n}.xml": COPA for n in ("dev", "test")},
        (("P.", "so", "X.", "Y."), 1),
    ),
    "openbookqa": (
        {f"openbookqa/{n}.tsv": OPENBOOK for n in DEV},
        (("The sun is", "", "hot", "cold (see (A))", "wet", "far"), 0),
    ),
    "mctest160": (
        {f"mctest/mc160.{n}.{end}": text for n in DEV for end, text in (("tsv", STORY), ("ans", "C\tA\tB\tD\n"))},
        (("Tom fell. He rose.", "Who?", "a", "b", "c", "d"), 2),
    ),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_original_files_are_read_as_they_are(tmp_path, name):
    files, (texts, label) = ORIGINALS[name]
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    task, splits = load_task(name, tmp_path)
    assert task == get_task(name)
    first = splits["train"][0]
    assert (first.texts, first.label) == (texts, label)


def test_damaged_original_files_are_named(tmp_path):
    (tmp_path / "rte").mkdir()
    (tmp_path / "rte/train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n0\tA\tB\tperhaps\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"rte/train\.tsv:2: label 'perhaps'"):
        load_task("rte", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        load_task("trec", tmp_path)


def test_a_folder_in_our_form_may_stand_in_for_a_declared_task(tmp_path):
    (tmp_path / "rte").mkdir()
    (tmp_path / "rte/train.tsv").write_text(FORMS["entailment"] * 1, encoding="utf-8")
    task, _ = load_task("rte", tmp_path)
    assert task.labels == ("no", "yes") and task_folder.is_one(tmp_path / "rte")


ROWS = {  # GLUE's own files, two rows of each split; test labels are not public
    "sst2": ("SST-2", "sentence\tlabel\n", "a dull {}\t0\na bright {}\t1\n", "index\tsentence\n0\ta {}\n"),
    "rte": (
        "RTE",
        "index\tsentence1\tsentence2\tlabel\n",
        "0\tIt rains in {}.\tIt is wet.\tentailment\n1\tIt rains.\tIt is dry in {}.\tnot_entailment\n",
        "index\tsentence1\tsentence2\n0\tIt is {}.\tIt is.\n",
    ),
    "stsb": (
        "STS-B",
        "index\tsentence1\tsentence2\tscore\n",
        "0\ta {}\tthe {}\t4.250\n1\ta cat\t{}\t0.500\n",
        "index\tsentence1\tsentence2\n0\tone {}\ttwo\n",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_tasks_come_from_tfds_where_no_folder_is_given(name, tmp_path, monkeypatch):
    """TFDS's own code prepares the dataset, without TensorFlow; only what it downloads is made here."""
    folder, header, rows, test = ROWS[name]
    (tmp_path / folder).mkdir()
    for split, text in (("train", header + rows), ("dev", header + rows), ("test", test)):
        (tmp_path / folder / f"{split}.tsv").write_text(text.replace("{}", split), encoding="utf-8")
    monkeypatch.setattr(
        "tensorflow_datasets.core.download.DownloadManager.download_and_extract", lambda self, urls: str(tmp_path)
    )
    monkeypatch.setenv("GPT_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    task, splits = load_task(name, None)
    for split, written in (("train", "train"), ("validation", "dev")):
        both = sorted((example.label, example.texts) for example in splits[split])
        assert (
            both
            == {
                "sst2": [(0, (f"a dull {written}",)), (1, (f"a bright {written}",))],
                "rte": [(0, (f"It rains in {written}.", "It is wet.")), (1, ("It rains.", f"It is dry in {written}."))],
                "stsb": [(0.5, ("a cat", written)), (4.25, (f"a {written}", f"the {written}"))],
            }[name]
        )
    assert [example.label for example in splits["test"]] == [None]
    assert task.labels == get_task(name).labels


@pytest.mark.parametrize("task", [task for task in TASKS if task.tfds is not None], ids=lambda task: task.name)
def test_tfds_has_each_task_by_the_name_and_with_the_features_that_are_declared(task, tmp_path):
    try:
        features = tfds_source._found(task.tfds.name, None, tmp_path).info.features
    except InputError as error:
        assert task.name == "copa" and "pip install tensorflow, or --data-dir" in str(error)
        return
    assert all(features[text].__class__.__name__ == "Text" for text in task.tfds.texts)
    labels = getattr(features[task.tfds.label], "names", None)
    assert labels is None or len(labels) == len(task.labels)
