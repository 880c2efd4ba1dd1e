#!/usr/bin/env bash
# Measures a release build and writes docs/performance.md: each figure beside the limit measured in the same run.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/packages.sh build run
cargo build --release --locked --workspace
SKEIN_BIN=$(realpath "${CARGO_TARGET_DIR:-target}")/release/skein
export SKEIN_BIN
exec cargo run --release --locked --quiet -p skein-tests --bin bench -- "$@"
