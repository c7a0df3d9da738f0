#!/usr/bin/env python3
"""Training crops a second of one core: hinge beside torchvision, in turn, for docs/benchmarks/loader.md.

PICTURES [--shards SHARDS] [--rounds N]: JPEGs to a random box, resized to SIZE x SIZE, mirrored half of the time, normalised floats.

    torchvision   ImageFolder, RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize, with Pillow; DataLoader(num_workers=0),
                  which spares it the copy between processes
    decode_jpeg   the same from torchvision.io.decode_jpeg's tensors, with antialias

Each round is a process that times itself in processor time, with one thread; medians and spread over the rounds.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def torchvision_round(kind, pictures, size, images):
    """Prints images per second of processor time."""
    import torch
    from torchvision import datasets, io, transforms
    torch.set_num_threads(1)
    if kind == "torchvision":
        steps = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        dataset = datasets.ImageFolder(pictures, transforms.Compose(steps))
    else:
        steps = [transforms.RandomResizedCrop(size, antialias=True), transforms.RandomHorizontalFlip(), transforms.ConvertImageDtype(torch.float32), transforms.Normalize(MEAN, STD)]
        dataset = datasets.ImageFolder(pictures, transforms.Compose(steps), loader=lambda path: io.decode_jpeg(io.read_file(path), mode=io.ImageReadMode.RGB))
    torch.manual_seed(0)
    chosen = torch.randperm(len(dataset)).repeat((images + len(dataset) - 1) // len(dataset))[:images]
    loader = torch.utils.data.DataLoader(torch.utils.data.Subset(dataset, chosen.tolist()), batch_size=50)
    start, seen = time.process_time(), 0
    for batch, _ in loader:
        seen += len(batch)
    print(json.dumps({kind: seen / (time.process_time() - start)}))


def run(command):
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
    return json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, env=environment).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("--shards")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--binary", default=ROOT / "build/cpu/loader_throughput")
    parser.add_argument("--python", default="/usr/bin/python3", help="one that has torchvision")
    parser.add_argument("--round-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round_of:
        return torchvision_round(options.round_of, str(options.pictures / "train"), options.size, options.images)
    ours = [options.binary, options.pictures, "--size", options.size, "--images", options.images] + (["--shards", options.shards] if options.shards else [])
    peer = [options.python, __file__, options.pictures, "--size", options.size, "--images", options.images, "--round-of"]
    rates, stages = {}, {}
    for number in range(options.rounds):
        result = run(ours + ["--epoch", number])
        for name, value in result.pop("stages").items():
            stages.setdefault(name, []).append(value)
        for kind in ("torchvision", "decode_jpeg"):
            result.update(run(peer + [kind]))
        for name, value in result.items():
            rates.setdefault(name, []).append(value)
        print(f"round {number + 1} of {options.rounds}: " + ", ".join(f"{name} {value:.0f}" for name, value in result.items()), file=sys.stderr)
    files = [p for p in (options.pictures / "train").rglob("*") if p.is_file()]
    print(f"{len(files)} pictures of {sum(p.stat().st_size for p in files) / len(files) / 1000:.1f} kB, to {options.size} x {options.size}; {options.rounds} rounds of {options.images}\n")
    print("| | images/s of one core, median | least, most | by torchvision's |\n| --- | --- | --- | --- |")
    base = statistics.median(rates["torchvision"])
    for name in [name for name in ("whole", "crop", "packed", "torchvision", "decode_jpeg") if name in rates]:
        values = rates[name]
        median = statistics.median(values)
        print(f"| {name} | {median:.0f} | {min(values):.0f}, {max(values):.0f} | {median / base:.2f} |")
    print("\n| stage of crop | ms a picture | share |\n| --- | --- | --- |")
    total = sum(statistics.median(values) for values in stages.values())
    for name in ("read", "decode", "resample", "normalise"):
        values = stages[name]
        print(f"| {name} | {statistics.median(values):.3f} | {statistics.median(values) / total:.0%} |")


if __name__ == "__main__":
    main()
