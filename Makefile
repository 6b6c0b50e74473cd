# The two commands of the README are `make demo` and `make test`; each makes .venv by itself.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command 'make lock' --quiet

# Without bytecode every process compiles its imports anew, MLflow alone for 6 s.
unexport PYTHONDONTWRITEBYTECODE
export DO_NOT_TRACK = 1
export DAGSTER_DISABLE_TELEMETRY = 1
export DBT_SEND_ANONYMOUS_USAGE_STATS = false
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: demo test test-long check ci-slim bench ui lock torture clean

demo: .venv/ready ## the simulated shop through the whole graph to a champion
	$(BIN)/ops demo

test: .venv/ready ## every test
	$(BIN)/python -m pytest

test-long: .venv/ready ## the tests with whole graphs and histories of their own, some minutes more
	$(BIN)/python -m pytest -m long

check: .venv/ready ## style, types, order of imports, contracts, dbt parse, lock freshness
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ops contract check contracts
	$(BIN)/dbt --quiet parse --project-dir dbt_project --profiles-dir dbt_project \
		--target-path $(CURDIR)/.venv/dbt --log-path $(CURDIR)/.venv/dbt
	$(BIN)/dagster definitions validate -w workspace.yaml
	cp requirements.lock .venv/fresh.lock
	$(COMPILE) --output-file .venv/fresh.lock
	diff requirements.lock .venv/fresh.lock
	! grep -nE 'https?://|--index-url|--find-links' requirements.lock

ci-slim: .venv/ready ## what the dbt project changes against OPS_PRODUCTION_HOME, built and tested
	$(BIN)/ops ci-slim

bench: .venv/ready ## what the README claims about speed, side by side in one run
	$(BIN)/python -m benchmarks.walk

torture: .venv/ready ## kills, failing writes, a full disk; the lake must hold after each
	$(BIN)/python -m benchmarks.torture

ui: .venv/ready ## Dagster's web server and daemon and MLflow's UI, stopped together
	$(BIN)/ops ui

lock: .venv/ready ## resolve the dependencies anew
	$(COMPILE) --upgrade --output-file requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@echo 'Installing what requirements.lock names into .venv: a few minutes, once.'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		-r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	touch $@

clean: ## remove the environment and what is in .ops/; production's home stays
	rm -rf .venv .ops
