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


def test_the_pace_is_counted_from_where_it_is_told_to_begin(monkeypatch):
    now = iter([0.0, 100.0, 100.0, 101.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    stream = io.StringIO()
    bar = Progress(30, "step", stream=stream, every=0.0)
    bar.begin(10)
    bar.show(10)
    bar.show(20)
    assert stream.getvalue().splitlines() == ["step 10/30", "step 20/30  10 samples/s  0:00:01 left"]


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
