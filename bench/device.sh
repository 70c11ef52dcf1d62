#!/usr/bin/env bash
# All that a machine with a CUDA device can say, in one run: builds, tests, looks for races, measures. Run it from anywhere;
# what it finds is left in OUT (default build/device). Written without a device at hand: not run yet, its time not known.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-build/device}
mkdir -p "$out"

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

step device
nvidia-smi --query-gpu=name,compute_cap,memory.total,driver_version,clocks.sm,clocks.mem,power.limit --format=csv | tee "$out/device.csv"
arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)

step build for sm_"$arch"
cmake -S . -B build/device-release -DGROK_CUDA=ON -DGROK_CUDA_ARCHS="$arch-real" >"$out/configure.txt"
programs=(model_golden_device backend_cuda_operations_device backend_cuda_sample_device)
cmake --build build/device-release --parallel "$(nproc)" --target "${programs[@]}" bench_ops >"$out/build.txt"

step tests
for program in "${programs[@]}"; do
  "build/device-release/$program" | tee "$out/$program.txt"
done

if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "$tool"
    for program in backend_cuda_operations_device backend_cuda_sample_device; do
      compute-sanitizer --tool "$tool" --error-exitcode 1 "build/device-release/$program" >"$out/$program.$tool.txt" 2>&1 ||
        { tail -40 "$out/$program.$tool.txt"; exit 1; }
    done
  done
else
  step "SKIPPED: compute-sanitizer is not installed"
fi

step operations # two layers of Grok-1 beside a small vocabulary: 10 GB of weights, which no cache holds
build/device-release/bench_ops --device cuda --shape slice --tokens 1,2,4,8,16,32,64 --context 1024 --reps 20 |
  tee "$out/operations.txt"
build/device-release/bench_ops --device cuda --shape slice --tokens 1,64,256 --context 7936 --reps 10 |
  tee "$out/operations-8k.txt"

step "done: $out"
