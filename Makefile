# The ways to run this checkout. Each target does its own set-up: .venv, a
# Docker engine where one can be had, the sandbox image.
#
#   make demo      set up, and run the main job on the sample functions
#   make test      set up, run the tests, and show their branch coverage
#   make test-pythons   the tests that need no Docker, on Python 3.11 to 3.14 (QUICK=1: some)
#   make nightly   what takes hours: long runs, other hosts, every Python (NIGHTLY_ARGS=--list)
#   make serve     set up, and run the service (PORT=8080 ENGINE=auto|docker|bubblewrap)
#   make check     ruff, mypy, shellcheck
#   make bench     set up, and measure
#   make image     build the sandbox image (UPDATE=1: anew, with Debian's security updates)
#   make image-languages   the same with bash and g++, as execbox-sandbox:languages
#   make image-standalone   service and sandboxes in one, as execbox:local (docs/deploy.md)
#   make docs      build the documentation's site, build/docs, and check every link of it
#   make lock      write the lock files anew (UPGRADE=1: with the newest versions)
#   make clean     remove what the others made here
#
# ENGINE=bubblewrap leaves Docker alone. EXECBOX_REQUIRE_DOCKER=1 makes it an
# error that there is no Docker engine; without it, demo, test, serve and bench
# go on with what there is. EXECBOX_DOCKER_HOST, else DOCKER_HOST, names the Docker
# daemon for all of them. DEMO_ARGS, PYTEST_ARGS and BENCH_ARGS are passed on. The
# tests run in WORKERS processes side by side (0: in one, as `pytest` does).

PORT ?= 8080
ENGINE ?= auto
UPDATE ?=
QUICK ?=
UPGRADE ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= 2
COVERAGE ?= yes
SECOND_TRY ?=
BENCH_ARGS ?=
NIGHTLY_ARGS ?=

# The tests, and the docker command in clean, know Docker's own variable only.
ifneq ($(EXECBOX_DOCKER_HOST),)
export DOCKER_HOST := $(EXECBOX_DOCKER_HOST)
endif

PYTHON_BIN := .venv/bin/python
# A file stays whole, so that what its tests share is made once.
PYTEST := pytest --numprocesses $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-pythons nightly image image-languages image-standalone docs lock serve check bench clean venv engine

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

demo: venv engine
	@EXECBOX_ENGINE=$(ENGINE) $(PYTHON_BIN) -m examples.demo $(DEMO_ARGS)

# COVERAGE= leaves measuring out, which takes a third of the time. With SECOND_TRY=yes a
# few tests that failed run again, one at a time, before the whole fails (not with coverage).
test: venv engine
	@scripts/setup-python.sh integrations
	@scripts/setup-python.sh docs
ifeq ($(COVERAGE),)
	@$(PYTHON_BIN) -m $(PYTEST) $(PYTEST_ARGS); status=$$?; \
	    if [ $$status -eq 1 ] && [ -n "$(SECOND_TRY)" ]; then \
	        $(PYTHON_BIN) -m tests.second_try; status=$$?; fi; exit $$status
else
	@rm -rf .coverage && mkdir .coverage
	@$(PYTHON_BIN) -m coverage run -m $(PYTEST) $(PYTEST_ARGS); status=$$?; \
	    $(PYTHON_BIN) -m tests.coverage_by_folder; exit $$status
endif

test-pythons:
	@scripts/test-pythons.sh $(if $(QUICK),--quick)

nightly:
	@scripts/nightly.sh $(NIGHTLY_ARGS)

image:
	@scripts/setup-engine.sh
	@scripts/build-image.sh sandbox $(if $(UPDATE),--update)

image-languages:
	@scripts/setup-engine.sh
	@scripts/build-image.sh languages $(if $(UPDATE),--update)

image-standalone:
	@scripts/setup-engine.sh
	@scripts/build-image.sh standalone $(if $(UPDATE),--update)

docs: venv
	@scripts/setup-python.sh docs
	@scripts/build-docs.sh
	@$(PYTHON_BIN) -m tests.site.built_site build/docs

lock:
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

# make hands a SIGTERM on to the service, and waits for it.
serve: venv engine
	@exec .venv/bin/execbox serve --port $(PORT) --engine $(ENGINE)

check: venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	PATH="$(CURDIR)/.venv/bin:$$PATH" shellcheck scripts/*.sh scripts/hosts/*.sh deploy/slurm/*.sbatch .ci/run

bench: venv engine
	@scripts/setup-python.sh benchmarks
	$(PYTHON_BIN) -m benchmarks $(BENCH_ARGS)

clean:
	rm -rf .venv .pythons .coverage build .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
	-docker image rm execbox-sandbox:languages execbox-sandbox:local execbox-service:local execbox:local

venv:
	@scripts/setup-python.sh

# A Docker engine with the sandbox image in it, where one can be had.
engine:
ifneq ($(ENGINE),bubblewrap)
	@if scripts/setup-engine.sh; then \
	    scripts/build-image.sh sandbox; \
	elif [ -n "$$EXECBOX_REQUIRE_DOCKER" ] || [ "$(ENGINE)" = docker ]; then \
	    exit 1; \
	else \
	    echo "Going on without Docker."; \
	fi
endif
