"""Writes the results of bench/device.sh as results.json and, with --table, as a table beside the targets.

    report.py FOLDER [--table]

Reads machine.txt, steps.jsonl, operations.jsonl (bench_ops), torch.jsonl (torch_peers.py) and bench.json (grok-run bench) of
FOLDER; each may be missing.
"""

import json
import sys
from pathlib import Path

# Required speed of decoding, as a share of the copy bandwidth measured in the same run. Operation, sequences, positions
# before the step, share; None: reported only.
SHARES = (
    *(("experts", sequences, 128, share) for sequences, share in
      ((1, 0.92), (2, 0.92), (4, 0.92), (8, 0.90), (16, 0.88), (64, 0.85))),
    ("qkv", 1, 128, 0.80),
    ("attention_out", 1, 128, 0.80),
    ("logits", 1, 128, 0.93),
    ("attention", 8, 8191, 0.80),
    ("step", 1, 128, 0.90),
    ("operations", 1, 128, None),
    ("step", 8, 128, 0.90),
    ("step", 64, 128, 0.85),
)
# The same for attention with a cache of another type.
CACHES = ("bf16", "int8")
# Operations whose total time must stay below this number of microseconds, at one sequence.
TIMES = ((("add_norm", "norm", "route"), 6), (("sample",), 60))


def lines_of(path):
    """The complete lines: the last line of a program that was stopped can be incomplete."""
    lines = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            pass
    return lines


def machine_of(path):
    pairs = (line.partition("=") for line in path.read_text().splitlines()) if path.exists() else ()
    return {name: value for name, _, value in pairs}


def report_of(path):
    """A whole file of JSON, or None."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def gather(folder):
    return {
        "machine": machine_of(folder / "machine.txt"),
        "steps": lines_of(folder / "steps.jsonl"),
        "operations": lines_of(folder / "operations.jsonl"),
        "torch": lines_of(folder / "torch.jsonl"),
        "bench": report_of(folder / "bench.json"),
    }


def limit_of(results, name):
    """GB/s, the maximum of torch, bench_ops and grok-run bench. None if none of them measured it."""
    by_torch = [line["gb_per_s"] for line in results["torch"] if line["group"] == "limits" and line["name"] == name]
    by_us = [line["limits"][name] for line in results["operations"] if "limits" in line]
    by_bench = [run["limits"][name]["median"] for run in runs_of(results)]
    return max(by_torch + by_us + by_bench, default=None)


def runs_of(results):
    """The runs of grok-run bench on the device."""
    return results["bench"]["runs"] if results["bench"] else ()


def from_host(times, operation):
    """Microseconds of one call, minus the cost of waiting from the host: the median. For experts the mean, because their
    bytes are a mean: tokens share more experts in one layer than in another."""
    if operation not in times:
        return None
    took = times[operation].get("mean" if operation == "experts" else "median", times[operation]["median"])
    return max(took - times.get("wait", {"median": 0})["median"], 0.01)


def in_graph(times, operation):
    """Microseconds of one call within a graph, like in a step. None for operations outside of it, and in older results."""
    of_graph = times.get(operation, {}).get("in_graph")
    return max(of_graph["median"], 0.01) if of_graph else None


def microseconds(times, operation):
    return in_graph(times, operation) or from_host(times, operation)


def added_up(times):
    """A step as the sum of its operations within a graph and of sampling. It should equal the time of a whole step."""
    parts = [name for name in times if in_graph(times, name)]
    if not parts or not {"embed", "sample", "step"} <= times.keys():
        return {}
    steps = times["embed"]["calls"]
    median = from_host(times, "sample") + sum(in_graph(times, name) * times[name]["calls"] / steps for name in parts)
    return {"operations": {"median": median, "bytes": times["step"]["bytes"]}}


def steps_timed(results):
    return [line for line in results["operations"] if "operations" in line]


def measured(results, sequences, context, cache="f32"):
    """The operations of a decode step of the unshared network, or nothing."""
    for line in steps_timed(results):
        if (line["sequences"], line["tokens"], line["context"]) == (sequences, 1, context) and line.get("overlap", True) \
                and line.get("shards", 1) == 1 and line.get("cache", "f32") == cache:
            return line["operations"]
    return {}


def fastest_peer(results, operation, sequences, positions):
    """Microseconds of torch's fastest operation for the same work, and its name."""
    found = []
    for line in results["torch"]:
        count = line.get("tokens", line.get("sequences", line.get("rows")))
        if line.get("operation") == operation and count == sequences and line.get("positions", positions) == positions:
            found.append((line["us"], line.get("name", line["group"])))
    return min(found, default=None)


def total(times):
    times = list(times)
    return None if None in times else sum(times)


def rows_of(results):
    copy, read = limit_of(results, "copy"), limit_of(results, "read")
    shares = [(*share, "f32") for share in SHARES] + [("attention", 8, 8191, None, cache) for cache in CACHES]
    for operation, sequences, context, target, cache in shares:
        times = measured(results, sequences, context, cache)
        if operation == "operations":
            times = added_up(times)
        took = microseconds(times, operation)
        if not took and not target:
            continue
        rate = times[operation]["bytes"] / took * 1e-3 if took else None
        share = rate / copy if rate and copy else None
        peer = fastest_peer(results, operation, sequences, context + 1) if cache == "f32" else None
        yield {
            "what": f"{operation}, {sequences} x 1 after {context}" + ("" if cache == "f32" else f", {cache}"),
            "us": took, "from_host": from_host(times, operation) if in_graph(times, operation) else None,
            "gb_per_s": rate, "of_copy": share, "of_read": rate / read if rate and read else None,
            "target": f"{target:.2f} of copy" if target else None,
            "reached": share >= target if share and target else None, "torch": peer,
        }
    times = measured(results, 1, 128)
    for operations, target in TIMES:
        took = total(microseconds(times, operation) for operation in operations)
        is_in_graph = all(in_graph(times, operation) for operation in operations)
        yield {
            "what": " + ".join(operations) + ", 1 token", "us": took,
            "from_host": total(from_host(times, operation) for operation in operations) if is_in_graph else None,
            "gb_per_s": None, "of_copy": None, "of_read": None,
            "target": f"{target} us", "reached": took <= target if took else None,
            "torch": fastest_peer(results, "sample" if operations == ("sample",) else "norm_router", 1, None),
        }


def steps_of_shards(results):
    """Whole steps of one of several GPUs that share Grok-1."""
    copy, read = limit_of(results, "copy"), limit_of(results, "read")
    for line in steps_timed(results):
        if line.get("shards", 1) == 1 or "step" not in line["operations"]:
            continue
        step = line["operations"]["step"]
        rate = step["bytes"] / step["median"] * 1e-3
        yield {
            "what": f"one of {line['shards']} shards, {line['layers']} layers, "
                    f"{line['sequences']} x {line['tokens']} after {line['context']}",
            "ms": step["median"] * 1e-3, "gb": step["bytes"] * 1e-9, "gb_per_s": rate,
            "of_copy": rate / copy if copy else None, "of_read": rate / read if read else None,
        }


def table_of(results, rows, shards):
    def number(value, digits):
        return "-" if value is None else f"{value:.{digits}f}"

    machine = results["machine"]
    yield f"{machine.get('name') or 'no device'}, driver {machine.get('driver_version') or '-'}, {machine.get('date', '')}"
    for line in results["torch"]:
        if line["group"] == "limits":
            rate = f"{line['macs'] / line['us'] * 2e-6:.0f} TFLOP/s" if "macs" in line else f"{line['gb_per_s']:.0f} GB/s"
            yield f"{line['name']}: {line['us']:.2f} us" + ("" if line["name"] == "launch" else f", {rate}")
    copy, read = limit_of(results, "copy"), limit_of(results, "read")
    yield f"shares are of the most that anyone measured: copy {number(copy, 0)} GB/s, read {number(read, 0)} GB/s"
    yield "us: within a graph, as a step is one, where that was timed; from host: launched by itself, and waited for"
    yield f"{'':36}{'us':>9}{'from host':>10}{'GB/s':>8}{'of copy':>9}{'of read':>9}{'target':>15}{'':>9}  torch us"
    for row in rows:
        reached = {None: "-", True: "reached", False: "missed"}[row["reached"]]
        torch = f"{row['torch'][0]:.1f} {row['torch'][1]}" if row["torch"] else "-"
        yield (f"{row['what']:36}{number(row['us'], 1):>9}{number(row['from_host'], 1):>10}{number(row['gb_per_s'], 0):>8}"
               f"{number(row['of_copy'], 2):>9}{number(row['of_read'], 2):>9}{row['target'] or '-':>15}{reached:>9}  {torch}")
    if shards:
        yield f"{'':45}{'ms':>9}{'GB':>8}{'GB/s':>8}{'of copy':>9}{'of read':>9}"
    for row in shards:
        yield (f"{row['what']:45}{row['ms']:>9.3f}{row['gb']:>8.2f}{row['gb_per_s']:>8.0f}{number(row['of_copy'], 2):>9}"
               f"{number(row['of_read'], 2):>9}")
    for run in runs_of(results):
        decode, limits = run["decode"], run["limits"]
        yield (f"grok-run bench: {limits['read']['median']:.0f} GB/s of reading, {limits['copy']['median']:.0f} of copying; "
               f"{results['bench']['model']['name']} decodes {decode['tokensPerSecond']['median']:.1f} tokens/s, "
               f"{decode['gigabytesPerSecond']:.0f} GB/s, {decode['shareOfBandwidth']:.2f} of reading")
    for step in results["steps"]:
        if step["status"] != "passed":
            yield f"{step['step']}: {step['status']} after {step['seconds']} s"


def main(folder, *options):
    results = gather(Path(folder))
    rows, shards = list(rows_of(results)), list(steps_of_shards(results))
    whole = json.dumps({**results, "targets": rows, "shards": shards}, indent=1)
    partial = Path(folder) / "results.json.part"  # an interruption while it is written leaves the previous file
    partial.write_text(whole + "\n")
    partial.replace(Path(folder) / "results.json")
    if "--table" in options:
        print("\n".join(table_of(results, rows, shards)))


if __name__ == "__main__":
    main(*sys.argv[1:])
