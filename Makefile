# Every target installs what it lacks: nothing is needed beforehand but git, make and Python 3.11, 3.12 or 3.13.
# Nothing is installed outside this folder (but see .tools/bin/uv below), and nothing under data/ is ever removed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all check format bench peers bench-peers docs clean

# uv makes the environment. One on the PATH is used when it is new enough; else a private copy is put into .tools.
UV := $(shell uv --version 2>/dev/null | grep -Eq '^uv 0\.(9|[1-9][0-9])\.' && command -v uv || echo .tools/bin/uv)
# A Python of this machine or none: an interpreter is never downloaded.
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
ifdef CI
export UV_NO_PROGRESS := 1
endif
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest -n 2 $(PYTEST_FLAGS)

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(UV) ## Install everything a developer needs, and write DAGSTER_HOME to .env
	@$(UV) python find --no-project '>=3.11,<3.14' > /dev/null 2>&1 || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed and none was found: apt-get install python3" >&2; exit 1; }
	$(UV) sync --inexact $(SYNC_FLAGS)
	@sh scripts/write_env.sh

demo: SYNC_FLAGS := --no-dev
demo: setup ## Real drafts, essays and evaluations from the embedded model, without a key
	.venv/bin/daydreaming demo

test: setup ## The fast tests: for every minute
	$(PYTEST) -m "not slow"

test-slow: setup ## The tests that need a Dagster process, a model or a browser
	$(PYTEST) -m slow --ignore=tests/browser
	$(PYTEST) tests/browser # apart: the browser's driver keeps an event loop running in its process

test-all: test test-slow ## All tests

check: setup ## Lint, format, types, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: setup ## Put the code in shape
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup ## Measure the engine against its bars
	$(PYTHON) -m benchmarks --store

# Each in an environment of its own: together they would hold each other's versions back.
peers: setup ## Install the tools that bench-peers compares with, into .venv-peers
	@for list in benchmarks/peers/requirements/*.txt; do \
	  place=.venv-peers/$$(basename $$list .txt); \
	  $(UV) venv --quiet --allow-existing --python $(PYTHON) $$place && \
	  $(UV) pip install --quiet --python $$place/bin/python --requirements $$list || exit 1; done

bench-peers: setup ## Measure the engine beside those tools that are installed
	$(PYTHON) -m benchmarks.peers

docs: SYNC_FLAGS := --group docs
docs: setup ## Build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --clean

clean: ## Remove build products, caches, tools and the demo; never data/
	rm -rf .venv .venv-peers .tools build dist site demo uv.lock
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path ./data -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian leaves the venv module out of python3; root can mend that here, everybody else is told how.
.tools/bin/uv:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2> /dev/null || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed and python3 is missing or too old: apt-get install python3" >&2; exit 1; }
	@python3 -c 'import ensurepip' 2> /dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo "python3 lacks its venv module; installing python3-venv" && \
	    apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv > /dev/null; \
	  else \
	    echo "python3 lacks its venv module: sudo apt-get install python3-venv" >&2; exit 1; \
	  fi; }
	python3 -m venv --clear .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' || { rm -rf .tools; exit 1; }
