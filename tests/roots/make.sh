#!/usr/bin/env bash
# Makes a data root as one build of skein left it, for the test that later builds open it: make.sh BINARY NAME.
# NAME is what the build is called (its commit or release); beside NAME.tar.zst it writes NAME.txt, what that build
# itself said of the root: position, digest, head of the chain. Needs root; everything runs in a namespace of its own.
set -euo pipefail
binary=$(realpath "$1") name=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}") space=skein-root-$$
data=$work/data run=$work/run daemon=
cleanup() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  # What ran outlives its daemon; all of it names this folder or is in this one namespace.
  ip netns pids "$space" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  pgrep -f "$work/" | xargs -r kill -9 2>/dev/null || true
  awk -v w="$work/" 'index($5, w) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount -l
  ip netns del "$space" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
ip netns add "$space"
ip -n "$space" link set lo up
skein() { "$binary" --host "unix://$run/skein.sock" "$@"; }
await() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return; read -rt 0.1 <> <(:) || true; done; echo "never: $*" >&2; skein service ls >&2; skein service ps web --no-trunc >&2; tail -5 "$work/log" >&2; exit 1; }
replicas() { skein service ls | grep -w "$1" | grep -qw "$2"; }

mkdir -p "$data" "$run"
# Not `ip netns exec`: its /sys has no control groups.
nsenter --net="/run/netns/$space" "$binary" daemon --data-root "$data" --run-root "$run" \
  --host "unix://$run/skein.sock" >"$work/log" 2>&1 &
daemon=$!
await skein image ls -q
skein swarm init --advertise-addr 127.0.0.1 >"$work/said"
"$here/../../scripts/image.sh" hello:1 "$work/hello.tar" >"$work/said"
skein image load -q -i "$work/hello.tar"
skein network create --driver overlay --label tier=front shop >"$work/said"
skein network create --driver overlay back >"$work/said"
skein volume create --label keep=yes shelf >"$work/said"
skein service create --detach --name web --replicas 2 --network shop --endpoint-mode dnsrr \
  --env COLOUR=green --env SHADE=dark --label team=a --container-label role=web \
  --mount type=volume,source=shelf,target=/data --mount type=tmpfs,target=/scratch,tmpfs-size=1m \
  --hostname '{{.Service.Name}}-{{.Task.Slot}}' --health-cmd 'test ! -e /sick' --health-interval 1s \
  --restart-delay 0s --stop-grace-period 1s hello:1 sleep 86400 >"$work/said"
skein service create --detach --name db --replicas 1 --network back --endpoint-mode dnsrr --env PASSWORD=redact-me -m 'because of it' \
  --restart-delay 0s --stop-grace-period 1s hello:1 sleep 86400 >"$work/said"
skein service create --detach --name gone --replicas 1 --network back --endpoint-mode dnsrr --stop-grace-period 0s hello:1 sleep 86400 >"$work/said"
await replicas web 2/2; await replicas db 1/1; await replicas gone 1/1
skein service scale --detach web=3 >"$work/said"
await replicas web 3/3
skein service update --detach --label-add team=b --env-add MOOD=calm db >"$work/said"
await replicas db 1/1
skein service rm gone >"$work/said"
at=$(skein log service/db --since @1 | grep -m1 -o '^ *@[0-9]*' | tr -d ' ')
skein log redact -m 'a password' "$at" >"$work/said"
# Until what the swarm wishes and what runs agree, and no more records come.
await sh -c "! '$binary' --host 'unix://$run/skein.sock' service ps web db --filter desired-state=shutdown | grep -q Running"
skein service ps web db --no-trunc | tail -n +2 >"$work/tasks"
kill "$daemon"; wait "$daemon" || true; daemon=
{
  echo "build $name"
  echo "redacted $at"
  "$binary" replay --data-root "$data" --digest
} >"$here/$name.txt"
# The log, who the node is, and what its containers were started with; no image, volume or root file system.
cd "$data"
find . -xdev \( -path ./swarm -o -path './containers/*' -name '*.json' \) -print0 >"$work/kept"
tar --zstd --numeric-owner --null --one-file-system -cf "$here/$name.tar.zst" --files-from "$work/kept"
cd "$here"
ls -l "$name.tar.zst"; cat "$name.txt" "$work/tasks"
