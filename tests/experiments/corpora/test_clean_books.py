"""Books as running text: none is lost to another of its name, and no letter to its encoding."""

import random

from experiments.corpora.clean_books import clean


def book(seed: int) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefghij", k=5)) for _ in range(400)) + " café – naïve\n"


def test_books_of_one_name_are_kept_apart(tmp_path):
    for n in range(3):
        (tmp_path / "in" / str(n)).mkdir(parents=True)
        (tmp_path / "in" / str(n) / "book.txt").write_text(book(n), encoding="utf-8")
    count, copies, encodings = clean([tmp_path / "in"], tmp_path / "out")
    assert (count, copies, encodings) == (3, [], {"utf-8-sig": 3})
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out").iterdir()}
    assert written == {"book.txt": book(0), "book-2.txt": book(1), "book-3.txt": book(2)}


def test_a_book_in_another_encoding_keeps_its_letters(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(book(0).encode("cp1252"))
    (tmp_path / "in" / "b.txt").write_bytes((book(1).replace("–", "-") + "\x81").encode("latin-1"))
    (tmp_path / "in" / "c.txt").write_bytes(book(2).encode("utf-8-sig"))
    _, _, encodings = clean([tmp_path / "in"], tmp_path / "out")
    assert encodings == {"cp1252": 1, "latin-1": 1, "utf-8-sig": 1}
    for name in "abc":
        text = (tmp_path / "out" / f"{name}.txt").read_text(encoding="utf-8")
        assert "café" in text and "\ufffd" not in text
