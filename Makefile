# What a person types. Needs Python 3.11 or newer, make and coreutils; everything else is fetched into .venv and the user's cache.

UV_VERSION := 0.13.9
PYTHON := $(shell for candidate in python3.13 python3.12 python3.11 python3 python; do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$candidate"; break; fi; done)
VENV := .venv
STAMP := $(VENV)/.installed
SYNC := $(VENV)/bin/uv sync --quiet --frozen --inexact --python $(VENV)/bin/python
STORE := $(shell "$(PYTHON)" -c 'import ssl; paths = ssl.get_default_verify_paths(); \
	print(paths.cafile or paths.capath or "")' 2>/dev/null)
AT_ONCE := 3
SECONDS := 60
FAST := tests/rules tests/test_style.py tests/test_vocabulary.py tests/contracts

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
# pip and uv trust the machine's own store of certificates, as behind a company's TLS proxy.
export PIP_CERT ?= $(STORE)
export UV_SYSTEM_CERTS := $(if $(STORE),1,0)
# Compiled now, so that the first start of each program does not wait for it.
export UV_COMPILE_BYTECODE := 1
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.PHONY: help env audit sbom install demo test check nightly mutants fuzz bench clean

help:
	@echo "make demo     a sample month, from events to invoices, on a stack of its own"
	@echo "make test     all tests, three at a time (ARGS='-k name' for some, AT_ONCE=0 in one process)"
	@echo "make check    style, types, import contracts and the fast tests"
	@echo "make nightly  tests that take hours, on all cores: 2,000 new random histories (HISTORIES=400 for"
	@echo "              another number), all recorded ones, long random deliveries, storms (as root)"
	@echo "make mutants  changes the rules one by one and prints how many changes the fast tests see"
	@echo "make fuzz     every reader of foreign input for SECONDS=60 of CPU time each (Linux on x86_64)"
	@echo "make bench    the benchmarks, as a table of ratios"
	@echo "make env      writes .env with a new password for each that compose.yaml needs; keeps those it has"
	@echo "make audit    known faults of the locked packages; tests/audit-allowed.txt allows some until a day"
	@echo "make sbom     out/sbom.cdx.json: every package, jar and font of the product (CycloneDX)"
	@echo "make install  only .venv with the locked dependencies and .venv/bin/backoffice"
	@echo "make clean    removes what can be made again; the data folder .backoffice stays"

install: $(STAMP)
	@:

$(STAMP): pyproject.toml uv.lock
	@if [ -z "$(PYTHON)" ]; then echo "No Python 3.11 or newer found on the PATH. Install one (python3.11 or later), then run make again." >&2; exit 1; fi
	@if ! [ -x $(VENV)/bin/python ] || ! $(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "making $(VENV) with $(PYTHON)"; \
		"$(PYTHON)" -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv." >&2; exit 1; }; fi
	@echo "installing the locked dependencies (a minute on a new machine)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)" || { echo "pip could not fetch uv $(UV_VERSION). Check the network, then run make again." >&2; exit 1; }
	@$(SYNC) || { echo "The dependencies of uv.lock could not be installed; the lines above say which." >&2; exit 1; }
	@$(VENV)/bin/python -m compileall -q services shared
	@touch $(STAMP)

env:
	@"$(PYTHON)" deploy/make_env.py

audit: install
	@$(VENV)/bin/python -m tests.audit

sbom: install
	@$(VENV)/bin/python -m tests.sbom out/sbom.cdx.json

demo: install
	@$(VENV)/bin/backoffice demo

test: install
	@$(VENV)/bin/python -m pytest -p tests.skips -n $(AT_ONCE) --dist worksteal --durations=20 $(ARGS)

check: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python -m pytest -q -p tests.skips $(FAST)

nightly: install
	@HISTORIES_SEED=$${HISTORIES_SEED:-$$(date +%s)} $(VENV)/bin/python -m pytest -q -p tests.skips -p tests.histories.summary -m nightly -n auto --dist worksteal $(ARGS)

mutants: install
	@$(SYNC) --group mutants --no-install-package setproctitle
	@$(VENV)/bin/python -m tests.mutants $(ARGS)

fuzz: install
	@$(SYNC) --group fuzz
	@nice $(VENV)/bin/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

bench: install
	@$(VENV)/bin/python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV) out mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
