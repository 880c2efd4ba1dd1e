#!/usr/bin/env bash
# Measures a release build and puts the figures into docs/performance.md, each beside its limit in the same run.
# Arguments go to the bench: --only creates,replay,planning,start for some of it; then the page is left as it is.
# SKEIN_BIN and SKEIN_BENCH name binaries to use instead of building.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] || { echo "bench: real containers and networks need root: run this as root" >&2; exit 1; }
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release
if [ -n "${SKEIN_BIN:-}" ] && [ -n "${SKEIN_BENCH:-}" ]; then
  scripts/packages.sh run test
else
  scripts/packages.sh build run test
  cargo build --release --locked -p skein -p skein-tests --bin skein --bin bench
  SKEIN_BIN=$target/skein SKEIN_BENCH=$target/bench
fi
SKEIN_BIN=$(realpath "$SKEIN_BIN")
export SKEIN_BIN
[ $# -gt 0 ] || set -- --write docs/performance.md
# Namespaces of its own: no packet reaches the machine's networks, and whatever is left ends with the bench.
exec unshare --net --pid --mount --mount-proc --fork --kill-child \
  sh -c 'ip link set lo up && exec "$0" "$@"' "$(realpath "$SKEIN_BENCH")" "$@"
