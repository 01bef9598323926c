# The front door. `make demo` and `make test` need nothing but Debian 12, git and make, and root.
#
#   venv   Debian's packages, and bongsu in .venv
#   demo   raise the lab, break it, look at it, tear it down
#   test   everything: lint, types, unit, root, lab and VM tests
#   unit   what needs no root, in seconds
#   lint   ruff, mypy, import-linter
#   bench  one table of ratios for each claim about speed
#   lock   make requirements.lock anew from pyproject.toml
#   clean  remove what was built here

PYTHON ?= python3
BENCHES ?= $(filter-out bench/common.py,$(wildcard bench/*.py))

venv := .venv
bin := $(venv)/bin
locked := $(venv)/.locked
built := $(venv)/.built
compiled := $(wildcard src/bongsu/system/bpf/*.[ch] src/bongsu/system/keepalive/*.[ch] \
	src/bongsu/system/repair/*.[ch] \
	src/bongsu/lab/*/*.[ch] src/bongsu/wire/*.proto)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test pytest unit lint bench lock clean venv packages packages-vm

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

packages:
	@scripts/install-debian.sh

packages-vm:
	@scripts/install-debian.sh --vm

# The packages are only an order here: a stamp is not old because they were looked at.
$(locked): requirements.lock scripts/venv | packages
	@scripts/venv $(PYTHON) $(venv)
	@touch $@

$(built): $(locked) pyproject.toml hatch_build.py $(compiled)
	@$(bin)/uv pip install --quiet --python $(bin)/python --no-deps --no-build-isolation -e .
	@touch $@

venv: $(built)

demo: venv
	@$(bin)/bongsu demo

lint: venv
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/lint-imports

# One recipe, so that `make -j` cannot turn its order round; pytest's closing line comes last.
test: packages-vm venv
	$(MAKE) --no-print-directory lint
	$(bin)/pytest

unit: venv
	$(bin)/pytest -m "not root and not lab and not vm"

bench: packages-vm venv
	@for bench in $(BENCHES); do echo "== $$bench"; $(bin)/python $$bench || exit 1; done

lock: venv
	@scripts/lock

clean:
	rm -rf $(venv) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf src/bongsu/lab/bin
	find src \( -name '*.bpf.o' -o -name 'libkeepalive.so' -o -name 'librepair.so' \
		-o -name 'messages_pb2.py*' \) -delete
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
