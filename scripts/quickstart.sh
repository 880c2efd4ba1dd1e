#!/usr/bin/env bash
# Tells Skein's first story with real commands on a private daemon, and checks every step of it:
# swarm, overlay, service, scale, a name from inside a container, a killed process healed, why, the past, the proof.
# Stays up until Ctrl-C unless ONCE=1, then removes everything it made. Exit code 0 only if all of it held.
# SKEIN_BIN names a binary to use instead of building a release.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/story.sh

[ "$(id -u)" -eq 0 ] || fail "real containers and networks need root: run this as root"
if [ -n "${SKEIN_BIN:-}" ]; then
  scripts/packages.sh run
else
  scripts/packages.sh build run
  say "Build"
  show cargo build --release --locked
  SKEIN_BIN=${CARGO_TARGET_DIR:-target}/release/skein
fi
SKEIN_BIN=$(realpath "$SKEIN_BIN")

work=$(mktemp -d /tmp/skein-quickstart.XXXXXX)
ln -s "$SKEIN_BIN" "$work/skein"
export PATH="$work:$PATH" SKEIN_HOST="unix://$work/run/skein.sock"
remember_machine
trap 'leave_nothing $?' EXIT
trap 'exit 130' INT TERM

say "A daemon on private roots: its log, images and identity in one, sockets and mounts in the other"
echo "\$ export SKEIN_HOST=$SKEIN_HOST"
start_daemon
skein image ls -q >/dev/null || fail "the daemon does not answer"

say "A swarm of one"
apart=() # a daemon that is here already has the usual port of VXLAN
grep -qs '^skein [0-9a-f]* 4789 ' /sys/class/net/*/ifalias && apart=(--data-path-port 4790)
show skein swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377 "${apart[@]}"
show skein node ls
check "this node leads" "skein node ls | grep -q ' \* .*Leader'"

say "An image, made here of a static busybox; no registry is involved"
show scripts/image.sh hello:1 "$work/hello.tar"
show skein image load -i "$work/hello.tar"
show skein image ls

say "An overlay network, and a web server on it, three times"
show skein network create --driver overlay shop
show skein network ls
serve='hostname >/tmp/index.html; exec httpd -f -p 80 -h /tmp'
show skein service create --name web --replicas 3 --network shop --endpoint-mode dnsrr \
  --restart-delay 0s -m 'opening day' hello:1 sh -c "$serve"
show skein service ls
check "three tasks run" "[ \"\$(replicas)\" = 3/3 ]"
opening=$(newest)

say "More visitors: five of them"
show skein service scale web=5 -m 'more visitors'
show skein service ps web
check "five tasks run" "[ \"\$(replicas)\" = 5/5 ]"

say "The name, asked from inside a container: one address a task"
show skein exec web.1 nslookup -type=a web
check "the name has five addresses" \
  "[ \$(skein exec web.1 nslookup -type=a web </dev/null | grep -c '^Address: *[0-9.]*\$') = 5 ]"
show skein exec web.1 wget -q -O - http://web/
check "the tasks serve by name" "skein exec web.1 wget -q -O - http://web/ </dev/null | grep -q ."

say "One task's process is killed, and replaced"
victim=$(task_field web.2 ID) pid=$(task_field web.2 PID)
[ -n "$victim" ] && [ "${pid:-0}" -gt 1 ] || fail "the process of web.2 cannot be found"
show kill -9 "$pid"
await "another task runs as web.2" replaced
show skein service ps web
check "the killed task is shown with its exit code" "skein service ps web | grep -q '137'"
check "five tasks run again" "[ \"\$(replicas)\" = 5/5 ]"

say "Why does the new one exist?"
show skein why web.2
check "the chain ends at the user's command" "skein why web.2 | grep -q 'opening day'"

say "The swarm as it was before the scaling, at $opening"
show skein service ls --at "$opening"
check "three tasks ran then" "[ \"\$(replicas --at $opening)\" = 3/3 ]"

say "Everything that happened to the service, and the proof that nothing was changed since"
show skein log web -n 12
check "the log knows the reason" "skein log web | grep -q 'more visitors'"
show skein verify
check "the log verifies" "skein verify | grep -q '^ok:'"

if [ -n "${ONCE:-}" ]; then
  say "The story held; everything is removed now"
  exit 0
fi
say "The swarm stays up until Ctrl-C. In another terminal:"
cat <<HELP
  export SKEIN_HOST=$SKEIN_HOST PATH=$work:\$PATH
  skein service ps web
  skein tail --from start
  DOCKER_HOST=\$SKEIN_HOST docker service ls     # if you have Docker's client
HELP
trap 'echo; exit 0' INT TERM
while kill -0 "$daemon" 2>/dev/null; do sleep 1; done
fail "the daemon ended by itself: $(tail -n 3 "$work/daemon.log")"
