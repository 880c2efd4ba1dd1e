# The two commands of the README, and what CI runs. Each is a script in scripts/, which says what it does.

.PHONY: help quickstart test bench soak deb

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

quickstart: ## Build, start a private swarm and tell its first story; ONCE=1 ends by itself
	@ONCE='$(ONCE)' scripts/quickstart.sh

test: ## Everything CI runs
	@scripts/test.sh

bench: ## Measure, each figure beside its limit; writes docs/performance.md
	@scripts/bench.sh

soak: ## Make, scale and remove services again and again (CYCLES=1000); fails if anything is left
	@scripts/bench.sh --soak $(or $(CYCLES),1000)

deb: ## Build a Debian package into target/debian
	@scripts/deb.sh
