"""What is printed, wherever it goes: a pipe that closes, a terminal that is not UTF-8 or is narrow; brackets."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from experiments.cli import main
from experiments.terminal import Outlasting, make_console, print_whole

ROOT = Path(__file__).parents[2]


def python(code: str, **changes: str) -> subprocess.Popen:
    """Runs `code` with the command line's streams; its output goes into a pipe."""
    start = "import sys; from experiments.terminal import forgive_streams; forgive_streams();"
    env = {key: value for key, value in os.environ.items() if key not in ("LC_ALL", "LANG", "PYTHONIOENCODING")}
    return subprocess.Popen(
        [sys.executable, "-c", start + code],
        cwd=ROOT,
        env=env | changes,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_command_whose_reader_goes_away_goes_on_to_its_end(tmp_path):
    """The reader leaves after one line; what comes after the print that nobody reads still happens."""
    code = (
        "from pathlib import Path; print('first', flush=True); __import__('time').sleep(0.5);"
        "[print('more' * 1000) for _ in range(100)];"
        f"Path({str(tmp_path / 'done')!r}).touch(); print('last', file=sys.stderr); sys.exit(3)"
    )
    started = python(code)
    assert started.stdout is not None and started.stderr is not None
    assert started.stdout.readline() == b"first\n"
    started.stdout.close()
    assert started.stderr.read() == b"last\n"
    assert started.wait(timeout=30) == 3 and (tmp_path / "done").exists()


def test_a_reading_command_into_a_closed_pipe_ends_well():
    command = [sys.executable, "-m", "experiments", "list"]
    done = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout is not None and done.stderr is not None
    done.stdout.close()
    assert (done.stderr.read(), done.wait(timeout=60)) == (b"", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_only_a_missing_reader_is_forgiven():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "experiments", "list"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (2, b"error: <stdout>: No space left on device\n")


def test_a_terminal_that_is_not_utf8_gets_a_question_mark():
    raw = io.BytesIO()
    stream = Outlasting(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("é ok")
    stream.flush()
    assert raw.getvalue() == b"? ok"


@pytest.mark.parametrize(
    "changes", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_characters_that_the_terminal_lacks_are_replaced(changes):
    code = (
        "from experiments.terminal import make_console, print_whole; from rich.table import Table;"
        "table = Table('caf\\u00e9'); table.add_row('\\u03b1 1'); print_whole(make_console(), table);"
        "print('\\u03b2 2 \\udcff'); print('\\u03b3 3', file=sys.stderr)"
    )
    out, err = python(code, **changes).communicate(timeout=60)
    assert err == b"\\u03b3 3\n" and b"? 1" in out and out.endswith(b"? 2 ?\n") and b"caf?" in out


@pytest.fixture
def narrow(monkeypatch, capsys):
    """A terminal of 40 columns; what it shows is captured."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = make_console()
    assert console.is_terminal and console.width == 40
    return console


def test_figures_stay_whole_on_a_narrow_terminal(narrow, capsys):
    figures = [f"{n * 123_456_789:,}" for n in range(1, 8)]
    table = Table(*(f"column {n}" for n in range(7)))
    table.add_row(*figures)
    print_whole(narrow, table)
    shown = capsys.readouterr().out
    assert all(figure in shown for figure in figures) and narrow.width == 40


def test_brackets_are_text(narrow, capsys):
    table = Table("[bold]a", title="[/red]")
    table.add_row("[/x] :smile:")
    narrow.print("runs/[bold]x [/red]")
    print_whole(narrow, table)
    shown = capsys.readouterr().out
    for text in ("runs/[bold]x [/red]", "[bold]a", "[/red]", "[/x] :smile:"):
        assert text in shown


def test_a_run_into_a_folder_with_brackets_is_run(capsys, tmp_path, fake_runner):
    out = tmp_path / "[bold]x[/red]"
    argv = ["run", "context_length", "--scale", "smoke", "--seeds", "0:2", "--out", str(out)]
    assert main(argv) == 0 and main(["report", str(out)]) == 0
    assert "[bold]x[/red]" in capsys.readouterr().out and (out / "context_length" / "report.md").is_file()


def test_texts_are_the_bytes_that_were_typed(capsys):
    from experiments.arguments import text

    assert text("a \u00e9") == "a \u00e9"
    assert text("\u00e9".encode().decode("ascii", "surrogateescape")) == "\u00e9"  # as a C locale reads it


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["run", "quickstart", "training.sample_prompt=\udcff"], "training.sample_prompt"),
        (["train", "quickstart", "data.source=\udcff"], "data.source"),
        (["finetune", ".", "--task", "grammar", "data.text_key=\udcff"], "data.text_key"),
        (["finetune", ".", "--task", "\udcff"], "--task"),
        (["run", "quickstart", "--only", "\udcff"], "--only"),
        (["run", "quickstart", "--data-dir", "\udcff"], "--data-dir"),
        (["train", "quickstart", "--out=a\udcff"], "--out"),
        (["resume", "\udcff"], "DIR"),
        (["sample", ".", "--prompt", "\udcff"], "--prompt"),
        (["classify", ".", "--text", "\udcff"], "--text"),
        (["classify", ".", "--text", "a", "--text-b", "\ud800"], "--text-b"),
        (["classify", ".", "--text", "a", "--answer", "\udcff"], "--answer"),
        (["evaluate", ".", "--tasks", "\udcff"], "--tasks"),
        (["export", ".", "\udcff"], "FOLDER"),
        (["harness", "--tasks", "\udcff"], "--tasks"),
        (["\udcff"], "command"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_text_that_is_no_text_is_named_before_a_folder_is_made(argv, name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and name in said.partition("allowed")[0] and "Traceback" not in said
    assert not list(tmp_path.iterdir())
