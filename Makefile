# returnsd's everyday commands. They need Python 3.11 or newer with pip and venv, and make; all else goes into .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint format bench constraints install uninstall deb clean

PYTHON ?=
PIP = .venv/bin/python -m pip --disable-pip-version-check
DEPENDENCIES = setup.cfg pyproject.toml constraints.txt

# what `make install` and `make deb` install where, and for which Python
PREFIX ?= /opt/returnsd
SYSTEM_PYTHON ?= /usr/bin/python3
EXTRAS ?= web,heic
STAGE = PREFIX=$(PREFIX) PYTHON=$(SYSTEM_PYTHON) EXTRAS=$(EXTRAS) packaging/stage

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: .venv/.installed-service  ## Start the service and its page: drop pictures into the inbox, Ctrl-C stops it
	@.venv/bin/python -c 'import pathlib, returnsd.config as c; f = pathlib.Path("config.yaml").absolute(); \
		found = c.parse(f.read_text(), f.parent); print("Inbox:", found.paths.inbox); \
		print(f"Page:  http://{found.web.host}:{found.web.port}/")' 2>/dev/null || true
	@exec .venv/bin/returnsd run --web --config config.yaml

test: .venv/.installed-all  ## Run the tests; ARGS='-k ledger' picks some
	@.venv/bin/python -m pytest $(ARGS)

lint: .venv/.installed-all  ## Check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/.installed-all  ## Put the code into house style
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

bench: .venv/.installed-all  ## Print the figures that the README quotes
	@.venv/bin/python -m benchmarks $(ARGS)

constraints: .venv/bin/python  ## Renew constraints.txt with the newest versions that setup.cfg allows
	@echo "Installing the newest versions into .make/constraints"
	@rm -rf .make/constraints && .venv/bin/python -m venv .make/constraints
	@.make/constraints/bin/python -m pip --disable-pip-version-check install --quiet -e '.[dev,training,heic,web]'
	@{ sed -n '/^[^#]/q;p' constraints.txt; \
		.make/constraints/bin/python -m pip freeze --exclude-editable --exclude returnsd; } > .make/constraints.txt
	@mv .make/constraints.txt constraints.txt && rm -rf .make/constraints
	@echo "Wrote constraints.txt; now: make test"

install:  ## Install as a service: sudo make install (DESTDIR, PREFIX, SYSTEM_PYTHON, EXTRAS)
	@$(STAGE) build/stage
	@PREFIX=$(PREFIX) packaging/install build/stage "$(DESTDIR)"

uninstall:  ## Remove the service; pictures, results, ledger and configuration stay
	@PREFIX=$(PREFIX) packaging/uninstall "$(DESTDIR)"

deb:  ## Pack the service for Debian or Ubuntu: dist/returnsd_*.deb installs without a network
	@$(STAGE) build/deb
	@PREFIX=$(PREFIX) PYTHON=$(SYSTEM_PYTHON) packaging/make-deb build/deb dist

clean:  ## Remove what make made; var/, where the pictures are, stays
	rm -rf .venv .make build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find returnsd training benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

# Each stamp says that .venv holds what the files it depends on ask for.
.venv/.installed-service: $(DEPENDENCIES) | .venv/bin/python
	@echo "Installing what the service needs into .venv (some 100 MB the first time)"
	@$(PIP) install --quiet -c constraints.txt -e '.[web]'
	@touch $@

.venv/.installed-all: $(DEPENDENCIES) | .venv/bin/python
	@echo "Installing what the service, training and tests need into .venv (some 300 MB the first time)"
	@$(PIP) install --quiet -c constraints.txt -e '.[dev,training,heic,web]'
	@touch .venv/.installed-service $@

.venv/bin/python:
	@found=; \
	for python in $(PYTHON) python3.11 python3; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "returnsd needs Python 3.11 or newer; neither python3.11 nor python3 is. Where is one?" >&2; \
		echo "  make PYTHON=/path/to/python3.11 ..." >&2; exit 1; \
	fi; \
	echo "Creating .venv with $$found"; \
	$$found -m venv --clear .venv || { rm -rf .venv; exit 1; }
