"""Text that runs learn from, and the runs that most tests here copy, compare with or go on with: each is made once."""

import random
from pathlib import Path

import pytest

from experiments.runs import runner
from experiments.runs.pretraining import session
from tests.experiments.runs.real import run, stop_at


@pytest.fixture(scope="session", autouse=True)
def compiled_once():
    """Runs of one config in one process share their training step."""
    compiled, compile_step = {}, session.compile_step

    def once(config, plan, mesh):
        key = config, mesh, plan.accumulation, plan.micro_batch
        if key not in compiled:
            compiled[key] = compile_step(config, plan, mesh)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "compile_step", once)
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> tuple[Path, Path]:
    """A folder of text, and a cache for what is made of it."""
    folder = tmp_path_factory.mktemp("data")
    words = random.Random(0).choices(["to ", "be ", "or ", "not ", "that ", "is\n"], k=1500)
    (folder / "text.txt").write_text("".join(words), encoding="utf-8")
    return folder, tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def text(prepared):
    """Text to learn from, with a cache of its own in use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPT_JAX_CACHE", str(prepared[1]))
        yield prepared[0]


@pytest.fixture(scope="session")
def finished(prepared, tmp_path_factory):
    """The folder of a finished run, not to be changed, and its result."""
    folder = tmp_path_factory.mktemp("runs") / "seed-0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPT_JAX_CACHE", str(prepared[1]))
        return folder, run(folder, prepared[0])


@pytest.fixture(scope="session")
def half(prepared, tmp_path_factory) -> Path:
    """The folder of a run that was stopped at step 9, with checkpoints of steps 8 and 9; not to be changed."""
    folder = tmp_path_factory.mktemp("half") / "seed-0"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(runner.Interrupted):
        patch.setenv("GPT_JAX_CACHE", str(prepared[1]))
        run(folder, prepared[0], should_stop=stop_at(folder, 9))
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["8", "9"]
    return folder
