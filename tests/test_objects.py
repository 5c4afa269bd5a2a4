"""Import paths: what they name, and which part of them cannot be found."""

import math

import pytest

from score_sde.objects import import_object

BROKEN = """
raise RuntimeError("on purpose")
"""


def test_what_a_path_names():
    assert import_object("math:pi") == math.pi
    assert import_object("collections:OrderedDict.fromkeys")("ab") == {"a": None, "b": None}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("math", "'math' is no import path; give it as 'package.module:thing'"),
        ("math:", "'math:' is no import path"),
        (":pi", "':pi' is no import path"),
        ("no.such:thing", "'no.such:thing' cannot be imported: No module named 'no'"),
        (".math:pi", "'.math:pi' cannot be imported"),
        ("math:tau.half", r"'math:tau.half' cannot be imported: 6\.28\d+ has no 'half'"),
        ("math:pie", "'math:pie' cannot be imported: module math has no 'pie'"),
        ("collections:OrderedDict.of", "OrderedDict has no 'of'"),
    ],
)
def test_which_part_cannot_be_found(path, message):
    with pytest.raises(ValueError, match=message):
        import_object(path)


def test_an_error_inside_the_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_on_purpose.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="on purpose"):
        import_object("broken_on_purpose:thing")
