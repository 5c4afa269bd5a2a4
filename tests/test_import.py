"""`import score_sde` gives the mathematics and nothing heavy."""

import subprocess
import sys

HEAVY = ["tensorflow", "torch", "sklearn", "grain", "tensorflow_datasets", "orbax", "matplotlib", "ml_collections"]


def test_import_is_light():
    program = f"import sys, score_sde; print(*[name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
