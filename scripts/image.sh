#!/usr/bin/env bash
# Makes a small image as `docker save` would write it, of a static busybox and nothing else: image.sh NAME:TAG FILE
# No registry and no container tool is needed; the same busybox gives the same bytes.
set -euo pipefail

name=$1 file=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar "$@"; }

mkdir -p "$work"/root/{bin,etc,tmp,var/www}
chmod 1777 "$work/root/tmp"
cp "$(command -v busybox)" "$work/root/bin/busybox"
chmod 755 "$work/root/bin/busybox"
for applet in $(busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$work/root/bin/$applet"
done
echo 'root:x:0:0:root:/:/bin/sh' >"$work/root/etc/passwd"
echo 'root:x:0:' >"$work/root/etc/group"
pack -C "$work/root" -cf "$work/layer.tar" .

case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) arch=$(uname -m) ;;
esac
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
cat >"$work/config.json" <<JSON
{"architecture":"$arch","os":"linux","created":"2026-01-01T00:00:00Z",
"config":{"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/"},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},
"history":[{"created":"2026-01-01T00:00:00Z","created_by":"scripts/image.sh"}]}
JSON
id=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/$id.json"
cat >"$work/manifest.json" <<JSON
[{"Config":"$id.json","RepoTags":["$name"],"Layers":["layer.tar"]}]
JSON
pack -C "$work" -cf "$file" manifest.json "$id.json" layer.tar
