# Everything on a machine that has only python3 (>= 3.11) and a package registry:
#   make quickstart   install, then train on the embedded digits, sample, and judge the result
#   make test         install, then lint, types and tests
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
JOBS ?= auto
# One thread for NumPy's linear algebra: several wait for each other where other processes keep the cores busy.
PYTEST = OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal --durations=25
INSTALLED = $(VENV)/.installed
WORKDIR ?= runs/quickstart

.PHONY: quickstart test test-fast test-all lint format clean
.DEFAULT_GOAL := quickstart

# The stamp is touched last: an install that broke off is done again, a finished one costs nothing.
$(INSTALLED): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("score_sde needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	@touch $(INSTALLED)

quickstart: $(INSTALLED)
	$(BIN)/python main.py --config=configs/quickstart.py --workdir=$(WORKDIR)
	$(BIN)/python experiments/quickstart/judge.py --workdir=$(WORKDIR)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(PYTEST) -m 'not slow'

test-fast: $(INSTALLED)
	$(PYTEST) -m 'not slow' tests/sde tests/test_denoiser.py tests/test_import.py tests/training/test_step.py tests/guidance

test-all: lint
	$(PYTEST)

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +
