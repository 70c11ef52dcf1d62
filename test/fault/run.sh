#!/usr/bin/env bash
# Fails every allocation, and every call to the system of each kind, once: all the points of which `npm test` tries some.
# Then runs under each small limit of a pids cgroup (version 1, as root). Some minutes; needs `npm run build` and the
# native tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

GROK_FAULT_STRIDE=1 build/fault_allocations

shim=$(mktemp --suffix=-grok-fault.so)
trap 'rm -f "$shim"' EXIT
cc -O1 -shared -fPIC -o "$shim" test/fault/fault.c -ldl
for kind in new work thread mmap open read stat; do
  LD_PRELOAD=$shim node --expose-gc test/fault/inject.mjs "$kind" 1
done

pids=/sys/fs/cgroup/pids/grok-fault
mkdir -p "$pids" 2>/dev/null || { echo 'SKIPPED: no pids cgroup can be made here'; exit; }
trap 'rm -f "$shim"; rmdir "$pids"' EXIT
limited() { (echo "$BASHPID" >"$pids/cgroup.procs" && exec timeout 60 "$@"); }
for limit in {8..30}; do
  echo "$limit" >"$pids/pids.max"
  limited node -e "require('fs').promises.readFile('/proc/self/stat')" 2>/dev/null || continue
  for kind in '' worker; do
    echo "pids.max $limit $kind: $(limited node test/fault/limited.mjs $kind || echo "exit status $?")"
  done
done
