# Every target first installs what it needs into .venv; a stamp makes the second call quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Workers share the cores, so each computes on one thread; what Python compiled is kept for the processes that tests start.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n auto --maxprocesses 8

.PHONY: help demo test test-slow lint

help:
	@echo "make demo       five learners, one of whom lies: what listening is worth (seconds)"
	@echo "make test       lint, types, and all tests but the slow ones"
	@echo "make test-slow  the slow tests"
	@echo "make lint       ruff and mypy alone"

demo: $(STAMP)
	$(BIN)/studyhall demo

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about a minute the first time"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	mkdir -p $(VENV)/typing
	ln -sfn ../.. $(VENV)/typing/studyhall
	touch $(STAMP)
