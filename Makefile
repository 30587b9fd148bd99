# `make run` and `make test` work on a machine that has only Python 3.11 and pip.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MADE   := $(VENV)/.made

.PHONY: env run test test-slow check bench clean

env: $(MADE)

# torch comes first and pinned: an open range resolves to a build with gigabytes of CUDA
$(MADE): pyproject.toml requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# the main job on scikit-learn's digits, in three minutes
run: env
	$(BIN)/hypernas run digits --minutes 3 --out runs/digits

test: env check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check src

bench: env
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/overhead.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/smash_speed.py

clean:
	rm -rf $(VENV) runs build .pytest_cache .ruff_cache .hypothesis
