# Each target makes the virtual environment from the lock file first; a second run is quick.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed
NAME   ?= demo
WORKERS ?= 2

.PHONY: demo test check coverage mutants bench format clean install

demo: install
	$(BIN)/firnline demo

# Two at a time, whole files each: tests of one file may share a server or a synced tenant.
test: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m firnline.spec.schemas --check
	$(BIN)/python -m firnline.cli.error_docs --check
	$(BIN)/python -m firnline.web.admin.openapi --check
	$(BIN)/python -m benchmarks.readme --check

# Every branch of src/firnline/access, by tests/access alone: half a minute.
coverage: install
	$(BIN)/coverage run -m pytest tests/access
	$(BIN)/coverage report

# Changed copies of what decides about access, each of which some test must notice: 10 to 20
# minutes on two cores. `.venv/bin/mutmut show NAME` shows a survivor; see CONTRIBUTING.md.
mutants: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --require-hashes -r requirements-mutants.lock
	$(BIN)/mutmut run
	$(BIN)/mutmut results

bench: install
	$(BIN)/python -m benchmarks.$(NAME)

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/bootstrap.sh
	@touch $(STAMP)

clean:
	rm -rf $(VENV) .firnline .coverage mutants build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
