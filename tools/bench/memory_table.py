#!/usr/bin/python3
"""JSON lines of step_memory and torch_step_memory.py -> a table; exits with 1 if ours is larger than PyTorch's smallest."""
import json
import statistics
import sys

rows = {}
for line in sys.stdin:
    record = json.loads(line)
    rows.setdefault(record["program"], []).append(record)


def figures(records, key, less=None):
    values = sorted((r[key] - (r[less] if less else 0)) / 2**20 for r in records if key in r)
    return f"{values[0]:.0f} / {statistics.median(values):.0f} / {values[-1]:.0f}" if values else ""


print("MiB, minimum / median / maximum of", max(len(records) for records in rows.values()), "runs\n")
print("| program | interpreter | before the first step | peak | peak above the start | tensors |")
print("| --- | --- | --- | --- | --- | --- |")
for program, records in rows.items():
    print(f"| {program} | {figures(records, 'interpreter_bytes')} | {figures(records, 'baseline_bytes')} | "
          f"{figures(records, 'peak_bytes')} | {figures(records, 'peak_bytes', 'baseline_bytes')} | "
          f"{figures(records, 'tensors_peak_bytes')} |")
ours = max(r["peak_bytes"] for r in rows["hinge"])
theirs = min(r["peak_bytes"] for name, records in rows.items() if name != "hinge" for r in records)
if ours > theirs:
    sys.exit(f"hinge's largest peak, {ours / 2**20:.0f} MiB, is above PyTorch's smallest, {theirs / 2**20:.0f} MiB")
