# Each target starts from a bare Python 3.11 or later with venv, and needs nothing else.
#   make demo                            the whole loop on synthetic images
#   make demo DATA=DIR PROBLEM=brain     the same on your own folder; KEEP=1 leaves the servers up
#   make test                            what must pass before a commit; test-all before a merge

PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --no-annotate \
	--no-emit-index-url --python-version 3.11 --custom-compile-command "make lock" pyproject.toml
# Each command is a process of its own: without bytecode beside the code each would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE
export COVERAGE_FILE := $(CURDIR)/$(VENV)/.coverage

.PHONY: image setup demo demo-real test test-fast test-servers test-slow test-all test-offline test-s3 test-ray test-pages test-gpu faults faults-short fuzz lint types bench year docs up down lock

# Nothing is done when neither the lock nor the project's own table has changed since.
setup:
	@sum=$$(cat requirements/dev.lock pyproject.toml | cksum); \
	if [ "$$(cat $(VENV)/.synced 2>/dev/null)" = "$$sum" ]; then exit 0; fi; \
	set -e; start=$$(date +%s); \
	$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is no Python 3.11 or later with venv; try make PYTHON=python3.12" >&2; exit 2; }; \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); \
	$(UV) pip sync --quiet --python $(BIN)/python requirements/dev.lock; \
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	echo "$$sum" > $(VENV)/.synced; \
	echo "installed $$(du -sm $(VENV) | cut -f1) MB into $(VENV) in $$(( $$(date +%s) - start )) s"

demo: setup
	$(BIN)/neuro demo $(if $(DATA),--data "$(DATA)") $(if $(PROBLEM),--problem "$(PROBLEM)") $(if $(KEEP),--keep)

demo-real: setup
	@test -d "$(or $(DATA),$(NEURO_REAL_DATA)/brain)" || { \
		echo "give the folder of the images: make demo-real DATA=DIR, or set NEURO_REAL_DATA" >&2; exit 2; }
	$(MAKE) demo DATA="$(or $(DATA),$(NEURO_REAL_DATA)/brain)" PROBLEM="$(or $(PROBLEM),brain)"

# One thread for each of the two workers: with two they wait for one another on two cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
ELSEWHERE := not slow and not gpu and not s3 and not ray and not browser

# The library and the flows, without a server.
test: setup
	$(PYTEST) -m "not server and $(ELSEWHERE)" --ignore=tests/faults --cov --cov-report=term --durations=12

# The library alone, while one writes it, without what makes a lake or trains.
SLOWER := drafting erasure export ingest lake training
test-fast: setup
	$(PYTEST) -m "not server and not real and $(ELSEWHERE)" tests/neuro tests/monitoring $(SLOWER:%=--ignore=tests/neuro/%)

# Whole loops on real servers and workers.
test-servers: setup
	$(PYTEST) -m "server and $(ELSEWHERE)" --ignore=tests/faults --cov --cov-append --cov-report=term --durations=12

# What takes too long for each merge: loops of minutes, sweeps, and needs nothing special.
test-slow: setup
	$(PYTEST) -m "slow and not gpu and not s3 and not ray and not browser" --ignore=tests/faults --durations=12

# All that CI runs.
test-all: test test-servers test-s3 test-ray test-pages faults-short

# Against a real S3 server on loopback; without its packages every test is skipped, and says why.
test-s3: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -m s3 -n 2 --dist loadfile -rfEs --cov --cov-append --cov-report=term

# On a CUDA device; without one every test is skipped, and says so.
test-gpu: setup
	$(BIN)/pytest -m gpu -rfEs

# On a real Ray cluster on loopback, whose worker is killed. Ray gives up on a program of its own that
# starts slowly, so on a busy machine a test may fail by that alone: it is tried twice, and both are shown.
RAY := $(BIN)/pytest -m ray -rfEs --cov --cov-append --cov-report=term --durations=5
test-ray: setup
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/cluster.lock
	$(RAY) || { test $$? = 1 && echo "== once more: what failed may have waited for a core" && $(RAY) --last-failed; }

# Every kind of page in a real Chromium, with axe; without a Chromium every test is skipped, and says so.
test-pages: setup
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/browser.lock
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser tests/flows/test_pages.py tests/deployments/reading_room -rfEs --durations=5

# kill -9, flipped bits, races, a full disk and failing storage: hundreds of each, half an hour.
# The seed stands at the end; make faults SEED=N replays it.
faults: setup
	NEURO_FAULTS=long $(BIN)/pytest tests/faults -rfEs $(if $(SEED),--seed $(SEED))

# Ten thousand requests that are drawn from the OpenAPI page and of broken pictures, to a real service.
fuzz: setup
	NEURO_FUZZ=1250 OMP_NUM_THREADS=1 $(BIN)/pytest tests/deployments/service/test_fuzz.py -s --durations=3

faults-short: setup
	$(BIN)/pytest tests/faults -m "not s3" -rfEs $(if $(SEED),--seed $(SEED))

# make test test-servers with loopback alone: whatever asks for another address fails.
test-offline: setup
	@command -v unshare >/dev/null && command -v ip >/dev/null || { \
		echo "test-offline needs Linux with unshare (util-linux) and ip (iproute2)" >&2; exit 2; }; \
	if [ "$$(id -u)" = 0 ]; then alone="unshare -n"; else alone="unshare -rn"; fi; \
	$$alone true || { echo "this system does not permit '$$alone'; run make test-offline as root" >&2; exit 2; }; \
	$$alone sh -c 'ip link set lo up && exec $(MAKE) --no-print-directory test test-servers'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m bench $(NAME)

# A year of weekly deliveries on a simulated clock, of phantoms or of a folder of labelled images.
year: setup
	$(BIN)/python -m bench year $(if $(DATA),--data "$(DATA)") $(if $(PROBLEM),--problem "$(PROBLEM)")

docs: setup
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/docs.lock
	$(BIN)/mkdocs build --strict --site-dir site

# ENGINE is docker, podman or buildah; what BASE, LOCK and INDEX are stands in docs/gpu.md.
image:
	$(or $(ENGINE),docker) build -f docker/Dockerfile --target $(or $(TARGET),cuda) \
		$(if $(BASE),--build-arg "BASE=$(BASE)") $(if $(LOCK),--build-arg "LOCK=$(LOCK)") \
		$(if $(INDEX),--build-arg "PIP_EXTRA_INDEX_URL=$(INDEX)") \
		--build-arg "REVISION=$$(git rev-parse HEAD)" -t "neuro-worker:$(or $(TARGET),cuda)" .

up: setup
	$(BIN)/neuro up

down: setup
	$(BIN)/neuro down

# Existing pins are kept where they still fit; remove a file first to resolve it anew.
lock: setup
	$(COMPILE) -o requirements/core.lock
	$(COMPILE) --extra pretrained -c requirements/core.lock -o requirements/pretrained.lock
	$(COMPILE) --extra dev --extra pretrained -c requirements/core.lock -o requirements/dev.lock
	$(COMPILE) --extra cluster -c requirements/dev.lock -o requirements/cluster.lock
	$(COMPILE) --extra docs -c requirements/dev.lock -o requirements/docs.lock
	$(COMPILE) --extra browser -c requirements/dev.lock -o requirements/browser.lock
