#!/usr/bin/env bash
# Everything CI runs: form, lints, every test (real containers and namespaces among them), the simulator's seeds,
# the quick start. Self-sufficient on a Debian 12 with root and a Rust toolchain; one development build serves all.
# SEEDS sets the number of simulated histories.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

[ "$(id -u)" -eq 0 ] || { echo "tests make containers and namespaces: run this as root" >&2; exit 1; }
scripts/packages.sh build run test
PATH=$(scripts/docker-client.sh):$PATH
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export PATH SKEIN_BIN="$target/debug/skein"

step cargo fmt --all --check
# With failpoints the daemon can be killed at named places, which a test does; everything is checked as it is then.
all=(--locked --workspace --features skein-tests/failpoints)
step cargo clippy "${all[@]}" --all-targets -- -D warnings
step cargo build "${all[@]}" --all-targets
if cargo nextest --version >/dev/null 2>&1; then
  step cargo nextest run "${all[@]}" --profile all
else
  step cargo test "${all[@]}" --no-fail-fast
fi
step "$target/debug/sim" --seeds "${SEEDS:-500}"
step "$target/debug/sim" --from 1000 --seeds 10 --twice
step scripts/mutants.sh
ONCE=1 step scripts/quickstart.sh
printf '\n== everything passed\n'
