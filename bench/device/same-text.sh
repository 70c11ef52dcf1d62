#!/usr/bin/env bash
# Compares greedy continuations of the embedded model on the GPU and on the CPU.
#
#   same-text.sh NODE
set -euo pipefail
cd "$(dirname "$0")/../.."

different=
for prompt in 'Once upon a time' 'The old man looked at the sea and'; do
  on_cpu=$("$1" dist/bin/grok-run.js --device cpu --temperature 0 --max-tokens 64 -- "$prompt")
  on_cuda=$("$1" dist/bin/grok-run.js --device cuda --temperature 0 --max-tokens 64 -- "$prompt")
  printf '%s\n  cpu:  %s\n' "$prompt" "$on_cpu"
  [[ $on_cpu == "$on_cuda" ]] && continue
  printf '  cuda: %s\n' "$on_cuda"
  different=1
done
[[ ! $different ]] || { echo 'the two differ'; exit 1; }
