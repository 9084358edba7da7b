# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs clean

demo: .venv/installed
	$(BIN)/paddock run recipes/miniature.yaml

test: .venv/installed-dev
	scripts/check
	scripts/test

check: .venv/installed-dev
	scripts/check

docs: .venv/installed-dev
	$(BIN)/python scripts/generate_docs.py

# torch goes first and by its exact version, so that no other package's range picks a build for a device that is not there.
.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -r requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

# irrCAC, a reference in tests, pins old versions of scipy, pandas and coverage; its code runs on new ones.
.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet -r requirements-dev.txt
	$(BIN)/pip install --quiet --no-deps irrCAC==0.4.4
	touch $@

clean:
	rm -rf .venv runs build dist
