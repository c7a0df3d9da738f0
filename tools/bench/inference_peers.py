#!/usr/bin/env python3
"""Inference by hinge, PyTorch and ONNX Runtime on this machine's CPU, in turns, on the same weights.

    tools/bench/inference_peers.py [--hinge PROGRAM] [--networks resnet20,resnet56,vgg16] [--batch 1,128] [--rounds 5] [--out FILE.json]

Each round runs every contestant once, one after the other, so that a noisy machine is fair to all. PyTorch is taken at the best of
its forms (channels-last or not; frozen and optimised TorchScript) and runs as a process of its own with all instruction sets;
ONNX Runtime runs the file that `hinge export` writes. The outputs of the two are compared before anything is timed: they
have the same weights only if the export is right. The machine is asked before and after each round how fast it multiplies
matrices: rounds with less than 0.8 of the best rate seen are left out, and how many were is said. A time is the median of a
round's calls; the table has the median round, and in brackets the fastest. Needs torch and onnxruntime in the Python that runs it.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx512")
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from compare_pytorch import build, write_tensors  # noqa: E402

SECONDS = 1.5  # of a contestant in a round
LARGEST_DIFFERENCE = 1e-3  # between PyTorch and ONNX Runtime, relative to the largest logit


def median_seconds(call):
    call()
    samples, start = [], time.perf_counter()
    while len(samples) < 5 or time.perf_counter() - start < SECONDS:
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    return statistics.median(samples)


def product_rate():
    """GFLOP/s of a product of matrices on all threads: low where something else uses the machine."""
    a = torch.rand(768, 768)
    return 2e-9 * 768**3 / min(timed(lambda: torch.mm(a, a)) for _ in range(20))


def timed(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def torch_forms(network, images):
    def plain(model, x):
        return lambda: model(x)

    last = images.contiguous(memory_format=torch.channels_last)
    forms = {"plain": plain(network, images)}
    forms["channels-last"] = plain(network.to(memory_format=torch.channels_last), last)
    for name, x in (("script", images), ("script, channels-last", last)):
        try:
            script = torch.jit.optimize_for_inference(torch.jit.trace(network, x))
            script(x)
            forms[name] = plain(script, x)
        except RuntimeError as error:
            print(f"PyTorch, {name}: {str(error).splitlines()[0]}", file=sys.stderr)
    return forms


def contestants(arguments, name, folder):
    """{contestant: batch -> seconds of a call}."""
    torch.manual_seed(0)
    network = build(torch, name).eval()
    for module in network.modules():  # statistics of a trained network are not the identity's
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    weights, onnx = folder / f"{name}.safetensors", folder / f"{name}.onnx"
    write_tensors(weights, {k: v for k, v in network.state_dict().items() if "num_batches_tracked" not in k})
    named = ["--weights", weights, "--model", name] + (["--shortcut", "A-stride"] if name in ("resnet20", "resnet56") else [])
    subprocess.run([arguments.hinge, "export", *named, "--out", onnx], check=True, stdout=subprocess.DEVNULL)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[2]

    def pictures(batch):
        return torch.rand(batch, 3, side, side) - 0.5

    images = pictures(4)
    ours, theirs = network(images).numpy(), session.run(None, {"input": images.numpy()})[0]
    difference = numpy.abs(ours - theirs).max() / numpy.abs(ours).max()
    if not difference <= LARGEST_DIFFERENCE:
        sys.exit(f"{name}: PyTorch and ONNX Runtime differ by {difference:.2e} of the largest logit, at most {LARGEST_DIFFERENCE} is allowed")

    def hinge(batch):
        out = folder / "time.json"
        subprocess.run([arguments.hinge, "time", *named, "--batch", str(batch), "--threads", str(arguments.threads), "--rounds", "31", "--json", out],
                       check=True, stdout=subprocess.DEVNULL)
        measured = json.loads(out.read_text())["networks"][0]["times"][0]
        return {measured["method"]: measured["milliseconds"] / 1e3}

    def onnx_runtime(batch):
        x = {"input": pictures(batch).numpy()}
        return {"": median_seconds(lambda: session.run(None, x))}

    def pytorch(batch):
        with torch.no_grad():
            return {form: median_seconds(call) for form, call in torch_forms(network, pictures(batch)).items()}

    return {"hinge": hinge, "ONNX Runtime": onnx_runtime, "PyTorch": pytorch}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hinge", default=str(ROOT / "build/cpu/hinge"))
    parser.add_argument("--networks", default="resnet20,resnet56,vgg16")
    parser.add_argument("--batch", default="1,128")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results, best_rate = [], 0.0
    print("| network | batch | hinge, ms (fastest) | ONNX Runtime | PyTorch | PyTorch / hinge | ONNX Runtime / hinge | forms | disturbed rounds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        for network in arguments.networks.split(","):
            runs = contestants(arguments, network, pathlib.Path(name))
            for batch in map(int, arguments.batch.split(",")):
                seconds = {who: [] for who in runs}
                forms = {}
                rounds = []
                for _ in range(arguments.rounds):
                    before, measured = product_rate(), {}
                    for who, run in runs.items():
                        forms[who], measured[who] = min(run(batch).items(), key=lambda item: item[1])
                    rounds.append((min(before, product_rate()), measured))
                best_rate = max(best_rate, *(rate for rate, _ in rounds))
                quiet = [measured for rate, measured in rounds if rate >= 0.8 * best_rate]
                disturbed = len(rounds) - len(quiet)
                for measured in quiet or [measured for _, measured in rounds]:
                    for who in runs:
                        seconds[who].append(measured[who])
                median = {who: statistics.median(values) for who, values in seconds.items()}
                shown = {who: f"{1e3 * median[who]:.2f} ({1e3 * min(seconds[who]):.2f})" for who in runs}
                print(f"| {network} | {batch} | {shown['hinge']} | {shown['ONNX Runtime']} | {shown['PyTorch']} | "
                      f"{median['PyTorch'] / median['hinge']:.2f} | {median['ONNX Runtime'] / median['hinge']:.2f} | "
                      f"hinge {forms['hinge']}, PyTorch {forms['PyTorch']} | {disturbed} of {len(rounds)}{'' if quiet else ' (used all the same)'} |", flush=True)
                results.append({"network": network, "batch": batch, "threads": arguments.threads, "seconds": seconds, "forms": forms, "disturbed_rounds": disturbed, "rates": [rate for rate, _ in rounds]})
    if arguments.out:
        pathlib.Path(arguments.out).write_text(json.dumps({"torch": torch.__version__, "onnxruntime": onnxruntime.__version__, "results": results}, indent=1) + "\n")


main()
