"""`--profile N`: records some steps of a run for xprof, and says where their time went."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from experiments.runs.profiling.breakdown import KINDS, WINDOW, Breakdown, read_breakdown
from experiments.runs.screen import Screen
from gpt_jax.machine import processor

WARM_UP = 2  # steps before the recorded ones


class Recording:
    """A training step that records `steps` of its calls, after `WARM_UP` calls, into `folder`.

    Evaluations, samples and checkpoints that fall between the recorded steps are recorded with them. What goes wrong
    with a recording is a warning: the run goes on.
    """

    def __init__(self, step: Callable[..., Any], program: str, steps: int, folder: Path, screen: Screen):
        self._step, self._program, self._steps, self._folder, self._screen = step, program, steps, folder, screen
        self._calls = 0
        self._window: Any = None  # the open annotation, while steps are recorded

    def __call__(self, state: Any, *arguments: Any) -> Any:
        if self._calls == WARM_UP:
            jax.block_until_ready(state)
            self._guarded(self._start)
        out = self._step(state, *arguments)
        self._calls += 1
        if self._calls == WARM_UP + self._steps:
            jax.block_until_ready(out)
            self.close()
        return out

    def close(self) -> None:
        """Ends the recording, if one goes on, and prints what it holds."""
        if self._window is not None:
            self._guarded(self._stop)
        elif 0 < self._calls <= WARM_UP:
            self._screen.warn(f"--profile: nothing is recorded: the run ended after {self._calls} steps of warm-up")

    def _start(self) -> None:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # it would slow the host down
        jax.profiler.start_trace(str(self._folder), profiler_options=options)
        window = jax.profiler.TraceAnnotation(WINDOW)
        window.__enter__()
        self._window = window

    def _stop(self) -> None:
        window, self._window = self._window, None
        window.__exit__(None, None, None)
        jax.profiler.stop_trace()
        newest = max(self._folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime_ns)
        found = read_breakdown(newest, self._program)
        self._screen.table(f"where the time of {self._calls - WARM_UP} steps went", self._shown(found))

    def _shown(self, found: Breakdown) -> dict[str, str]:
        kind = jax.local_devices()[0].device_kind
        count = jax.local_device_count()
        device = f"{count} x {kind}" if kind != "cpu" else f"{processor() or 'cpu'}, {count} x cpu"
        shares = {name: f"{found.shares()[name]:6.1%}  {1e3 * found.seconds[name]:,.1f} ms" for name in KINDS}
        return {"device": device, **shares, "profile": str(self._folder)}

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._window = None
            self._screen.warn(f"--profile failed, the run goes on: {type(error).__name__}: {error}")
