#!/usr/bin/env bash
# Prints a directory with Docker's own client, for the tests that type the story with it.
set -euo pipefail
dirname "$("$(dirname "$0")/unpacked.sh" docker docker.io)"
