# Waiting for the package manager's locks, which unattended upgrades hold on every fresh cloud machine. Sourced by scripts/setup.

LOCKS="/var/lib/apt/lists/lock /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/cache/apt/archives/lock"
LOCK_S=${LOCK_S:-900}

# Writes the number of the process that holds a lock on a file (fcntl(2), flock(2); proc_locks(5)); nothing if there is none.
lock_holder() {
  [ -e "$1" ] || return 0
  local device place
  device=$((0x$(stat -c %D "$1"))) # makedev(3)
  place=$(printf '%02x:%02x:%s' $((device >> 8 & 0xfff)) $((device & 0xff | device >> 12 & 0xfff00)) "$(stat -c %i "$1")")
  awk -v place="$place" '$2 != "->" && $6 == place { print $5; exit }' /proc/locks
}

# Waits until none of the given locks is held, and names each holder once. Fails after LOCK_S seconds.
await_locks() {
  local lock pid name said= ends=$((SECONDS + LOCK_S)) progress=${PROGRESS_FD:-2}
  for lock in "$@"; do
    while pid=$(lock_holder "$lock") && [ -n "$pid" ]; do
      name=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c 1-80) || true
      if [ "$said" != "$pid" ]; then
        echo "why502: waiting for the package manager: process $pid${name:+ (${name% })} holds $lock" >&"$progress"
        said=$pid
      fi
      if [ $SECONDS -ge $ends ]; then
        echo "why502: process $pid still holds $lock after $LOCK_S s" >&2
        return 1
      fi
      sleep 0.5
    done
  done
}

# Runs apt-get when the locks are free; if another process was faster, apt waits for dpkg's lock itself (apt.conf(5)).
locked_apt_get() {
  # shellcheck disable=SC2086 # a word is a path
  await_locks $LOCKS && DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout="$LOCK_S" "$@"
}
