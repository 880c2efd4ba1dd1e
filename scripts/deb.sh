#!/usr/bin/env bash
# Builds a Debian package of a release build into target/debian: the binary, its unit, manual pages and completions.
# Brings the packer itself, pinned, into target/tools. What goes where stands in cli/Cargo.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

packer=3.8.0
release=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release

scripts/packages.sh build deb
cargo build --release --locked -p skein
rm -rf "$release/package"
mkdir "$release/package"
"$release/skein" manual --man "$release/package/man"
gzip -9n "$release"/package/man/*.1
for shell in bash zsh fish; do
  "$release/skein" completion "$shell" >"$release/package/skein.$shell"
done

if ! target/tools/bin/cargo-deb --version 2>/dev/null | grep -qxF "cargo-deb $packer"; then
  cargo install --locked --root target/tools "cargo-deb@$packer"
fi
target/tools/bin/cargo-deb --no-build --strip --locked -p skein -o target/debian/
