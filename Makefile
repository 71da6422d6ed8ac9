# Every verb of the repository. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# The programs of measurements, of which only the named ones are linked.
RELEASE = $(CARGO) build --release --locked -p scalegate -p scalegate-tests -p scalegate-bench
CERTS_DIR ?= certs/dev
IMAGE ?= scalegate:dev
export CERTS_DIR IMAGE

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build controlplane ## build everything, start a control plane and the gateway, and walk through the main job
	@exec target/debug/demo

.PHONY: dev
dev: build controlplane ## the same environment, staying up until Ctrl-C
	@exec target/debug/dev

.PHONY: terminal-docs
terminal-docs: build controlplane ## record a session with the client in that environment, and write docs/terminal.svg
	@exec target/debug/terminal

.PHONY: doctor
doctor: ## go the way of a request to the environment of `make dev`, step by step
	source target/dev/env && target/debug/scalegate doctor

.PHONY: test
test: build controlplane policies-test ## run all tests
	SCALEGATE_CONTROLPLANE="$$(tests/controlplane/build.sh)" $(CARGO) test --locked --workspace

.PHONY: test-integration
test-integration: build ## run the integration tests against the cluster of the current kubeconfig
	SCALEGATE_TEST_KUBECONFIG="$${KUBECONFIG:-$$HOME/.kube/config}" $(CARGO) test --locked --workspace --test it

.PHONY: clients-test
clients-test: build controlplane ## try curl, Go, Java, Node and Python, SCALEGATE_CLIENT_TRIES times for each refused handshake
	SCALEGATE_CLIENT_TRIES="$${SCALEGATE_CLIENT_TRIES:-200}" SCALEGATE_CONTROLPLANE="$$(tests/controlplane/build.sh)" \
	    $(CARGO) test --locked --workspace --test it -- --test-threads 1 --nocapture clients::

.PHONY: fuzz
fuzz: build controlplane ## change certificates, modules and requests at random, FUZZ_SECONDS each
	SCALEGATE_FUZZ_SECONDS="$${FUZZ_SECONDS:-60}" SCALEGATE_CONTROLPLANE="$$(tests/controlplane/build.sh)" \
	    $(CARGO) test --locked --workspace --test it -- --test-threads 1 --nocapture fuzz::

# What each part of `make soak` runs.
SOAK_modules = hostile_modules::
SOAK_policies = differential::
SOAK_api = described::
SOAK_chains = chains::
SOAK_floods = floods::

.PHONY: soak
soak: $(if $(filter soak,$(MAKECMDGOALS)),$(if $(SOAK_$(PART)),,$(error PART is one of: api, chains, floods, modules, policies))) controlplane policies ## try much more of what `make test` tries a sample of, for up to half an hour (PART=api, chains, floods, modules or policies)
	@echo "building the gateway and the tests for a soak (ten minutes the first time)" >&2
	$(CARGO) build --quiet --locked --profile soak --workspace
	SCALEGATE_SOAK="$(PART)" SCALEGATE_CONTROLPLANE="$$(tests/controlplane/build.sh)" \
	    $(CARGO) test --locked --profile soak --workspace --test it -- --test-threads 1 --nocapture $(SOAK_$(PART))

.PHONY: hostile-test
hostile-test: controlplane policies ## measure one client's requests beside another that uses all of its bounds, in a release build
	$(RELEASE) --bin scalegate
	SCALEGATE_SCALEGATE="$$PWD/target/release/scalegate" SCALEGATE_HOSTILE_RATIO=5 SCALEGATE_CONTROLPLANE="$$(tests/controlplane/build.sh)" \
	    $(CARGO) test --locked --workspace --test it -- --nocapture hostile::

.PHONY: bench
bench: controlplane policies ## measure what requests cost beside nginx, kube-apiserver and OPA (BENCH_ROUNDS=7, BENCH_SECONDS=5)
	@echo "building the gateway and the harness for release (ten minutes or more the first time)" >&2
	$(RELEASE) --bin scalegate --bin guard --bin bench
	target/release/bench compare

.PHONY: bench-docs
bench-docs: controlplane policies ## the same, and write docs/bench.md and docs/bench.svg
	$(RELEASE) --bin scalegate --bin guard --bin bench
	target/release/bench compare --write docs

# Valgrind shows programs no vDSO, which rustix would read by itself.
COUNTED = RUSTFLAGS="--cfg=rustix_use_libc" $(CARGO) build --quiet --locked --profile counted --target-dir target/counted -p scalegate --bin scalegate

.PHONY: counts
counts: build controlplane ## check how many instructions requests and decisions take (Linux on x86-64, with Valgrind); COUNTS=--write writes the figures anew
	@echo "building the gateway to count (a few minutes the first time)" >&2
	$(COUNTED)
	SCALEGATE_SCALEGATE="$$PWD/target/counted/counted/scalegate" SCALEGATE_CONTROLPLANE="$$(tests/controlplane/build.sh)" \
	    target/debug/bench count $(or $(COUNTS),--check) bench/counts.json

.PHONY: bench-scale
bench-scale: policies ## measure how the gateway's work grows from 10,000 Deployments to 100,000 (BENCH_ROUNDS=3)
	@echo "building the gateway and the harness for release (ten minutes or more the first time)" >&2
	$(RELEASE) --bin scalegate --bin guard --bin bench
	target/release/bench scale

.PHONY: bench-watchers
bench-watchers: controlplane policies ## measure how soon a change reaches 1,000 watchers, compared with one
	@echo "building the gateway and the harness for release (ten minutes or more the first time)" >&2
	$(RELEASE) --bin scalegate --bin guard --bin bench
	target/release/bench watchers

.PHONY: lint
lint: chart-test ## check format, lints, scripts, workflows, Dockerfiles, the proto and the chart
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	charts/tools/lint.sh
	gateway/proto/check.sh
	deploy/release/test.sh
	deploy/release/deny.sh bans licenses sources
	deploy/fly-nomad/check.py
	deploy/wireguard/tests/checks.py

.PHONY: chart-test
chart-test: ## check what the chart renders, what it refuses, and its README
	charts/test.sh

.PHONY: chart-snapshots
chart-snapshots: ## write anew what the chart renders, and its README; read the difference before you commit it
	charts/test.sh --update

.PHONY: deny
deny: ## check the licences, sources and advisories of the dependencies
	deploy/release/deny.sh

.PHONY: fmt
fmt: ## format the Rust and Rego sources
	$(CARGO) fmt --all
	"$$(policies/build.sh --opa)" fmt --write policies/rego policies/guide

.PHONY: build
build: policies ## compile the gateway, its client and the harness into target/debug
	@echo "building the gateway and the harness (a few minutes the first time)" >&2
	$(CARGO) build --locked --workspace

.PHONY: controlplane
controlplane:
	@tests/controlplane/build.sh >/dev/null

.PHONY: policies
policies: ## compile the example policies to WebAssembly, into target/policies
	policies/build.sh

.PHONY: policies-test
policies-test: policies
	policies/build.sh --test

.PHONY: certs
certs: ## mint development certificates into certs/dev
	$(CARGO) run --locked --quiet --bin certs -- --out $(CERTS_DIR)

.PHONY: crd
crd: ## generate the CRD from the Rust types
	$(CARGO) run --locked --quiet --bin scalegate -- crd > charts/scalegate/files/crd.yaml

.PHONY: proto-baseline
proto-baseline: ## write anew what `make lint` compares the proto with, at a release
	gateway/proto/check.sh --update

.PHONY: schema
schema: ## generate the JSON Schemas of policies and of audit records, what policies may call, and the OpenAPI description
	$(CARGO) run --locked --quiet --bin scalegate -- policy schema > policies/schema.json
	$(CARGO) run --locked --quiet --bin scalegate -- policy capabilities > policies/capabilities.json
	$(CARGO) run --locked --quiet --bin scalegate -- policy builtins > policies/builtins.md
	$(CARGO) run --locked --quiet --bin scalegate -- audit-schema > schemas/decision.json
	$(CARGO) run --locked --quiet --bin scalegate -- openapi > gateway/openapi.json

.PHONY: image
image: ## build the image into target/image/scalegate.tar (docker with buildx, or buildah)
	deploy/image/build.sh target/image/scalegate.tar

.PHONY: reproduce
reproduce: ## build the image twice, in different directories, and compare the bytes
	deploy/image/reproduce.sh

.PHONY: binaries
binaries: ## compile the released programs for this machine into target/release-files (needs cargo-auditable)
	deploy/release/binaries.sh

.PHONY: sbom
sbom: ## write the released programs' bills of materials (CycloneDX) into target/release-files
	deploy/release/sbom.sh

.PHONY: chart-package
chart-package: ## package the chart into target/release-files
	deploy/release/chart.sh

.PHONY: deploy
deploy: policies certs ## install or upgrade the chart on the cluster of the current kubeconfig
	deploy/deploy.sh

.PHONY: kind-up
kind-up: ## start a KIND cluster of three nodes
	deploy/kind/kind.sh up

.PHONY: kind-load
kind-load: ## put the image into the nodes of the KIND cluster
	deploy/kind/kind.sh load

.PHONY: kind-deploy
kind-deploy: export KUBECONFIG := $(CURDIR)/target/kind/kubeconfig
kind-deploy: ## install the chart on the KIND cluster, reached at https://localhost:8443, and Deployments to scale
	deploy/deploy.sh check
	$(MAKE) --no-print-directory policies certs
	kubectl get namespace demo >/dev/null 2>&1 || kubectl create -f deploy/kind/demo.yaml
	SERVER=https://localhost:$${KIND_PORT:-8443} CONTEXT=kind CONTEXTS=target/kind/scalegate.yaml CONTEXT_NAMESPACE=demo \
	    VALUES=deploy/kind/values.yaml deploy/deploy.sh
	@echo "ready: source deploy/kind/env, and see README.md, \"On KIND\""

.PHONY: kind-test
kind-test: build ## test the installation on the KIND cluster, from outside and from within
	$(CARGO) test --locked --workspace --test kind -- --test-threads 1 --nocapture --skip under_load

.PHONY: kind-upgrade-test
kind-upgrade-test: build ## upgrade, roll back, drain, rotate and change the leader under load on the KIND cluster (BESIDE=compilers)
	VERSION=0.0.0-next IMAGE=scalegate:next deploy/image/build.sh target/image/next.tar
	KIND_IMAGE_ARCHIVES=target/image/next.tar deploy/kind/kind.sh load
	$(CARGO) test --locked --workspace --test kind -- --test-threads 1 --nocapture under_load

.PHONY: kind-down
kind-down: ## delete the KIND cluster
	deploy/kind/kind.sh down

# One after the other, also under -j.
.PHONY: kind
kind: ## go from a clone to a tested KIND cluster: image, kind-up, kind-load, kind-deploy, kind-test
	$(MAKE) --no-print-directory image
	$(MAKE) --no-print-directory kind-up
	$(MAKE) --no-print-directory kind-load
	$(MAKE) --no-print-directory kind-deploy
	$(MAKE) --no-print-directory kind-test

.PHONY: wireguard-test
wireguard-test: ## break a WireGuard tunnel in every way that the lab knows, and have it mended (needs root)
	deploy/wireguard/tests/run.py

.PHONY: fly-nomad-test
fly-nomad-test: ## build the image of the Nomad machine on stand-ins, boot it, kill its parts (needs Debian and root)
	deploy/fly-nomad/tests/run.py

.PHONY: clean
clean: ## remove what was built in this clone; the cache that clones share stays
	$(CARGO) clean
	rm -rf certs/dev
