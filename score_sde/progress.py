"""Progress display: rate and remaining time, and messages about compilation."""

import contextlib
import io
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Progress:
    """A progress line, rewritten in place on a terminal, printed at intervals elsewhere, such as

        step 40/300  loss 0.25  80 examples/s  0:00:03 left

    Counts ``what`` from ``done`` up to ``total``; each of them is ``each`` ``unit``s. The rate is over the last twenty
    updates, so the time of compilation soon drops out.
    """

    def __init__(
        self,
        total: int,
        what: str = "sample",
        *,
        done: int = 0,
        each: int = 1,
        unit: str = "samples",
        enabled: bool = True,
        stream: io.TextIOBase | None = None,
        every: float | None = None,
    ):
        self.total, self.what, self.done, self.each, self.unit = total, what, done, each, unit
        self._note = ""
        self.enabled, self.stream = enabled, stream or sys.stderr
        self.live = self.stream.isatty()
        self.every = (0.2 if self.live else 10.0) if every is None else every
        self._shown = time.monotonic() if every is None and not self.live else -1e9
        self._marks: deque[tuple[float, float]] = deque([(done, time.monotonic())], maxlen=20)

    def show(self, done: float, note: str | Mapping[str, float] | None = None) -> None:
        """Show the progress, unless it was just shown. A note stays until it is replaced."""
        if note is not None:
            self._note = (
                note if isinstance(note, str) else "  ".join(f"{key} {value:.4g}" for key, value in note.items())
            )
        now = time.monotonic()
        if not self.enabled or (now - self._shown < self.every and done < self.total):
            return
        self._shown = now
        before, then = self._marks[0]
        pace = (done - before) / max(now - then, 1e-9)
        self._marks.append((done, now))
        parts = [f"{self.what} {done:.0f}/{self.total}", self._note]
        if pace > 0:
            rate = pace * self.each
            parts += [f"{rate:.{0 if rate >= 10 else 2}f} {self.unit}/s", f"{clock((self.total - done) / pace)} left"]
        self._write("  ".join(part for part in parts if part))

    def advance(self, count: int, note: str = "") -> None:
        """Count ``count`` more."""
        self.done += count
        self.show(self.done, note)

    def begin(self, done: float) -> None:
        """Measure the rate from now on, to exclude earlier compilation."""
        self._marks = deque([(done, time.monotonic())], maxlen=20)

    def within(self, count: int) -> Callable[[int, int], None]:
        """A callback (steps done, steps) for a sampler's batch of ``count``."""
        return lambda step, steps: self.show(self.done + count * step / steps, f"step {step}/{steps}")

    def say(self, text: str) -> None:
        """Print a permanent line."""
        self.stream.write(f"\r\033[K{text}\n" if self.live else text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """End the line that is rewritten in place."""
        if self.enabled and self.live:
            self.stream.write("\n")

    def _write(self, line: str) -> None:
        self.stream.write(f"\r\033[K{line}" if self.live else line + "\n")
        self.stream.flush()


@contextlib.contextmanager
def compiling(
    what: str, *, after: float = 2.0, enabled: bool = True, stream: io.TextIOBase | None = None
) -> Iterator[None]:
    """Report what is being compiled if it takes more than ``after`` seconds, and at the end the time it took.

    Use it around the first call of a compiled function.
    """
    out: Any = stream or sys.stderr
    began = time.monotonic()
    said = threading.Event()

    def say() -> None:
        said.set()
        out.write(f"compiling {what} ...\n")
        out.flush()

    timer = threading.Timer(after, say)
    timer.daemon = True
    if enabled:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if said.is_set():
            out.write(f"compiled {what} in {time.monotonic() - began:.0f} s\n")
            out.flush()


def clock(seconds: float) -> str:
    """Seconds in the form "1:02:03"."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
