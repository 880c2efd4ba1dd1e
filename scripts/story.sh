# Sourced by quickstart.sh: how a step is shown and checked, how the daemon starts, and how nothing is left behind.
# Everything is found again by the private roots in $work, never by a name that another daemon could have too.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

# Shows a command as one would type it, then runs it.
show() {
  local word line='$'
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=@%+,-]*) line+=" '${word//\'/\'\\\'\'}'" ;;
      *) line+=" $word" ;;
    esac
  done
  printf '%s%s%s\n' "$bold" "$line" "$plain"
  "$@" </dev/null || fail "exit code $? from: ${line#\$ }"
}

# check WHAT CONDITION: the condition is shell; a story in which it does not hold is not told further.
check() { eval "$2" || fail "not so: $1"; }

# await WHAT COMMAND...: asks again until it is so, for at most half a minute.
await() {
  local what=$1 tries
  shift
  for ((tries = 0; tries < 150; tries++)); do
    if "$@"; then return 0; fi
    sleep 0.2
  done
  fail "not so within 30 s: $what"
}

field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
task_field() { skein service ps --format json web | grep "\"Name\":\"$1\"" | grep '"CurrentState":"Running' | field "$2" | head -n 1; }
replicas() { skein service ls --format json "$@" | grep '"Name":"web"' | field Replicas; }
newest() { printf '@%s' "$(skein log -n 1 --format json | field position)"; }
replaced() { local id; id=$(task_field web.2 ID); [ -n "$id" ] && [ "$id" != "$victim" ] && [ "$(replicas)" = 5/5 ]; }

start_daemon() {
  local roots=(--data-root "$work/data" --run-root "$work/run")
  printf '%s$ skein daemon %s &%s\n' "$bold" "${roots[*]}" "$plain"
  # Its own session: Ctrl-C is for this script, which still needs the daemon to take everything down.
  setsid skein daemon "${roots[@]}" --host "$SKEIN_HOST" >"$work/daemon.log" 2>&1 </dev/null &
  daemon=$!
  await "the daemon answers" daemon_answers
}

daemon_answers() {
  kill -0 "$daemon" 2>/dev/null || fail "the daemon did not start: $(tail -n 5 "$work/daemon.log")"
  skein image ls -q >/dev/null 2>&1
}

cgroup_roots() { find /sys/fs/cgroup -mindepth 2 -maxdepth 3 -path '*/skein/*' -type d 2>/dev/null | sort; }
cgroup_parents() { find /sys/fs/cgroup -maxdepth 2 -name skein -type d 2>/dev/null | sort; }
remember_machine() { cgroups_before=$(cgroup_roots) parents_before=$(cgroup_parents); }
new_cgroups() { comm -13 <(printf '%s\n' "$cgroups_before") <(cgroup_roots); }

our_mounts() { sed -n "s|^[^ ]* [^ ]* [^ ]* [^ ]* \($work/[^ ]*\) .*|\1|p" /proc/self/mountinfo | sort -r; }
our_links() { grep -l -- "$work/" /sys/class/net/*/ifalias 2>/dev/null | cut -d/ -f5; }
our_processes() { # the daemon and shims write below $work; processes of containers are in our control groups
  local fd group
  for fd in /proc/[0-9]*/fd/2; do
    case $(readlink "$fd" 2>/dev/null) in "$work"/*) echo "$fd" | cut -d/ -f3 ;; esac
  done
  for group in $(new_cgroups); do find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null; done
}

# Takes the story down as a user would, then removes by force what is left, which is a failure of its own.
leave_nothing() {
  local code=$1 left=''
  trap - EXIT
  trap '' INT TERM
  [ "$code" = 0 ] || tail -n 20 "$work/daemon.log" >&2 2>/dev/null || true
  if kill -0 "${daemon:-0}" 2>/dev/null && [ "${daemon:-0}" -gt 1 ]; then
    skein swarm leave --force >/dev/null 2>&1 || true
    settled || left+=" tasks"
    kill -TERM "$daemon" 2>/dev/null || true
    ended "$daemon" || left+=" daemon"
  fi
  sweep || left+=" objects"
  rm -rf --one-file-system "$work" || left+=" files"
  if [ "$code" = 0 ] && [ -n "$left" ]; then
    printf 'quickstart: the daemon left something behind, removed by force:%s\n' "$left" >&2
    code=1
  fi
  exit "$code"
}

ended() { # waits half a minute for a child, then kills it
  local tries
  for ((tries = 0; tries < 150; tries++)); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.2
  done
  kill -9 "$1" 2>/dev/null
  return 1
}

settled() { # until only the daemon is left of our processes
  local tries
  for ((tries = 0; tries < 150; tries++)); do
    [ "$(our_processes | sort -u)" = "$daemon" ] && return 0
    sleep 0.2
  done
  return 1
}

# Removes what may be left; fails, and names it, if there was anything but empty control groups and network namespaces.
sweep() {
  local pid path link tag found=''
  for pid in $(our_processes | sort -u); do found+=" process $pid" && kill -9 "$pid" 2>/dev/null || true; done
  for path in $(our_mounts); do
    case $path in "$work"/run/netns*) ;; *) found+=" mount $path" ;; esac
    umount -l "$path" || true
  done
  for link in $(our_links); do
    found+=" link $link" tag=${link#skein-}
    if command -v ip >/dev/null; then
      for path in /sys/class/net/sk"$tag"-*; do
        if [ -e "$path" ]; then ip link del "${path##*/}" || true; fi
      done
      ip link del "$link" || true
    fi
    if command -v nft >/dev/null; then nft delete table ip "$link" 2>/dev/null || true; fi
  done
  for path in $(new_cgroups); do find "$path" -depth -type d -exec rmdir {} \; 2>/dev/null || true; done
  for path in $(comm -13 <(printf '%s\n' "$parents_before") <(cgroup_parents)); do rmdir "$path" 2>/dev/null || true; done
  [ -z "$found" ] || { printf 'quickstart: left behind:%s\n' "$found" >&2; return 1; }
}
