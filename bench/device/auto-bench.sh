#!/usr/bin/env bash
# Runs `grok-run bench` on two layers of Grok-1 with device `auto`, which must choose a GPU.
#
#   auto-bench.sh NODE FILE
set -euo pipefail
cd "$(dirname "$0")/../.."

"$1" dist/bin/grok-run.js bench --device auto --shape slice --json >"$2.part"
device=$(grep -o '"device": *"[^"]*"' "$2.part" | head -1)
echo "auto: $device"
[[ $device == *'"cuda '* ]] || { echo 'auto did not choose the GPU'; exit 1; }
mv "$2.part" "$2"
