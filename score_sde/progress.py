"""What a person sees while something takes time: rate and time left, and what is being compiled."""

import contextlib
import io
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Progress:
    """One line that is rewritten on a terminal, a plain line now and then elsewhere, such as

        step 40/300  loss 0.25  80 examples/s  0:00:03 left

    ``what`` is counted up to ``total``, from ``done`` on; each of them is ``each`` ``unit``s. The pace is that of the
    last twenty marks, so that the time of compiling is soon forgotten.
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
        """The state of things, unless it was just shown. A note stays until there is another one."""
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
        """So many more are done."""
        self.done += count
        self.show(self.done, note)

    def begin(self, done: float) -> None:
        """Count the pace from here on: what came before was compiling."""
        self._marks = deque([(done, time.monotonic())], maxlen=20)

    def within(self, count: int) -> Callable[[int, int], None]:
        """For a batch of ``count``: takes (steps done, steps) from a sampler."""
        return lambda step, steps: self.show(self.done + count * step / steps, f"step {step}/{steps}")

    def say(self, text: str) -> None:
        """A line that stays."""
        self.stream.write(f"\r\033[K{text}\n" if self.live else text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Leave the line that was rewritten."""
        if self.enabled and self.live:
            self.stream.write("\n")

    def _write(self, line: str) -> None:
        self.stream.write(f"\r\033[K{line}" if self.live else line + "\n")
        self.stream.flush()


@contextlib.contextmanager
def compiling(
    what: str, *, after: float = 2.0, enabled: bool = True, stream: io.TextIOBase | None = None
) -> Iterator[None]:
    """Say what is being compiled if it takes more than ``after`` seconds, and at the end how long it took.

    Put it around the first call of a compiled function.
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
    """Hours, minutes and seconds: "1:02:03"."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
