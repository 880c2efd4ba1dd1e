#!/usr/bin/env bash
# Prints a directory with Docker's own client, for the tests that type the story with it: the one on this machine, or
# the one of Debian's package, unpacked below target/ and not installed, because the package would start a daemon.
set -euo pipefail
cd "$(dirname "$0")/.."

if found=$(command -v docker); then
  dirname "$found"
  exit
fi
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
if [ ! -x "$tools/usr/bin/docker" ]; then
  mkdir -p "$tools"
  {
    [ "$(id -u)" -ne 0 ] || apt-get -qq update
    (cd "$tools" && apt-get -qq download docker.io && dpkg-deb -x docker.io_*.deb . && rm docker.io_*.deb)
  } >&2
fi
echo "$tools/usr/bin"
