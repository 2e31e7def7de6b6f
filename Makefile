# Everything happens in .venv; the stamp makes the second run quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test soak check lint format typecheck docs bench bench-quick clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV_STAMP): pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(STAMP) $@

run: $(STAMP) ## Start the server on 127.0.0.1:8080 (ARGS='--speed max' adds options)
	@exec $(BIN)/emulator serve $(ARGS)

test: $(DEV_STAMP) ## Run the tests
	@$(BIN)/python -m pytest -n auto $(ARGS)

soak: $(DEV_STAMP) ## Run the long tests
	@$(BIN)/python -m pytest -m soak tests/soak $(ARGS)

check: lint typecheck test ## Lint, type check and test: what has to hold before every commit

lint: $(DEV_STAMP) ## Check style and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: make format"; exit 1; }
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }
	@$(BIN)/python docs/tables.py --check

docs: $(DEV_STAMP) ## Renew the generated tables in README.md and docs/
	@$(BIN)/python docs/tables.py

bench: $(DEV_STAMP) benchmarks/bin/client benchmarks/bin/floor ## Measure against the floors and the peers, into docs/performance.md
	@$(BIN)/python -m benchmarks.bench --write docs/performance.md

bench-quick: $(DEV_STAMP) benchmarks/bin/client benchmarks/bin/floor ## The same in under three minutes, not kept
	@$(BIN)/python -m benchmarks.bench --quick

benchmarks/bin/client: benchmarks/client.c
	@mkdir -p $(@D)
	@$(CC) -O2 -std=c11 -Wall -Wextra -o $@ $< -lm

benchmarks/bin/floor: benchmarks/floor.c
	@mkdir -p $(@D)
	@$(CC) -O2 -std=c11 -Wall -Wextra -o $@ $<

format: $(DEV_STAMP) ## Format the code and sort the imports
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

typecheck: $(DEV_STAMP) ## Check the types (mypy, strict)
	@$(BIN)/mypy

clean: ## Remove what the other targets made
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
