"""Local files and the built-in corpus as documents: what is read, in which order, and what is wrong in one line."""

import gzip
import json

import pytest
import zstandard

from gpt_jax.data.plays import plain_text
from gpt_jax.data.sources import open_source
from gpt_jax.errors import InputError
from tests.data.rows import read, write_rows


@pytest.fixture
def folder(tmp_path):
    """Text in every form that is read, and files that are not."""
    place = tmp_path / "texts"
    (place / "below").mkdir(parents=True)
    (place / "a.txt").write_bytes("caf\u00e9\r\n".encode())
    (place / "b.md").write_text("# Title\n", encoding="utf-8")
    (place / "below" / "c.jsonl").write_text('{"text": "one"}\n\n{"text": "two", "id": 2}\n', encoding="utf-8")
    with gzip.open(place / "below" / "d.txt.gz", "wt", encoding="utf-8") as file:
        file.write("packed")
    with gzip.open(place / "e.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "three"}')
    (place / "bom.TXT").write_bytes(b"\xef\xbb\xbfmarked")
    (place / ".hidden.txt").write_text("hidden", encoding="utf-8")
    (place / "image.png").write_bytes(b"\xff\x00")
    return place


def test_a_folder_gives_all_text_below_it_in_the_order_of_paths(folder, root):
    source = open_source("local", folder, root)
    assert read(source) == ["caf\u00e9\r\n", "# Title\n", "one", "two", "packed", "marked", "three"]
    assert read(source) == read(source)


def test_documents_are_named_by_file_and_line(folder, root):
    names = [document.name for document in open_source("local", folder, root).documents()]
    assert names[0].endswith("a.txt") and names[3].endswith("c.jsonl' line 3")


@pytest.mark.parametrize("name", ["local:a.txt", "local:{folder}/a.txt"])
def test_a_single_file_by_relative_or_absolute_path(name, folder, root):
    assert read(open_source(name.format(folder=folder), folder, root)) == ["caf\u00e9\r\n"]
    assert read(open_source("local", folder / "a.txt", root)) == ["caf\u00e9\r\n"]


def test_the_digest_follows_the_content(folder, root):
    before = open_source("local", folder, root).digest
    (folder / "a.txt").rename(folder / "aa.txt")
    assert open_source("local", folder, root).digest == before
    (folder / "aa.txt").write_text("changed", encoding="utf-8")
    assert open_source("local", folder, root).digest != before


def test_the_digest_of_a_large_file_is_remembered_until_it_changes(folder, root, monkeypatch):
    monkeypatch.setattr("gpt_jax.disk.ALWAYS_HASHED", 0)
    hashed = []
    monkeypatch.setattr(
        "gpt_jax.disk.sha256", lambda path: hashed.append(path.name) or path.read_text(encoding="utf-8")
    )
    first = open_source("local:a.txt", folder, root).digest
    assert open_source("local:a.txt", folder, root).digest == first
    assert hashed == ["a.txt"]
    (folder / "a.txt").write_text("longer than it was", encoding="utf-8")
    assert open_source("local:a.txt", folder, root).digest != first


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"caf\xe9", "x.txt' is not UTF-8 text"),
        ("x.txt.gz", b"no gzip", "x.txt.gz' is a damaged .gz file"),
        ("x.txt.gz", gzip.compress(b"text" * 1000, mtime=0)[:-20], "x.txt.gz' is a damaged .gz file"),
        ("x.jsonl.gz", gzip.compress(b'{"text": "a"}' * 99, mtime=0)[:30], "x.jsonl.gz' is a damaged .gz file"),
        ("x.jsonl", b'{"text": "a"}\nnot json', "x.jsonl' line 2: not JSON"),
        ("x.jsonl", b'{"text": "a"}\n{"body": "b"}', "x.jsonl' line 2 has no text"),
        ("x.jsonl", b'{"text": 3}', "x.jsonl' line 1 has no text"),
        ("x.jsonl", b'["text"]', "x.jsonl' line 1 has no text"),
    ],
)
def test_unreadable_files_are_named(tmp_path, root, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read(open_source(f"local:{name}", tmp_path, root))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "data_dir", "message"),
    [
        ("local", None, "'local' needs a data folder: give --data-dir"),
        ("local:a.txt", None, "'local:a.txt' needs a data folder: give --data-dir"),
        ("local", "missing", "missing' does not exist"),
        ("shakespeare", "missing", "missing' does not exist"),
        ("local:missing.txt", ".", "missing.txt' does not exist"),
        ("local", "cache", "cache' holds no text: expected .txt, .md, .jsonl"),
        ("shakespear", None, "unknown data.source 'shakespear': did you mean 'shakespeare'?"),
        ("local:", None, "unknown data.source 'local:'"),
        ("tfds:imdb_review", None, "unknown TFDS dataset 'imdb_review': did you mean 'imdb_reviews'?"),
    ],
)
def test_wrong_places_and_names_are_refused(tmp_path, root, name, data_dir, message):
    with pytest.raises(InputError) as error:
        open_source(name, data_dir and tmp_path / data_dir, root)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "missing").exists()


def test_json_text_may_hold_any_character(tmp_path, root):
    text = 'quotes " and \u2028 lines \n and \x00'
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False), encoding="utf-8")
    assert read(open_source("local:x.jsonl", tmp_path, root)) == [text]


@pytest.mark.parametrize("value", ["[" * 100_000, '{"text": ' + "9" * 5000 + "}"])
def test_json_past_the_parser_is_named_by_line(tmp_path, root, value):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n' + value, encoding="utf-8")
    with pytest.raises(InputError, match=r"x\.jsonl' line 2: "):
        read(open_source("local:x.jsonl", tmp_path, root))


def test_a_pointer_of_git_lfs_is_not_text(tmp_path, root):
    (tmp_path / "x.txt").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="only a pointer of Git LFS"):
        open_source("local", tmp_path / "x.txt", root)


def test_a_cloned_data_set_trains_on_its_rows_and_not_on_its_card(tmp_path, root):
    clone = tmp_path / "clone"
    for split in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001", "validation-00000-of-00001"):
        write_rows(clone / "data" / f"{split}.parquet", [{"text": split}])
    (clone / "README.md").write_text("---\nlicense: mit\n---\nA card.", encoding="utf-8")
    (clone / ".gitattributes").write_text("", encoding="utf-8")
    (clone / "load.py").write_text("raise SystemExit('run')", encoding="utf-8")
    source = open_source("local", clone, root)
    assert read(source) == ["train-00000-of-00002", "train-00001-of-00002"]
    assert source.left_out == {
        "data set cards": 1,
        "files of other splits than train": 2,
        "hidden files and folders": 1,
        "files ending in .py": 1,
    }


def test_the_pile_trains_on_its_folder_train_alone(tmp_path, root):
    for name in ("train/00", "train/01", "val", "test"):
        path = tmp_path / "pile" / f"{name}.jsonl.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = json.dumps({"text": name, "meta": {"pile_set_name": "Pile-CC"}})
        path.write_bytes(zstandard.ZstdCompressor().compress(f"{row}\n".encode()))
    source = open_source("local", tmp_path / "pile", root)
    assert read(source) == ["train/00", "train/01"] and source.left_out == {"files of other splits than train": 2}


def test_a_folder_without_text_says_what_was_left_out(tmp_path, root):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "load.py").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds no text: .*left out: 1 files ending in \.py"):
        open_source("local:only", tmp_path, root)


def test_links_are_followed_once_and_without_end(folder, root, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "o.txt").write_text("outside", encoding="utf-8")
    plain = read(open_source("local", folder, root))
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "aagain.txt").symlink_to(folder / "a.txt")  # the file itself is read, under its own name
    (folder / "below" / "loop").symlink_to(folder)
    (tmp_path / "outside" / "loop").symlink_to(tmp_path / "outside")
    source = open_source("local", folder, root)
    assert sorted(read(source)) == sorted([*plain, "outside"])
    assert source.left_out["links to what is read already"] == 3
    assert source.left_out["hidden files and folders"] == 1 and source.left_out["files ending in .png"] == 1


def test_runs_and_weights_below_the_data_folder_are_no_text(folder, root):
    before = open_source("local", folder, root)
    for place, config in (("out/e/a/seed-0", {"identity": {}, "digest": "0"}), ("weights", {"model_type": "gpt2"})):
        (folder / place).mkdir(parents=True)
        (folder / place / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (folder / place / "samples.txt").write_text("what a model wrote", encoding="utf-8")
    (folder / "out" / "e" / "report.md").write_text("what is reported of the experiment", encoding="utf-8")
    after = open_source("local", folder, root)
    assert after.digest == before.digest and read(after) == read(before)
    assert after.left_out["folders of runs and weights"] == 2


def test_answers_of_evaluations_below_the_data_folder_are_no_text(folder, root):
    before = open_source("local", folder, root)
    about = dict.fromkeys(("folder", "seed", "limit", "stride", "overflow", "results"))
    for name in ("scores", "of.two"):
        (folder / f"{name}.json").write_text(json.dumps(about), encoding="utf-8")
        (folder / f"{name}.items.jsonl").write_text('{"text": "what a model answered"}\n', encoding="utf-8")
    after = open_source("local", folder, root)
    assert after.digest == before.digest and read(after) == read(before)
    assert after.left_out["answers of evaluations"] == 2
    (folder / "own.items.jsonl").write_text('{"text": "a text of the user"}\n', encoding="utf-8")
    (folder / "scores.json").write_text("{}", encoding="utf-8")
    assert sorted(read(open_source("local", folder, root))) == sorted(
        [*read(before), "a text of the user", "what a model answered"]
    )


def test_markdown_becomes_the_form_of_a_printed_play():
    markdown = (
        "# Hamlet\n\n## ACT I\n\n_FRANCISCO at his post. Enter to\nhim BERNARDO_\n\n\n**BERNARDO**  \nWho's there?  \n"
        "_\\[Aside]_  \nLong live the king!\n\n*Exeunt.*\n"
    )
    assert plain_text(markdown) == (
        "Hamlet\n\nACT I\n\n[FRANCISCO at his post. Enter to\nhim BERNARDO]\n\nBERNARDO:\nWho's there?\n"
        "[Aside]\nLong live the king!\n\n[Exeunt.]\n"
    )


def test_the_built_in_corpus_is_38_plays_without_markup(root, capfd):
    plays = read(open_source("shakespeare", None, root))
    assert len(plays) == 38 and 4_900_000 < sum(map(len, plays)) < 5_100_000
    assert any(play.startswith("Hamlet\n\nACT I\n\nSCENE I. Elsinore.") for play in plays)
    assert not set("_*#\\") & set("".join(plays))
    assert "To be, or not to be: that is the question:" in "".join(plays)
    assert capfd.readouterr() == ("", "")  # TFDS reports nothing on the terminal


def test_a_builder_that_was_made_before_another_process_prepared_its_dataset_reads_it(root):
    from gpt_jax.data.shakespeare import Shakespeare
    from gpt_jax.data.tfds_source import FILE_FORMAT, _examples, _prepared

    ours, theirs = (Shakespeare(data_dir=root / "tfds" / "plays", file_format=FILE_FORMAT) for _ in range(2))
    unprepared, ours.is_prepared = ours.is_prepared, lambda: False  # as it was while we waited for the lock
    assert not unprepared()
    _prepared(theirs, root)
    assert sum(1 for _ in _examples(_prepared(ours, root))) == 38
