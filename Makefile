# Lyceum. `make run` starts the whole mesh on this machine, `make test` proves it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
LISTEN ?= 127.0.0.1:8080
FUZZ_SECONDS ?= 5
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

.PHONY: help run page build test test-rust test-web test-browser lint deny advisories fuzz sim types measure measure-fanout measure-peers measure-memory clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: build ## build what is missing and start the mesh: two regions, the page at http://localhost:8080
	$(CARGO_TARGET_DIR)/release/lyceum mesh --listen $(LISTEN)

build: page ## the page and the release binary
	cargo build --release --locked -p lyceum

page: node_modules/.package-lock.json ## the page, into classroom/web/dist
	@scripts/need.sh build
	npm run --silent build

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

test: lint test-rust test-web test-browser fuzz ## everything that proves it, with the servers it needs

lint: page ## formats, clippy, eslint, tsc
	@scripts/need.sh test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	npm run --silent lint
	npm run --silent types

test-rust: page ## every Rust test; starts etcd and coturn's clients by itself
	@scripts/need.sh test
	cargo test --workspace --locked
	cargo test -p lyceum-wire --features ts --locked --test typescript

test-web: node_modules/.package-lock.json ## the web SDK's and the page's unit tests
	npm run --silent test

test-browser: page ## real Chromium against a real mesh
	@scripts/need.sh test
	cargo build --locked -p lyceum
	cargo build --locked -p lyceum-client --example room
	LYCEUM_BIN=$(abspath $(CARGO_TARGET_DIR))/debug/lyceum npm run --silent test:browser

fuzz: ## every fuzz target for FUZZ_SECONDS (5)
	@scripts/need.sh test
	fuzz/run.sh $(FUZZ_SECONDS)

deny: ## licences, sources and duplicates of what is built in
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check --hide-inclusion-graph -A duplicate licenses bans sources

advisories: ## known defects of what is built in; needs the advisory database from the network
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check advisories

types: ## the TypeScript types of the signaling messages, from the Rust ones
	cargo test -p lyceum-wire --features ts --locked --test typescript

measure: ## what forwarding, a class and an estimate cost without sockets, beside what they cannot cost less than
	cargo bench --locked -p lyceum-media --bench forward
	cargo bench --locked -p lyceum-media --bench class
	cargo bench --locked -p lyceum-media --bench estimate

measure-fanout: ## one real shard on one core, thousands of viewers on the other: 3 minutes, two cores, best as root
	cargo build --release --locked -p lyceum-fanout
	$(CARGO_TARGET_DIR)/release/lyceum-fanout --viewers 1,50,500,1000 --json $(CARGO_TARGET_DIR)/fanout.json
	$(CARGO_TARGET_DIR)/release/lyceum-fanout --viewers 1500 --rooms 10 --json $(CARGO_TARGET_DIR)/fanout-rooms.json

measure-peers: page ## ours and Janus by turns: CPU for a forwarded packet; 3 minutes, as root, with the package janus
	@scripts/need.sh measure
	cargo build --release --locked -p lyceum -p lyceum-peers
	$(CARGO_TARGET_DIR)/release/lyceum-peers --json $(CARGO_TARGET_DIR)/peers.json

measure-memory: page ## heap of a subscriber, and what an idle edge takes
	cargo test --locked -p lyceum-sim --test weight -- --nocapture --test-threads 1
	cargo build --release --locked -p lyceum
	scripts/idle-memory.sh $(CARGO_TARGET_DIR)/release/lyceum

clean: ## remove what was built
	rm -rf target node_modules classroom/web/dist client-sdk/web/dist
