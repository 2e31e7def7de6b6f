# Everything happens in .venv; the stamp makes later runs quick. requirements*.txt lists what is installed, with hashes: also
# the extra `redis`, as the image has it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The build requirements are locked too, so they are not fetched separately.
EDITABLE := $(PIP) install --no-deps --no-build-isolation --editable .
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' pyproject.toml --group build
# Where bytecode is not to stand beside the sources, it is kept here: else pytest compiles itself and its plugins anew each time.
BYTECODE := $(if $(PYTHONDONTWRITEBYTECODE),env -u PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX=$(or $(PYTHONPYCACHEPREFIX),$(CURDIR)/.pytest_cache/bytecode))
PYTEST := $(BYTECODE) $(BIN)/python -m pytest
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-newest test-oldest clients soak manifests coverage check lint format typecheck docs lock bench bench-quick guard dist zipapp try-dist clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is required; choose one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml requirements.txt | $(BIN)/python
	@$(PIP) install --require-hashes --requirement requirements.txt
	@$(EDITABLE)
	@touch $@

$(DEV_STAMP): pyproject.toml requirements-dev.txt | $(BIN)/python
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@$(EDITABLE)
	@touch $(STAMP) $@

lock: $(DEV_STAMP) ## Update the locked versions in requirements.txt and requirements-dev.txt (one: ARGS='--upgrade-package orjson')
	@$(LOCK) $(or $(ARGS),--upgrade) --extra dev --output-file requirements-dev.txt
	@$(LOCK) $(or $(ARGS),--upgrade) --constraints requirements-dev.txt --extra redis --output-file requirements.txt

run: $(STAMP) ## Start the server on 127.0.0.1:8080 (add options with ARGS='--speed max')
	@exec $(BIN)/emulator serve $(ARGS)

test: $(DEV_STAMP) ## Run the tests
	@$(PYTEST) -n auto $(ARGS)

test-newest: $(DEV_STAMP) ## Run the tests with the newest versions that pyproject.toml allows
	@$(call test_with,newest,highest)

test-oldest: $(DEV_STAMP) ## Run the tests with the oldest versions that pyproject.toml allows
	@$(call test_with,oldest,lowest-direct)

# The package's dependencies are resolved anew; the test tools are the newest versions compatible with them.
define test_with
$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-$(1)
$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --upgrade --resolution $(2) \
	pyproject.toml --output-file .venv-$(1)/requirements.txt
$(BIN)/uv pip install --quiet --python .venv-$(1) --constraints .venv-$(1)/requirements.txt --editable '.[dev]' --group build
echo "with the $(1): $$(grep -oE '^[a-z0-9-]+==[^ ]+' .venv-$(1)/requirements.txt | tr '\n' ' ')"
.venv-$(1)/bin/python -m pytest -n auto $(ARGS)
endef

clients: $(DEV_STAMP) ## Run real clients (Node, Python, agents), each in an environment of its own; writes docs/clients.md
	@$(BIN)/python -m pytest -m clients tests/clients_long -p no:randomly $(ARGS); status=$$?; $(BIN)/python docs/tables.py && exit $$status

soak: $(DEV_STAMP) ## Run the long tests, and all examples of the property tests
	@EMULATOR_EXAMPLES=1 $(BIN)/python -m pytest -m "soak or hypothesis" tests $(ARGS)

# kubectl builds what is applied, patches included.
manifests: $(DEV_STAMP) ## Validate the Kubernetes manifests against the schemas of Kubernetes (needs kubectl)
	@for folder in kubernetes kubernetes-redis; do \
		kubectl kustomize docs/deploy/$$folder > build-manifests.yaml && \
		$(BIN)/uvx --quiet kubernetes-validate@1.37.0 --strict build-manifests.yaml || { rm -f build-manifests.yaml; exit 1; }; \
	done; rm -f build-manifests.yaml
	@$(BIN)/uvx --quiet kubernetes-validate@1.37.0 --strict docs/deploy/kubernetes/autoscaler.yaml

coverage: $(DEV_STAMP) ## Run the tests and fail if line and branch coverage is too low
	@$(PYTEST) -n auto --cov $(ARGS)

check: lint typecheck test ## Lint, check types and test: must pass before every commit

lint: $(DEV_STAMP) ## Check style, import directions and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: make format"; exit 1; }
	@out=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$out"; exit 1; }
	@$(BIN)/python docs/tables.py --check

docs: $(DEV_STAMP) ## Update everything generated: the tables in README.md and docs/, the JSON Schema of scenarios
	@$(BIN)/python docs/tables.py

bench: $(DEV_STAMP) benchmarks/bin/client benchmarks/bin/floor ## Compare with the baselines and other servers; writes docs/performance.md
	@$(BIN)/python -m benchmarks.bench --write docs/performance.md

bench-quick: $(DEV_STAMP) benchmarks/bin/client benchmarks/bin/floor ## A shorter benchmark (under three minutes) that writes nothing
	@$(BIN)/python -m benchmarks.bench --quick

guard: $(DEV_STAMP) ## Notice when a request costs more than it did (benchmarks/guard.json)
	@$(BIN)/python -m benchmarks.guard

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

# The same bytes wherever and whenever it is built: what dates the files is the last commit.
EPOCH = $${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}

dist: $(DEV_STAMP) ## Build the wheel and the sdist into dist/, reproducibly
	@rm -f dist/*.whl dist/*.tar.gz
	@SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m hatchling build --directory dist

# A zipapp that needs nothing but a Python like $(PYTHON): shiv packs the locked dependencies, which have compiled parts, so it
# fits this system and this minor version of Python alone.
zipapp: dist ## Build dist/emulator.pyz, a single file for this system's Python
	@rm -rf build/zipapp
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target build/zipapp --constraints requirements.txt dist/*.whl
	@find build/zipapp -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -f build/zipapp/.lock
# What names this folder or this moment would make every file another one.
	@find build/zipapp \( -name direct_url.json -o -name uv_cache.json -o -name REQUESTED \) -delete
	@find build/zipapp -name RECORD -exec sed -i.bak '/direct_url\.json\|uv_cache\.json\|REQUESTED/d' {} + && find build/zipapp -name RECORD.bak -delete
	@SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/uvx --quiet --python $(BIN)/python shiv@1.0.8 --reproducible --compressed --site-packages build/zipapp \
		--python '/usr/bin/env python3' --console-script emulator --output-file dist/emulator.pyz
	@echo dist/emulator.pyz

try-dist: zipapp ## Build everything in dist/, and try each in an empty environment
	@$(BIN)/python tests/try_dist.py dist

clean: ## Remove everything that the other targets created
	@rm -rf $(VENV) .venv-newest .venv-oldest .coverage* coverage.xml .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
