#!/usr/bin/env bash
# Prints the path of Debian's docker-registry, for the tests that pull from it.
exec "$(dirname "$0")/unpacked.sh" docker-registry docker-registry
