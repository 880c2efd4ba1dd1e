#!/usr/bin/env bash
# Installs what this machine lacks for the given purposes, from Debian's packages: build, run, test, deb.
# Nothing is installed that is there already, whatever brought it.
set -euo pipefail

missing=()
has() { command -v "$1" >/dev/null 2>&1; }
want() { missing+=("$1"); }

for purpose in "$@"; do
  case $purpose in
    build)
      has cargo || { echo "a Rust toolchain is needed: https://rustup.rs" >&2; exit 1; }
      has gcc || want gcc
      has pkg-config || want pkg-config
      [ -e /usr/include/seccomp.h ] || want libseccomp-dev
      ;;
    run) # the story's image is made of it
      busybox=$(command -v busybox || true)
      if [ -z "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then want busybox-static; fi
      ;;
    test) # tests compare the kernel's state with what these show
      has ip || want iproute2
      has nft || want nftables
      has curl || want curl # puts images into a registry
      has openssl || want openssl # gives one a certificate
      has mkfs.ext4 || want e2fsprogs # a device whose free blocks are looked at
      has losetup || want mount
      ;;
    deb) # the package names the libraries its binary needs
      has dpkg-shlibdeps || want dpkg-dev
      ;;
    *) echo "usage: $0 build|run|test|deb ..." >&2; exit 125 ;;
  esac
done

[ ${#missing[@]} -gt 0 ] || exit 0
echo "\$ apt-get install ${missing[*]}"
has apt-get || { echo "install these with your package manager: ${missing[*]}" >&2; exit 1; }
root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${root[@]}" apt-get -qq update
"${root[@]}" apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null
