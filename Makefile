# `make` lists the targets. Settings are passed as they are: make run PORT=8080 DATA_DIR=/srv/b2b
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard translations/*/LC_MESSAGES/messages.po))
# Clients that the tests drive with packages of their own; this file is written at the end.
CLIENTS := tests/clients/.installed
# Two workers: what a small machine has. Browser journeys start whole programs of their own.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help run test test-all quick-tests all-tests reset bench screenshots lint fix types migrate migration messages requirements

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

run: $(VENV)/run.stamp $(CATALOGUES) ## Start web, worker and mail sink; the demo is made at the first start
	@exec $(BIN)/flask --app app up

# Tests wait a quarter of the time, for browsers and clocks; types are checked meanwhile.
test: $(VENV)/dev.stamp $(CATALOGUES) lint ## Lint, types and every quick test (10 minutes at most)
	.ci/system-packages
	@$(MAKE) --no-print-directory --jobs=2 types quick-tests

test-all: $(VENV)/dev.stamp $(CLIENTS) $(CATALOGUES) lint ## All tests: PostgreSQL, kills, widths, languages too
	.ci/system-packages
	@$(MAKE) --no-print-directory --jobs=2 types all-tests

quick-tests:
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m "not long"

all-tests:
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

reset: $(VENV)/run.stamp ## Empty the demo after asking
	@$(BIN)/flask --app app reset

bench: $(VENV)/dev.stamp $(CATALOGUES) ## Measure against the baselines; fails below the bar
	$(BIN)/python -m bench

screenshots: $(VENV)/dev.stamp $(CATALOGUES) ## Make the pictures of the README anew
	.ci/system-packages
	$(BIN)/python -m tests.screenshots

lint: $(VENV)/dev.stamp ## Style and common mistakes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

fix: $(VENV)/dev.stamp ## Mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/dev.stamp ## Static types
	$(BIN)/mypy

migrate: $(VENV)/run.stamp ## Bring the database to the newest schema
	$(BIN)/flask --app app migrate

migration: $(VENV)/dev.stamp ## New migration from the models: make migration NAME="What changes"
	$(BIN)/python -m migrations.new "$(NAME)"

messages: $(VENV)/dev.stamp ## Collect new words into the catalogues
	$(BIN)/pybabel -q extract -F babel.cfg -k N_ -k lazy_gettext --no-wrap --no-location --sort-output --omit-header -o translations/messages.pot .
	$(BIN)/pybabel -q update -i translations/messages.pot -d translations --no-wrap --no-fuzzy-matching --ignore-pot-creation-date --ignore-obsolete
	rm translations/messages.pot

requirements: ## Pin the dependencies of pyproject.toml anew (needs uv)
	uv pip compile -q pyproject.toml -o requirements.txt --generate-hashes --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url
	uv pip compile -q pyproject.toml --extra dev -o requirements-dev.txt --generate-hashes --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is %d.%d. Name another one: make PYTHON=python3.12 …" % sys.version_info[:2])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	@echo "Installing what runs it …"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt | $(VENV)/bin/python
	@echo "Installing what tests it …"
	@$(PIP) -r requirements-dev.txt
	@touch $@ $(VENV)/run.stamp

$(CLIENTS): tests/clients/package-lock.json tests/clients/azure-cli.txt | $(VENV)/dev.stamp
	@echo "Installing official clients …"
	@$(BIN)/python -m tests.clients

%.mo: %.po | $(VENV)/run.stamp
	@$(BIN)/pybabel -q compile -i $< -o $@
