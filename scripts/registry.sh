#!/usr/bin/env bash
# Prints the path of Debian's docker-registry, for the tests that pull from it: the one on this machine, or the one of
# the package, unpacked below target/ and not installed, because the package would start a service.
set -euo pipefail
cd "$(dirname "$0")/.."

if found=$(command -v docker-registry); then
  echo "$found"
  exit
fi
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
if [ ! -x "$tools/usr/bin/docker-registry" ]; then
  mkdir -p "$tools"
  {
    [ "$(id -u)" -ne 0 ] || apt-get -qq update
    (cd "$tools" && apt-get -qq download docker-registry && dpkg-deb -x docker-registry_*.deb . && rm docker-registry_*.deb)
  } >&2
fi
echo "$tools/usr/bin/docker-registry"
