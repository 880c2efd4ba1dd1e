#!/usr/bin/env bash
# Plants faults in the product, one at a time, and demands that the simulator finds each within a bounded number of seeds.
# One build with the feature `mutants` serves all of them; it shares its dependencies with every other build.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo run --quiet --locked -p skein-tests --features mutants --bin mutants
