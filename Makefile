# What people do here daily. `make demo` and `make test` need Python 3.11, git and make, nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# What is asked of a recorded archive (signaldelta_assets/cli/plans.py): recorded, equities or pools.
PLAN ?= recorded
# The demo on the simulated archive and each plan on a recorded one keep separate state.
STATE := .signaldelta/$(if $(ARCHIVE),$(PLAN),simulated)
ENVIRONMENT := SIGNALDELTA_HOME=$${SIGNALDELTA_HOME:-$(STATE)}
# Where byte code is not kept, as in many containers, each process compiles over a thousand modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo up down test test-fast lint format lock bench soak determinism faults study golden schema routes openapi check-api publish-api fuzz clean

setup: $(VENV)/.ready

# uv comes from the same lock, with the same hashes, and then installs the rest of it in seconds.
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	@$(ENVIRONMENT) $(BIN)/signaldelta demo $(if $(ARCHIVE),--archive "$(ARCHIVE)" --plan $(PLAN))

up: setup
	@$(ENVIRONMENT) $(BIN)/signaldelta up $(if $(ARCHIVE),--archive "$(ARCHIVE)")

down: setup
	@$(ENVIRONMENT) $(BIN)/signaldelta down

# Three workers for two cores: tests of whole deployments mostly wait.
test: setup lint
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Without Dagster, HTTP or a database: seconds.
test-fast: setup
	$(BIN)/python -m pytest -m "not postgres and not platform and not archive" -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m tests.benchmarks

# The service under the mix of its routes: its memory, once a minute.
MINUTES ?= 10
soak: setup
	$(BIN)/python -m tests.benchmarks.soak $(MINUTES)

# The score columns' hash by processor, threads, grid and surroundings, written to docs/determinism.md.
determinism: setup
	$(BIN)/python -m tests.determinism

# Everything that fails, one fault after another, with real servers: writes docs/faults.md; minutes on two cores.
faults: setup
	$(BIN)/python -W ignore -m tests.homes.faults

# Are the intervals of the evaluation right? Writes docs/calibration-study.md; minutes on two cores.
study: setup
	$(BIN)/python -W ignore -m tests.study

# After a change in pyproject.toml.
lock:
	$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --python-version 3.11 \
		--no-header --no-emit-index-url --no-annotate --upgrade -o requirements.lock

# After a change of assets: the picture and the golden file; review the diff.
golden: setup
	$(BIN)/python -W ignore -m tests.defs.golden > tests/defs/definitions.json
	$(BIN)/signaldelta graph > docs/asset-graph.svg

# After a change in the table registry; a released schema needs a migration besides.
schema: setup
	$(BIN)/signaldelta db schema > migrations/schema.sql
	$(BIN)/python -m signaldelta_assets.warehouse.pages
	$(BIN)/python -m signaldelta_assets.warehouse.dbt > dbt_project/models/sources.yml

# After a change of the API's routes, parameters, schemas or metrics; review the diff.
routes: setup openapi
	$(BIN)/signaldelta routes --markdown > docs/routes.md
	$(BIN)/python -m api.metrics.page

openapi: setup
	$(BIN)/python -m api.specification current

# What changed since the description was published, and whether it breaks a client; publishing refuses what does.
check-api: setup
	$(BIN)/python -m api.specification check

publish-api: setup
	$(BIN)/python -m api.specification publish

# A long hunt by schemathesis for what the API does otherwise than it says: writes docs/api-checks.md; minutes.
fuzz: setup
	$(BIN)/python -W ignore -m tests.api.hunt

clean:
	rm -rf .signaldelta build dist
