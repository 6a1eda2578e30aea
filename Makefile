# The developer manual: every target sets up what it needs and can be run again at any time.
#   make demo     label a real network with nothing but installed packages
#   make test     the tests
#   make lint     style and types
#   make torture  slow checks: killed and resumed runs, full disk
#   make bench    time and memory against straightforward code; FULL=1: full size; ONLY=soft-wpmi,…
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test lint format torture bench clean

demo: $(READY)
	$(BIN)/neuronym demo

test: $(READY)
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks training
	$(BIN)/ruff format --check src tests benchmarks training
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks training
	$(BIN)/ruff format src tests benchmarks training

torture: $(READY)
	$(BIN)/pytest -m torture

bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(FULL),--full) $(if $(ONLY),--only $(ONLY))

# A half-made environment is made again; a finished one is left alone until its recipe changes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neuronym needs Python 3.11 or later; say which with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv demo-atlas build dist .mypy_cache .pytest_cache .ruff_cache
