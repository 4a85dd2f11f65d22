# Start here: make demo

VENV := .venv
BIN := $(VENV)/bin
# The first of these that is new enough; set PYTHON=... to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# Small networks gain nothing from several threads, and two test processes would fight for them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help install demo test test-slow test-gpu lint types wheel docs bench clean

help:
	@echo "make demo       train, measure and picture a VAE on embedded data"
	@echo "make install    make $(VENV), with the command reparam in it"
	@echo "make test       the test suite; make test-slow: the long tests, on real data"
	@echo "make test-gpu   the tests of a GPU, on a machine that has one"
	@echo "make lint       ruff; make types: mypy"
	@echo "make wheel      build the wheel, install it into a new environment, and use it"
	@echo "make docs       the documentation, as a site that works offline: docs/_build/html/index.html"
	@echo "make bench      measure reparam beside a tutorial's loop and pythae; two hours or so"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "reparam needs Python 3.11 or newer:" \
		"install it, or name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "this Python has no venv module:" \
		"install it (on Debian and Ubuntu: apt install python3-venv), then try again" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing reparam into $(VENV); the first time this takes a minute or two ..."
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/reparam demo

test-gpu: $(VENV)/.developing
	REPARAM_TEST_GPU=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/gpu

test: $(VENV)/.developing
	$(PYTEST)

test-slow: $(VENV)/.developing
	$(PYTEST) -m slow

lint: $(VENV)/.developing
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.developing
	$(BIN)/mypy

wheel: $(VENV)/.developing
	$(BIN)/python .ci/wheel.py

# Warnings are errors. Pages that have not changed are kept.
docs: $(VENV)/.developing
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W -n --keep-going docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# Stopped in between, it goes on with: make bench BENCH=--resume
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py $(BENCH)
	$(BIN)/python benchmarks/run.py scaling $(BENCH)
	$(BIN)/python benchmarks/run.py frontier $(BENCH)
	$(BIN)/python benchmarks/run.py memory $(BENCH)
	$(BIN)/python benchmarks/run.py serving $(BENCH)
	$(BIN)/python benchmarks/run.py explorer $(BENCH)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache docs/_build docs/api docs/examples docs/variants
