# No target needs preparation: the first one that runs creates .venv.
# A machine needs Python 3.11 to 3.13, make and a package index; no root, no Docker, no running service.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.installed
STATIC := cloud_functions/api/static
# Offline: the dashboard and its tests import nothing but each other and what deno contains.
DENO := DENO_DIR=$(VENV)/.deno DENO_NO_UPDATE_CHECK=1 $(BIN)/deno
JOBS ?= 3
# CI runs a failed test once more, and prints both results (tests/conftest.py).
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup$(if $(CI), --reruns 1)

.PHONY: help setup demo test coverage test-all test-one check lint types walls format fuzz bench bench-anpr bench-delivery schemas lock clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv with all dependencies (the other targets do this by themselves)

$(UV):
	@test -n "$(PYTHON)" || { echo "Vedette needs Python 3.11 or newer; none was found on PATH. Set PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment with $(PYTHON). On Debian: apt install python3-venv." >&2; exit 1; }
	@echo "Fetching uv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): requirements/dev.txt pyproject.toml | $(UV)
	@echo "Installing into $(VENV) (hash-checked) ..."
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

demo: $(STAMP) ## Run everything on this machine until Ctrl-C; options: SOURCE=rtsp://… or SOURCE=clip.mp4, RULES=rules.toml, API_PORT=8070
	@$(BIN)/vedette-local demo $(if $(SOURCE),--source "$(SOURCE)") $(if $(RULES),--rules "$(RULES)") $(if $(API_PORT),--port "$(API_PORT)")

test: $(STAMP) ## Run all tests on real services; ARGS=tests/unit/shared selects a part
	@$(PYTEST) $(or $(strip $(ARGS)),tests)

coverage: $(STAMP) ## Run the unit tests and list the lines they do not reach; a minimum is in pyproject.toml
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered tests/unit

test-all: $(STAMP) ## Run the tests on every Python 3.11-3.14 found on PATH or in pyenv; ARGS=tests/unit selects a part
	@$(BIN)/python infra/every_python.py$(if $(NEWEST), --newest)$(if $(EXCEPT), --except $(EXCEPT)) -- $(ARGS)

test-one: $(STAMP)
	@$(PYTEST) $(ARGS)

check: lint types walls test ## Run linters, type checks, import contracts and all tests

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/cfn-lint template.yaml
	@$(DENO) lint --quiet
	@$(DENO) fmt --check --quiet

types: $(STAMP)
	@$(BIN)/basedpyright
	@$(DENO) check --quiet $(STATIC)

walls: $(STAMP)
	@$(BIN)/lint-imports --no-cache

format: $(STAMP) ## Format the code and apply automatic fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(DENO) fmt --quiet

fuzz: $(STAMP) ## Send random requests of each role to a running API (Schemathesis, in .venv-fuzz); options: ARGS="--examples 300"
	@test -x .venv-fuzz/bin/schemathesis || { $(UV) venv --quiet --clear --python $(BIN)/python .venv-fuzz && \
		$(UV) pip install --quiet --python .venv-fuzz/bin/python --require-hashes -r requirements/fuzz.txt; }
	@$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(STAMP) ## Measure speed against baselines in the same run; results are written to .bench/
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-anpr: $(STAMP) ## Evaluate number plate reading on ../shared; writes docs/reference/plates-figures.md
	@$(BIN)/python -m tests.benchmarks.anpr $(ARGS)

bench-delivery: $(STAMP) ## Stage faults of each part and count lost and repeated events; writes docs/reference/delivery.md
	@$(BIN)/python -m tests.benchmarks.delivery $(ARGS)

schemas: $(STAMP) ## Write the JSON Schemas, the pages of configuration, metrics and API, the types of client and dashboard, and the Postman collection
	@$(BIN)/python -m shared.schemas docs/reference
	@$(BIN)/python -m edge_agent.cli.config_reference docs/reference/configuration.md
	@$(BIN)/python -m shared.metrics.reference docs/reference/metrics.md
	@$(BIN)/python -m cloud_functions.api.api_reference docs/reference/api.md
	@$(BIN)/python -m infra.api_artifacts
	@$(BIN)/python -m cloud_functions.api.api_types $(STATIC)/api_types.d.ts

COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-package vedette -c requirements/constraints.in

lock: $(UV) ## Renew requirements/*.txt (hashes, every platform and Python)
	@for extra in edge cloud kafka local client; do $(COMPILE) --extra $$extra pyproject.toml -o requirements/$$extra.txt; done
	@for function in $(basename $(notdir $(wildcard infra/packaging/*.in))); do \
		$(COMPILE) -c requirements/cloud.txt infra/packaging/$$function.in -o requirements/lambda-$$function.txt; done
	@$(COMPILE) --override requirements/overrides.in --group dev --extra local --extra kafka pyproject.toml -o requirements/dev.txt
	@$(COMPILE) -c requirements/dev.txt requirements/fuzz.in -o requirements/fuzz.txt

clean: ## Stop the local stack; remove .venv, .venv-* and all generated files
	@if [ -x $(BIN)/vedette-local ] && [ -d .vedette ]; then $(BIN)/vedette-local down || true; fi
	rm -rf $(VENV) .venv-* .bench .vedette .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .schemathesis build dist *.egg-info
