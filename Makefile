# Everything that is done with this project by hand. `make help` lists it.

NODE ?= node
NPM ?= npm
BIN := dist/bin
RECORDS ?= 100000
export NODES ?= 20.19 22 24
ROUNDS ?= 100
MINUTES ?= 10
SOURCES := $(shell find bin lib test bench -name '*.ts' 2>/dev/null)
# No port, no program: seconds.
UNIT := $$(find dist/test/unit dist/test/vectors -name '*.test.js')
# Both servers in one process, small programs, a million bytes: minutes.
FAST := $$(find dist/test/unit dist/test/vectors dist/test/servers dist/test/contract dist/test/fuzz -name '*.test.js')
REAL := $$(find dist/test/integration -name '*.test.js')
# One test file at a time would leave a core idle; more than two would fight for them.
# A file that does not end is ended, and counts as failed.
TEST_FLAGS := --test --test-concurrency=2 --test-reporter=spec --test-timeout=180000

.DEFAULT_GOAL := help
.PHONY: help install build start dev tests itests tests-all-nodes e2e screenshots check docs format clean bench bench-smoke bench-compare bench-records profile bench-figures bench-http bench-mongo bench-rotation bench-abuse chaos fuzz soak api-fuzz \
  beserver-cmd beclient-cmd feserver-cmd feclient-cmd beserver beclient feserver feclient \
  up down start-cluster stop-cluster

help: ## Print this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | \
	  awk -F':.*## ' '{ printf "make %-16s # %s\n", $$1, $$2 }'

node_modules/.package-lock.json: package.json package-lock.json
	$(NPM) ci --no-fund --no-audit
	@touch $@

dist/.tsbuildinfo: node_modules/.package-lock.json tsconfig.json $(SOURCES)
	$(NPM) run --silent build
	@touch $@

install: node_modules/.package-lock.json ## Install what the project needs
build: dist/.tsbuildinfo ## Compile the TypeScript sources into dist/

start: build ## Install and build what is missing, then run both servers
	$(NODE) $(BIN)/enc-server.js up

dev: build ## Run both servers; rebuild and restart on every change
	@npx tsc --watch --preserveWatchOutput & \
	  compiler=$$!; trap 'kill $$compiler' EXIT INT TERM; \
	  $(NODE) --watch-path=dist/lib --watch-path=dist/bin $(BIN)/enc-server.js up

check: build ## Check format, style, types and imports, and run the tests that take no time
	npx biome check --error-on-warnings .
	$(NODE) $(TEST_FLAGS) $(UNIT)

tests: build ## Check format and style, run the tests, print the coverage
	npx biome check --error-on-warnings .
	npx c8 $(NODE) $(TEST_FLAGS) $(FAST)

itests: build ## Run the real programs as a person would
	$(NODE) $(TEST_FLAGS) $(REAL)

e2e: build ## Use the console in a browser (Chromium; installed where that may be done)
	scripts/browser.sh
	$(NODE) $(TEST_FLAGS) dist/test/e2e/*.test.js

screenshots: build ## Take the pictures of the console for the README anew
	scripts/browser.sh
	$(NODE) dist/test/e2e/screenshots.js docs/images

tests-all-nodes: build ## Run the fast tests on each release of Node that is promised (NODES="20.19 22 24")
	scripts/tests-all-nodes.sh $(FAST)

# With MongoDB at localhost:27017.
CMD_CONFIG := ENC_SERVER_TS_CONFIG_PATH=config/config.cmd.json

beserver-cmd: build ## Run the BE server in this terminal, on the MongoDB at localhost:27017
	$(CMD_CONFIG) $(NODE) $(BIN)/be-server.js
beclient-cmd: build ## Run the BE client's trial against it
	$(CMD_CONFIG) $(NODE) $(BIN)/be-client.js
feserver-cmd: build ## Run the FE server in this terminal, with that BE server
	$(CMD_CONFIG) $(NODE) $(BIN)/fe-server.js
feclient-cmd: build ## Run the FE client's trial against it
	$(CMD_CONFIG) $(NODE) $(BIN)/fe-client.js

beserver: build ## Run the BE server on its embedded store
	$(NODE) $(BIN)/be-server.js
beclient: build ## Run the BE client's trial
	$(NODE) $(BIN)/be-client.js
feserver: build ## Run the FE server
	$(NODE) $(BIN)/fe-server.js
feclient: build ## Run the FE client's trial
	$(NODE) $(BIN)/fe-client.js

up: ## Start both servers and MongoDB in Docker Compose
	docker compose up --build --detach --wait
down: ## Stop them; records, keyring and secrets stay
	docker compose down

start-cluster: ## Start both servers and MongoDB in a local Kubernetes cluster
	deployments/minikube/start_cluster.sh
stop-cluster: ## Stop the cluster; records, keyring and secrets stay
	deployments/minikube/stop_cluster.sh

docs: install ## Make the pages of the client libraries (dist/docs) from their docstrings
	$(NPM) run --silent docs

format: install ## Format the sources
	npx biome check --write .

bench: build ## Measure beside ceilings, Redis, PostgreSQL and MongoDB, where they are installed
	$(NODE) dist/bench/bench.js

bench-smoke: build ## The same in half a minute, to see that it works
	$(NODE) dist/bench/bench.js --smoke

bench-compare: build ## One run beside another (OLD=a.json NEW=b.json)
	$(NODE) dist/bench/compare.js $(OLD) $(NEW)

bench-records: build ## Throughput with 10,000 to 2,000,000 records there
	$(NODE) dist/bench/records.js

profile: build ## Where both servers spend their time under load (BYTES=1024): profiles and flame graphs
	$(NODE) dist/bench/profile.js $(if $(BYTES),--bytes $(BYTES))

bench-figures: build ## Measure start, memory and throughput against bare loops
	$(NODE) dist/bench/figures.js

bench-http: build ## Measure HTTP against a bare Fastify route and the binary dialect
	$(NODE) dist/bench/http-figures.js

bench-mongo: build ## Measure the store on MongoDB (MONGODB_URI) against hand-written clients
	$(NODE) dist/bench/mongo-figures.js

bench-rotation: build ## Rotate the keyring under load (RECORDS=100000): no caller may notice
	$(NODE) dist/bench/rotation.js $(RECORDS)

bench-abuse: build ## Measure what slow connections and garbage cost honest callers
	$(NODE) dist/bench/abuse-figures.js

chaos: build ## Kill, cut, freeze and restart both servers under load (ROUNDS=100 SEED=n); MongoDB too with MONGODB_URI
	$(NODE) dist/test/faults/chaos.js --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))
	$(if $(MONGODB_URI),$(NODE) dist/test/faults/chaos.js --rounds $(ROUNDS) --store mongo $(if $(SEED),--seed $(SEED)))

fuzz: build ## A million inputs before every decoder (SEED=n)
	FUZZ_RUNS=34000 $(if $(SEED),SEED=$(SEED)) $(NODE) --test dist/test/fuzz/*.test.js

soak: build ## Mixed load for MINUTES=10; memory and descriptors must not grow (draws soak.svg; SEED=n)
	$(NODE) dist/test/faults/soak.js $(MINUTES) soak.svg $(if $(SEED),--seed $(SEED))

api-fuzz: build ## Run schemathesis over /openapi.json (needs Python 3 and PyPI)
	scripts/api-fuzz.sh

clean: ## Remove what was built
	rm -rf dist coverage
