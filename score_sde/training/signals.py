"""Requests to end, from a scheduler or the keyboard."""

import contextlib
import signal
from typing import Any

import jax

from score_sde.devices import any_host


class Signals:
    """Treat SIGTERM and SIGINT as a request to save and end after the step; a second signal ends at once."""

    def __init__(self):
        self._received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # not in the main thread, as in some notebooks
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def received(self, step: int) -> bool:
        """Whether to end now; all hosts return the same value."""
        if jax.process_count() == 1:
            return self._received
        return step % 10 == 0 and any_host(self._received)

    def _note(self, number: int, frame: Any) -> None:
        if self._received:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
        self._received = True
