#!/usr/bin/env bash
# Prints the path of a program that a test needs and the machine need not run: `unpacked.sh PROGRAM PACKAGE`.
# It is the one on this machine, or the one of Debian's package, unpacked below target/ and not installed, because the
# package would start a service.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1 package=$2

if found=$(command -v "$program"); then
  echo "$found"
  exit
fi
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
mkdir -p "$tools"
exec 9>"$tools/lock"
flock 9 # tests that run side by side ask for it at the same time
if [ ! -x "$tools/usr/bin/$program" ]; then
  {
    [ "$(id -u)" -ne 0 ] || apt-get -qq update
    (cd "$tools" && apt-get -qq download "$package" && dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb)
  } >&2
fi
echo "$tools/usr/bin/$program"
