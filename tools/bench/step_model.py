#!/usr/bin/env python3
"""Predicts the throughput of training on many ranks from constants that were measured on few (docs/scale.md has the model).

    t(n) = max(c + max(0, s(n) - h c) + y(n) + w(n), i)
    s(n) = 2 (n - 1) / n x bytes / bandwidth + buckets x 2 (a + (n - 1) m)   the sum of the gradients: two exchanges a bucket, in which
                                                                             every rank sends its part to every other
    y(n) = syncs x 2 ceil(log2 n) a                                          small sums that everybody waits for
    w(n) = d sqrt(2 ln n)                                            the slowest of n, whose steps vary by d (standard deviation)
    i    = images of a rank / images per second that its loader makes

c is a rank's step on its own images, h the share of it that a sum goes on beside.
"""
import argparse
import json
import math


def seconds(n, given):
    """The parts of a step on `n` ranks, in seconds."""
    rounds = 2 * math.ceil(math.log2(n))
    exchange = given.latency_us + (n - 1) * given.message_us
    summed = 2 * (n - 1) / n * given.bytes / (given.gbit * 1e9 / 8) + given.buckets * 2 * exchange * 1e-6
    waited = max(0.0, summed - given.hidden * given.step_ms * 1e-3) + given.syncs * rounds * given.latency_us * 1e-6 + given.jitter_ms * 1e-3 * math.sqrt(2 * math.log(n))
    computed = given.step_ms * 1e-3 + (waited if n > 1 else 0.0)
    read = given.images / given.loader if given.loader > 0 else 0.0
    return {"ranks": n, "compute": given.step_ms * 1e-3, "sum": summed if n > 1 else 0.0, "exposed": computed - given.step_ms * 1e-3, "input": read, "step": max(computed, read)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, required=True, help="images of one rank in a step")
    parser.add_argument("--step-ms", type=float, required=True, help="measured: a step of one rank on these images")
    parser.add_argument("--bytes", type=float, required=True, help="bytes of all gradients: 4 times the parameters")
    parser.add_argument("--gbit", type=float, required=True, help="measured: Gbit/s a rank sends while it receives, over the slowest link on its way")
    parser.add_argument("--latency-us", type=float, required=True, help="measured: half of the time of the smallest sum of two ranks")
    parser.add_argument("--message-us", type=float, default=1.0, help="what one message costs the processor that sends it")
    parser.add_argument("--buckets", type=int, default=1, help="sums of gradients in a step: one for each 256 KiB of them on the CPU")
    parser.add_argument("--hidden", type=float, default=0.72, help="share of the step that a sum goes on beside (0.72: measured, docs/scale.md)")
    parser.add_argument("--syncs", type=int, default=1, help="sums a step waits for: 1, and 2 for each BatchNorm with --sync-batch-norm")
    parser.add_argument("--jitter-ms", type=float, default=0.0, help="measured: standard deviation of a rank's step")
    parser.add_argument("--loader", type=float, default=0.0, help="measured: images/s that a rank's loader makes (0: as many as are wanted)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 8, 64, 512])
    parser.add_argument("--json", help="write the rows to this file too")
    given = parser.parse_args()
    for name in ("images", "step_ms", "bytes", "gbit", "latency_us"):
        if getattr(given, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} is {getattr(given, name)}, expected a number above 0")
    if not 0 <= given.hidden <= 1:
        parser.error(f"--hidden is {given.hidden}, expected a share from 0 to 1")
    if min(given.ranks) < 1:
        parser.error(f"--ranks has {min(given.ranks)}, expected 1 or more")

    rows = [seconds(n, given) for n in given.ranks]
    print("| ranks | step (ms) | sum (ms) | of it waited for | images/s | of n times one | bound by |\n| ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    alone = given.images / max(given.step_ms * 1e-3, seconds(1, given)["input"])
    for row in rows:
        rate = row["ranks"] * given.images / row["step"]
        row["images_per_second"] = rate
        bound = "input" if row["step"] > row["compute"] + row["exposed"] else "the sum" if row["exposed"] > row["compute"] else "compute"
        print(f"| {row['ranks']} | {row['step'] * 1e3:.1f} | {row['sum'] * 1e3:.2f} | {row['exposed'] * 1e3:.2f} | {rate:,.0f} | {100 * rate / (row['ranks'] * alone):.1f} % | {bound} |")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as out:
            json.dump({"given": {k: v for k, v in vars(given).items() if k != "json"}, "rows": rows}, out, indent=1)


if __name__ == "__main__":
    main()
