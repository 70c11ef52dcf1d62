#!/usr/bin/env bash
# Runs every check of a machine with a CUDA device: builds, tests, measures, and searches for races. Needs cmake and
# nvcc, python3 for the table, PyTorch for the limits and the peers; no network. With a Node binary it also builds the
# addon and runs the command line, which needs dist/ (npm run build:ts) and node_modules/.
#
#   bench/device.sh [--quick] [--node NODE] [OUT]
#
# NODE is by default $GROK_DEVICE_NODE; without it, the steps that need Node are left out. OUT (default $OUT, or
# build/device) holds log.txt, results.json (rewritten after every step), and the lines of which results.json consists.
# The whole takes 9 minutes at most, with --quick 3. Each step has its own limit, and all share one deadline
# (GROK_DEVICE_DEADLINE, in seconds from the start). A step that fails is reported, and the next one runs; the exit
# status is then 1.
set -uo pipefail
PATH=$PATH:/usr/local/cuda/bin

out=${OUT:-}
quick=
node=${GROK_DEVICE_NODE:-}
while (($#)); do
  case $1 in
    --quick) quick=1 ;;
    --node) node=${2:-none}; shift ;;
    -*) echo "device.sh: unknown option $1: expected [--quick] [--node NODE] [OUT]" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
if [[ $node ]] && ! node=$(realpath -se "$(type -P "$node")" 2>/dev/null); then
  echo "device.sh: expected --node or GROK_DEVICE_NODE to be a Node binary" >&2
  exit 2
fi
out=$(realpath -m "${out:-$(dirname "$0")/../build/device}")
cd "$(dirname "$0")/.." || exit 2
mkdir -p "$out" || exit 2
rm -f "$out"/{log.txt,results.json,machine.txt,steps.jsonl,operations.jsonl,torch.jsonl,bench.json}

# Seconds from the start. The remaining time is for the end of the last step and the table.
deadline=${GROK_DEVICE_DEADLINE:-$((quick ? 165 : 520))}
failed=
build=${GROK_DEVICE_BUILD:-build/device-release}

report() {
  python3 bench/device/report.py "$out" "$@"
}

end() { # NAME STATUS SECONDS
  printf '{"step": "%s", "status": "%s", "seconds": %d}\n' "$1" "$2" "$3" >>"$out/steps.jsonl"
  printf '== %s: %s (%d s)\n' "$1" "$2" "$3"
  [[ $2 == passed || $2 == left\ out* ]] || failed=1
  report >/dev/null
}

# Runs a command for at most LIMIT seconds. Its output goes to the log, and the end of it to the screen if the command
# fails.
step() { # NAME LIMIT COMMAND...
  local name=$1 limit=$2 left=$((deadline - SECONDS)) start=$SECONDS status
  shift 2
  if ((left <= 0)); then
    end "$name" 'no time left' 0
    return
  fi
  printf '\n== %s: %s\n' "$name" "$*" >>"$out/log.txt"
  timeout --kill-after=5 $((limit < left ? limit : left)) "$@" >"$out/step.txt" 2>&1
  status=$?
  cat "$out/step.txt" >>"$out/log.txt"
  case $status in
    0) end "$name" passed $((SECONDS - start)) ;;
    77) end "$name" 'no device' $((SECONDS - start)) ;;
    124 | 137) end "$name" 'timed out' $((SECONDS - start)) ;;
    127) end "$name" 'not there' $((SECONDS - start)) ;;
    *) end "$name" failed $((SECONDS - start)) ;;
  esac
  ((status == 0)) || tail -20 "$out/step.txt"
  rm -f "$out/step.txt"
  return "$status"
}

{
  date -u +date=%Y-%m-%dT%H:%M:%SZ
  echo "commit=$(git rev-parse HEAD 2>/dev/null)"
  echo "changed=$(git status --porcelain --untracked-files=no 2>/dev/null | wc -l)"
  nvcc --version 2>/dev/null | sed -n 's/^Cuda compilation tools, /nvcc=/p'
  for field in name compute_cap memory.total driver_version clocks.sm clocks.max.sm clocks.mem power.limit; do
    echo "$field=$(timeout 10 nvidia-smi --query-gpu=$field --format=csv,noheader 2>/dev/null | head -1)"
  done
} >"$out/machine.txt"
step device 20 nvidia-smi
arch=$(sed -n 's/^compute_cap=//p' "$out/machine.txt" | tr -d .)

# ---------------------------------------------------------------- build

tests=(backend_operations_device backend_sample_device backend_cuda_packed_table_device model_golden_device
       backend_cuda_embedded_model_device)
# Tests whatever was built.
if command -v ninja >/dev/null; then
  generator=Ninja keep_going=(-k 0)
else
  generator='Unix Makefiles' keep_going=(-k)
fi
# CMake needs the headers of Node-API for the addon, which is built if everything that it needs is present.
headers=(-DCMAKE_JS_INC=none)
lacking=
addon=
if [[ $node ]]; then
  for file in dist/bin/grok-run.js node_modules/node-addon-api; do
    [[ -e $file ]] || lacking+="$file "
  done
  [[ $lacking ]] || headers=(-UCMAKE_JS_INC "-DNODE_EXECUTABLE=$node")
fi
step configure 60 cmake -G "$generator" -S . -B "$build" -DGROK_CUDA=ON "-DGROK_CUDA_ARCHS=${arch:-native}-real" "${headers[@]}"
step build $((quick ? 110 : 180)) cmake --build "$build" --parallel "$(nproc)" --target bench_ops "${tests[@]}" -- "${keep_going[@]}"

if [[ ! $node ]]; then
  end addon 'left out: no --node' 0
elif [[ $lacking ]]; then
  echo "the addon needs what is not there: $lacking"
  end addon 'not there' 0
else
  step addon 110 cmake --build "$build" --parallel "$(nproc)" --target addon && addon=1
fi

# ---------------------------------------------------------------- limits, tests, measurements: the shortest first

peers() { # NAME LIMIT GROUP...
  local name=$1 limit=$2
  shift 2
  step "$name" "$limit" python3 bench/device/torch_peers.py --out "$out/torch.jsonl" "$@"
}

# By default four layers of Grok-1 with its whole vocabulary: 21 GB of weights, with at least 152 MB of each int8
# matrix, three times the L2 of an H100. Operations timed in a graph cycle through the layers.
operations() { # NAME LIMIT OPTIONS...
  local name=$1 limit=$2
  shift 2
  step "$name" "$limit" "$build/bench_ops" --device cuda --shape grok1 --layers 4 --json "$out/operations.jsonl" "$@"
}

# The command line, with the addon that was built here. node-gyp-build searches build/Release in $GROK_RUN_PREBUILD.
if [[ $addon ]]; then
  mkdir -p "$out/addon"
  ln -sfn "$(realpath "$build")" "$out/addon/build"
  export GROK_RUN_PREBUILD=$out/addon
  step 'text, cpu and cuda' 60 bench/device/same-text.sh "$node"
fi

peers limits 40 limits
if [[ $quick ]]; then
  step "${tests[0]}" 30 "$build/${tests[0]}"
  operations decode 60 --probe 8 --tokens 1 --sequences 1,4,8,64 --context 128 --reps 10
  peers torch 60 linear experts sampling
else
  for test in "${tests[@]}"; do
    step "$test" 60 "$build/$test"
  done
  operations decode 90 --probe 8 --tokens 1 --sequences 1,2,4,8,16,64 --context 128,1024 --reps 20
  operations 'decode, long' 90 --tokens 1 --sequences 1,8 --context 8191 --reps 20
  for type in bf16 int8; do
    operations "decode, $type cache" 60 --layers 2 --tokens 1 --sequences 8 --context 8191 --reps 20 --kv-cache-type $type
  done
  operations 'decode, no overlap' 60 --tokens 1 --sequences 1,8 --context 128 --reps 20 --overlap no
  # The work of one of 8 GPUs that share Grok-1: 40 GB of weights, and 4.3 GB of cache for 8 long sequences.
  operations 'one of 8 shards' 90 --layers 64 --shards 8 --tokens 1 --sequences 1,8 --context 128,8191 --reps 20
  [[ ! $addon ]] || step 'grok-run bench' 60 bench/device/auto-bench.sh "$node" "$out/bench.json"
  operations prefill 60 --tokens 128,512 --context 1024 --reps 5
  peers torch 60 linear experts sampling norm_router
  peers 'torch, compiled' 120 compiled_experts int8_experts attention

  # ---------------------------------------------------------------- races and wild accesses

  for tool in memcheck racecheck synccheck initcheck; do
    for test in backend_operations_device backend_cuda_packed_table_device backend_sample_device; do
      # Under racecheck all sampling tests take minutes, so only the case with all filters runs.
      cases=()
      [[ $tool != racecheck || $test != *sample* ]] || cases=('with all filters at once')
      step "$tool $test" 60 compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/$test" "${cases[@]}"
    done
  done
fi

report --table || failed=1
printf '== %s after %d s: %s\n' "$([[ $failed ]] && echo "not all passed" || echo passed)" "$SECONDS" "$out"
[[ ! $failed ]]
