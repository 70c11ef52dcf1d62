#!/usr/bin/env bash
# Compiles tests of the CPU kernels for arm64 and runs them on emulated CPUs: one with the dot product, one without.
# Takes four minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for needed in aarch64-linux-gnu-g++:g++-aarch64-linux-gnu qemu-aarch64:qemu-user; do
  command -v "${needed%%:*}" >/dev/null || missing+=("${needed##*:}")
done
install() {
  [[ $(id -u) == 0 ]] && apt-get update -q && apt-get install -y -q --no-install-recommends "$@"
}
if ((${#missing[@]})) && ! install "${missing[@]}"; then
  echo "SKIPPED: nothing is tested for arm64, as there is no ${missing[*]} here (apt install ${missing[*]})"
  exit 0
fi

node scripts/build-native.mjs --arch arm64
cmake --build build/arm64/build --target backend_cpu_matmul backend_cpu_table backend_cpu_attention model_golden --parallel 2

export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
test_on() { # the CPU, the kernels that it must have
  export QEMU_CPU=$1
  printf '\non an emulated %s:\n' "$1"
  qemu-aarch64 build/arm64/build/backend_cpu_matmul
  qemu-aarch64 build/arm64/build/backend_cpu_table
  qemu-aarch64 build/arm64/build/model_golden 'logits are' | tee build/arm64/build/logits.txt
  local tested
  tested=$(sed -nE 's/.* (neon|portable) +prompt.*/\1/p' build/arm64/build/logits.txt | sort -u | xargs)
  if [[ $tested != "$2" ]]; then
    echo "test-arm64: expected the kernels \"$2\" on $1, found \"$tested\"" >&2
    exit 1
  fi
}
test_on cortex-a57 portable
test_on max 'neon portable'
# The slowest tests run once. A token after thousands of others would take minutes.
for title in 'a chunk of a prompt' 'several sequences' 'in chunks of any size'; do
  qemu-aarch64 build/arm64/build/backend_cpu_attention "$title"
done
qemu-aarch64 build/arm64/build/model_golden
