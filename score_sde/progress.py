"""What a person sees while something takes time."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Rate and remaining time: one line that is rewritten on a terminal, a plain line now and then elsewhere."""

    def __init__(self, total: int, enabled: bool = True, stream: TextIO | None = None, every: float = 30.0):
        self.total, self.enabled, self.stream = total, enabled, stream or sys.stderr
        self.live = self.stream.isatty()
        self.every = 0.2 if self.live else every
        self.done, self.began, self.shown = 0, time.monotonic(), 0.0

    def within(self, count: int) -> Callable[[int, int], None]:
        """For a batch of ``count`` samples: takes (steps done, steps) from the sampler."""
        return lambda step, steps: self.show(self.done + count * step / steps, f"step {step}/{steps}")

    def advance(self, count: int) -> None:
        self.done += count
        self.show(float(self.done), "", always=self.done >= self.total)

    def show(self, done: float, note: str, always: bool = False) -> None:
        now = time.monotonic()
        if not self.enabled or (now - self.shown < self.every and not always):
            return
        self.shown, elapsed = now, now - self.began
        rate = done / elapsed if elapsed > 0 else 0.0
        left = f"{clock((self.total - done) / rate)} left" if rate > 0 else "…"
        line = f"{self.done}/{self.total} samples  {rate:.2f}/s  {clock(elapsed)} gone, {left}  {note}"
        self.stream.write(f"\r\033[K{line}" if self.live else line.rstrip() + "\n")
        self.stream.flush()

    def close(self) -> None:
        if self.enabled and self.live:
            self.stream.write("\n")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: "1:02:03"."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
