"""Pairs of distributions: what is trained on is never what is tested on, and labels keep their meaning."""

import zipfile

import numpy as np
import pytest

from gpt_jax import InputError
from gpt_jax.data.pairs.shifted import PAIRS, balanced, load_pair
from gpt_jax.data.public_files import Files
from gpt_jax.data.tasks import Example, LabelledTask
from gpt_jax.finetuning.shifts import gaps, shifts


@pytest.fixture
def files(tmp_path):
    sst2 = tmp_path / "tasks" / "sst2"
    sst2.mkdir(parents=True)
    for name, rows in (("train", ("dull \t0", "fine\t1")), ("dev", ("poor\t0",)), ("test", ("grand\t1",))):
        (sst2 / f"{name}.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    raw = tmp_path / "tasks" / "cola" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("in_domain_train", 20), ("in_domain_dev", 3), ("out_of_domain_dev", 4)):
        (raw / f"{name}.tsv").write_text(
            "".join(f"gj04\t{n % 2}\t*\t{name} {n}\n" for n in range(count)), encoding="utf-8"
        )
    stsb = tmp_path / "tasks" / "stsb"
    stsb.mkdir()
    for name in ("train", "dev", "test"):
        sources = ("main-captions\timages", "main-captions\tMSRvid", "main-news\theadlines", "main-news\tMSRpar")
        rows = (f"{s}\t2012\t{n}\t{n}.5\t{name} {s.split()[1]}\tb" for s in sources for n in range(2))
        (stsb / f"sts-{name}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "pros_cons.zip", "w") as archive:
        archive.writestr("pros_cons/IntegratedCons.txt", "  <Cons>Eats  batteries &amp; film</Cons>\n")
        archive.writestr("pros_cons/IntegratedPros.txt", "<Pros>Light</Pros>\n<Pros> </Pros>\n")
        archive.writestr("pros_cons/README.txt", "Pros and cons\n")
    with zipfile.ZipFile(tmp_path / "product_reviews_1.zip", "w") as archive:
        lines = (
            "*Canon[+3]",
            "[t]great[+3]",
            "##no mark",
            "a[+2], b[+1]##good .",
            "a[+2], b[-1]##mixed .",
            "a[-1]##bad .",
        )
        archive.writestr("product_reviews_1/Canon_G3.txt", "\n".join(lines))
    (tmp_path / "tweets_GroundTruth.txt").write_text(
        "1\t2.5\tso &lt;3 happy\n2\t0.4\tmeh\n3\t-1.0\tsad\n", encoding="utf-8"
    )
    (tmp_path / "nytEditorialSnippets_GroundTruth.txt").write_text(
        "1_1\t-3.1\tIt failed.\n1_2\t2\tGood.\n1_3\t1.5\tWell.\n", encoding="utf-8"
    )
    return Files(tmp_path)


def rows(examples):
    return [(e.texts[0], e.label) for e in examples]


def test_sentiment_keeps_its_two_classes_in_every_domain(files):
    task, splits, _ = load_pair("sst2_domains", files)
    assert (task.name, task.labels) == ("sst2_domains", ("negative", "positive"))
    assert rows(splits["train"]) == [("dull", 0), ("fine", 1)] and rows(splits["test"]) == [("grand", 1)]
    assert rows(splits["ood_pros_cons"]) == [("Eats batteries & film", 0), ("Light", 1)]
    assert rows(splits["ood_products"]) == [("bad .", 0), ("good .", 1)]
    assert rows(splits["ood_tweets"]) == [("sad", 0), ("so <3 happy", 1)]
    assert [label for _, label in rows(splits["ood_editorials"])] == [0, 1]


def test_what_is_tested_on_is_never_a_copy_of_what_is_trained_on(files, tmp_path):
    sst2 = tmp_path / "tasks" / "sst2"
    (sst2 / "test.tsv").write_text("sentence\tlabel\ndull\t0\ngrand\t1\n", encoding="utf-8")
    (tmp_path / "tweets_GroundTruth.txt").write_text("1\t2\tfine\n2\t2\tglad\n3\t-1\tsad\n", encoding="utf-8")
    _, splits, copies = load_pair("sst2_domains", files)
    assert copies == {"test": 1, "ood_pros_cons": 0, "ood_products": 0, "ood_tweets": 1, "ood_editorials": 0}
    assert rows(splits["train"]) == [("dull", 0), ("fine", 1)]
    assert rows(splits["test"]) == [("grand", 1)]
    assert "fine" not in {text for text, _ in rows(splits["ood_tweets"])}


def test_cola_is_tested_on_its_own_sources_and_on_others(files):
    _, splits, _ = load_pair("cola_sources", files)
    assert {name: len(own) for name, own in splits.items()} == {
        "train": 18,
        "validation": 2,
        "test": 3,
        "ood_sources": 4,
    }
    assert not {e.texts for e in splits["train"]} & {e.texts for e in splits["validation"]}
    assert all("in_domain_dev" in text for text, _ in rows(splits["test"]))
    assert all("out_of_domain" in text for text, _ in rows(splits["ood_sources"]))


@pytest.mark.parametrize(
    ("name", "own", "other"), [("stsb_images", "images", "MSRvid"), ("stsb_msrpar", "MSRpar", "headlines")]
)
def test_similarity_is_trained_on_one_source_and_tested_on_both(files, name, own, other):
    task, splits, _ = load_pair(name, files)
    assert task.metric == "pearson" and task.regression == (0, 5)
    assert {split: {e.texts[0] for e in rows} for split, rows in splits.items()} == {
        "train": {f"train {own}"},
        "validation": {f"dev {own}"},
        "test": {f"test {own}"},
        f"ood_{other.lower()}": {f"{split} {other}" for split in ("train", "dev", "test")},
    }


def test_a_balanced_set_has_as_many_of_either_class_and_is_the_same_each_time():
    examples = [Example((str(n),), int(n >= 10)) for n in range(40)]
    first = balanced(examples, 8)
    assert [e.label for e in first] == [0] * 8 + [1] * 8 and len({e.texts for e in first}) == 16
    assert first == balanced(examples, 8) and len(balanced(examples)) == 20


def test_gaps_are_absolute_and_relative():
    assert gaps(0.8, 0.6) == pytest.approx((0.2, 0.25))
    assert gaps(0.5, 0.6) == pytest.approx((-0.1, -0.2))


def test_shifts_are_the_losses_of_each_ood_split_of_their_mean_and_of_bag_of_words():
    task = LabelledTask("toy", "classification", ("no", "yes"))
    metrics = {
        "test/accuracy": 0.8,
        "ood_a/accuracy": 0.6,
        "ood_b/accuracy": 0.7,
        "bag_of_words/test/accuracy": 0.5,
        "bag_of_words/ood_a/accuracy": 0.4,
        "bag_of_words/ood_b/accuracy": 0.5,
    }
    sure, unsure = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.6, 0.4], [0.15, 0.85]])
    found = shifts(task, metrics, {"test": sure, "ood_a": unsure, "ood_b": sure, "validation": sure})
    assert found == pytest.approx(
        {
            "ood/accuracy": 0.65,
            "gap/ood": 0.15,
            "relative_gap/ood": 0.1875,
            "gap/a": 0.2,
            "relative_gap/a": 0.25,
            "gap/b": 0.1,
            "relative_gap/b": 0.125,
            "bag_of_words/ood/accuracy": 0.45,
            "bag_of_words/gap/ood": 0.05,
            "bag_of_words/relative_gap/ood": 0.1,
            "bag_of_words/gap/a": 0.1,
            "bag_of_words/relative_gap/a": 0.2,
            "bag_of_words/gap/b": 0.0,
            "bag_of_words/relative_gap/b": 0.0,
            # of the four comparisons of outside (0.6, 0.85) with inside (0.9, 0.8) three find the outside less sure
            "detection/a/auroc": 0.75,
            "detection/a/far95": 0.5,
            "detection/b/auroc": 0.5,
            "detection/b/far95": 1.0,
        }
    )
    assert shifts(task, metrics, {"test": sure}) == {}


def test_what_is_unknown_or_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"sst2_domain.*sst2_domains"):
        load_pair("sst2_domain", Files(tmp_path))
    for pair in PAIRS:
        with pytest.raises(InputError, match="--data-dir"):
            load_pair(pair.name, Files(tmp_path))
