"""What a person sees while something takes time."""

import io
import time

from score_sde import progress
from score_sde.progress import Progress, compiling


def test_it_forgets_the_time_of_compiling(monkeypatch):
    now = iter([0.0] + [100.0 + k for k in range(30)])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = io.StringIO()
    bar = Progress(300, "step", each=8, unit="examples", stream=stream, every=0.0)
    for step in range(10, 310, 10):
        bar.show(step, {"loss": 0.25})
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("step 10/300  loss 0.25  0.80 examples/s")
    assert "80 examples/s" in lines[-1]  # ten steps of eight a second
    assert "0:00:00 left" in lines[-1]


def test_what_is_compiled_is_said_only_if_it_takes_long():
    stream = io.StringIO()
    with compiling("a small thing", after=10, stream=stream):
        pass
    assert stream.getvalue() == ""
    with compiling("a large thing", after=0.01, stream=stream):
        time.sleep(0.2)
    first, second = stream.getvalue().splitlines()
    assert first == "compiling a large thing ..."
    assert second.startswith("compiled a large thing in ")
