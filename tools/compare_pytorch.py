#!/usr/bin/env python3
"""The same work by hinge and by PyTorch, side by side: proximal steps of whole networks, training steps, and steps of a search.

    tools/compare_pytorch.py [--device auto|cpu|cuda] [--programs FOLDER] [--out FILE.json] [--only TEXT] [--seconds S]
                             [--tiny] [--no-compile]

Both sides start from the same weights and the same images, and what they compute is compared before anything is timed: the
weights behind a proximal step, the first losses of training. Each precision is compared with its own kind. PyTorch runs each
work in several forms (a plain loop over layers, torch._foreach, torch.compile; eager and compiled, channels-last or not,
captured as a CUDA graph on a GPU); the ratio is the best of them over hinge. Times are medians of rounds in which nothing is
read back. --tiny takes small batches, to see on a CPU whether everything works; its times say nothing.

Needs torch in the Python that runs it, and hinge-workload in FOLDER (default: build/cuda or build/cpu, as the device is). Finished entries of
--out are kept, so that a run that was cut off goes on where it stopped. Exits with 1 where the two sides disagree.
"""
import argparse
import json
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools/bench"))
import torch_search  # noqa: E402

PROX_STEP = 0.05
RATE = 1e-3  # of training: so low that the first losses don't depend on how sums are rounded
# First losses may differ by this share of the very first: fp32 adds in another order, tf32 rounds operands to 10 bits, bf16 to 7.
LOSS_BOUND = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}


# --- networks, under the names hinge gives their parameters ---

def build(torch, name):
    nn = torch.nn
    functional = nn.functional

    def conv(a, b, k, stride=1, bias=False):
        return nn.Conv2d(a, b, k, stride, k // 2, bias=bias)

    class CifarBlock(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.conv1, self.bn1 = conv(a, b, 3, stride), nn.BatchNorm2d(b)
            self.conv2, self.bn2 = conv(b, b, 3), nn.BatchNorm2d(b)
            self.pad = (b - a) // 2 if stride != 1 or a != b else None

        def forward(self, x):
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            if self.pad is not None:  # option A: every second pixel, zero channels on both sides
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
            return functional.relu(y + x)

    class CifarResNet(nn.Module):
        def __init__(self, depth):
            super().__init__()
            self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
            before = 16
            for stage in (1, 2, 3):
                width, blocks = 8 << stage, []
                for i in range((depth - 2) // 6):
                    blocks.append(CifarBlock(before, width, 2 if stage > 1 and i == 0 else 1))
                    before = width
                setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
            return self.linear(x.mean((2, 3)))

    class Bottleneck(nn.Module):
        def __init__(self, a, planes, stride):
            super().__init__()
            self.conv1, self.bn1 = conv(a, planes, 1), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
            self.conv3, self.bn3 = conv(planes, 4 * planes, 1), nn.BatchNorm2d(4 * planes)
            self.downsample = None
            if stride != 1 or a != 4 * planes:
                self.downsample = nn.Sequential(conv(a, 4 * planes, 1, stride), nn.BatchNorm2d(4 * planes))

        def forward(self, x):
            y = functional.relu(self.bn1(self.conv1(x)))
            y = self.bn3(self.conv3(functional.relu(self.bn2(self.conv2(y)))))
            return functional.relu(y + (x if self.downsample is None else self.downsample(x)))

    class ResNet50(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            before = 64
            for stage, count in enumerate((3, 4, 6, 3), 1):
                planes, blocks = 32 << stage, []
                for i in range(count):
                    blocks.append(Bottleneck(before, planes, 2 if stage > 1 and i == 0 else 1))
                    before = 4 * planes
                setattr(self, f"layer{stage}", nn.Sequential(*blocks))
            self.fc = nn.Linear(2048, 1000)

        def forward(self, x):
            x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return self.fc(x.mean((2, 3)))

    class Vgg16(nn.Module):
        def __init__(self):
            super().__init__()
            layers, before = [], 3
            for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
                if width == 0:
                    layers.append(nn.MaxPool2d(2))
                else:
                    layers += [conv(before, width, 3, bias=True), nn.BatchNorm2d(width), nn.ReLU()]
                    before = width
            self.features = nn.Sequential(*layers)
            self.classifier = nn.Sequential(nn.Linear(512, 512), nn.Linear(512, 512), nn.Linear(512, 10))

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    torch.manual_seed(1)
    return {"resnet20": lambda: CifarResNet(20), "resnet56": lambda: CifarResNet(56), "resnet50": ResNet50, "vgg16": Vgg16}[name]()


def filters_of(torch, network):
    return [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d)]


# --- safetensors, as far as it is needed ---

def write_tensors(path, tensors):
    """{name: contiguous tensor on the CPU} as a safetensors file."""
    kinds = {"torch.float32": "F32", "torch.int32": "I32"}
    header, offset, data = {}, 0, []
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        raw = tensor.numpy().tobytes()
        header[name] = {"dtype": kinds[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def read_tensors(torch, path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    result = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        result[name] = torch.frombuffer(bytearray(raw[8 + size + begin:8 + size + end]), dtype=torch.float32).reshape(entry["shape"])
    return result


# --- timing ---

class Clock:
    def __init__(self, torch, device, seconds):
        self.torch, self.cuda, self.seconds = torch, device == "cuda", seconds

    def sync(self):
        if self.cuda:
            self.torch.cuda.synchronize()

    def time(self, call):
        """Seconds of one call: the median of seven rounds behind three calls that aren't timed."""
        for _ in range(3):
            call()
        self.sync()
        start = time.perf_counter()
        call()
        self.sync()
        count = max(1, min(2000, int(self.seconds / 7 / max(time.perf_counter() - start, 1e-6))))
        rounds = []
        for _ in range(7):
            self.sync()
            start = time.perf_counter()
            for _ in range(count):
                call()
            self.sync()
            rounds.append((time.perf_counter() - start) / count)
        return statistics.median(rounds)

    def graph(self, call):
        """`call` captured as a CUDA graph."""
        stream = self.torch.cuda.Stream()
        stream.wait_stream(self.torch.cuda.current_stream())
        with self.torch.cuda.stream(stream):
            for _ in range(3):
                call()
        self.torch.cuda.current_stream().wait_stream(stream)
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            call()
        return graph.replay


def attempt(results, form, work):
    """Runs one form of PyTorch's side; one that this version or machine can't do is a note, not an end."""
    try:
        results[form] = work()
    except Exception as error:  # noqa: BLE001: torch.compile fails in many ways
        results[form] = None
        print(f"    {form}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", file=sys.stderr)


def hinge(arguments, command, *more):
    program = arguments.programs / "hinge-workload"
    device = "cuda:0" if arguments.device == "cuda" else "cpu"
    run = subprocess.run([str(program), command, "--device", device, "--seconds", str(arguments.seconds), *more], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"compare_pytorch: {program} {command} failed:\n{run.stderr}")
    return json.loads(run.stdout)


# --- (a) the proximal step ---

def prox_forms(torch, weights, step):
    def loop():
        for w in weights:
            norms = w.flatten(1).norm(dim=1)
            w.mul_((1 - step / norms).clamp_min(0).view(-1, 1, 1, 1))

    def foreach():
        squares = torch._foreach_mul(weights, weights)
        norms = torch._foreach_sqrt([s.flatten(1).sum(1) for s in squares])
        shares = torch._foreach_reciprocal(norms) if hasattr(torch, "_foreach_reciprocal") else [1 / n for n in norms]
        torch._foreach_mul_(shares, -step)
        torch._foreach_add_(shares, 1)
        shares = [s.clamp_min(0).view(-1, 1, 1, 1) for s in shares]
        torch._foreach_mul_(weights, shares)

    return {"loop": loop, "foreach": foreach}


def compare_prox(torch, arguments, model, folder, clock):
    network = build(torch, model)
    state = {name: value.float() for name, value in network.state_dict().items() if "num_batches" not in name}
    source, target = folder / "weights.safetensors", folder / "after.safetensors"
    write_tensors(source, state)
    ours = hinge(arguments, "prox", *named(source, model), "--step", str(PROX_STEP), "--out", str(target))

    weights = [w.detach().clone().to(arguments.device) for w in filters_of(torch, network)]
    with torch.no_grad():
        for form, call in prox_forms(torch, weights, PROX_STEP).items():
            for w, start in zip(weights, filters_of(torch, network)):
                w.copy_(start)
            call()
            after = read_tensors(torch, target)
            mine = [after[n] for n in state if state[n].dim() == 4]
            # after.safetensors holds hinge's memory layout, [K, R, S, C].
            worst = max(float((a - b.cpu().permute(0, 2, 3, 1)).abs().max()) for a, b in zip(mine, weights))
            if not worst <= 1e-6:
                return {"hinge": None, "hinge_how": "", "pytorch": {}, "mismatch": f"hinge and PyTorch's {form} differ by {worst}"}
        theirs = {}
        forms = prox_forms(torch, weights, 1e-7)  # so small that the weights stay while it is timed
        for form, call in forms.items():
            attempt(theirs, form, lambda: clock.time(call))
            if clock.cuda:
                attempt(theirs, form + ", CUDA graph", lambda: clock.time(clock.graph(call)))
        if arguments.compile:
            attempt(theirs, "torch.compile", lambda: clock.time(torch.compile(forms["loop"])))
            if clock.cuda:
                attempt(theirs, "torch.compile, CUDA graph", lambda: clock.time(torch.compile(forms["loop"], mode="reduce-overhead")))
    return {"hinge": ours["seconds"], "hinge_how": ours["how"], "pytorch": theirs, "matrices": ours["matrices"]}


# --- (b) training steps ---

def named(source, model):
    """Options that tell hinge which network the weights are of."""
    return ["--weights", str(source), "--model", model] + (["--shortcut", "A-stride"] if model in ("resnet20", "resnet56") else [])


def prepare(torch, model, batch, size, folder):
    """A batch of noise and a network's first weights, here and in files: images, labels, weights, the two files."""
    images, labels = torch.rand(batch, 3, size, size), torch.randint(0, 1000 if model == "resnet50" else 10, (batch,))
    state = {name: value.clone() for name, value in build(torch, model).state_dict().items()}
    source, data = folder / "weights.safetensors", folder / "batch.safetensors"
    write_tensors(source, {name: value.float() for name, value in state.items() if "num_batches" not in name})
    write_tensors(data, {"images": images.permute(0, 2, 3, 1), "labels": labels.int()})
    return images, labels, state, source, data


def check_losses(result, ours, theirs, disturbed, bound):
    """Notes a mismatch, in units of the first loss: a later one may be close to 0. BatchNorm over a handful of values multiplies
    rounding: what PyTorch itself makes of images that differ in their last digit (`disturbed`) tells how much. ResNet-50 on two
    64x64 pictures: 1 % in the second loss."""
    for mine, other, third in zip(ours, theirs, disturbed):
        if not abs(mine - other) <= bound * abs(theirs[0]) + 4 * abs(other - third):
            result["mismatch"] = f"hinge's first losses are {ours}, PyTorch's {theirs}"
    result["losses"] = {"hinge": ours, "pytorch": theirs}


def compare_step(torch, arguments, model, batch, size, precision, folder, clock):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    images, labels, state, source, data = prepare(torch, model, batch, size, folder)
    ours = hinge(arguments, "step", *named(source, model), "--batch", str(data), "--rate", str(RATE), "--precision", precision)
    result = {"hinge": ours["seconds"], "hinge_how": ours["how"], "pytorch": {}}

    def trainer(channels_last, compiled, images=images):
        network = build(torch, model)
        network.load_state_dict(state)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network = network.to(arguments.device, memory_format=layout).train()
        x, t = images.to(arguments.device).contiguous(memory_format=layout), labels.to(arguments.device)
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)
        forward = torch.compile(network, mode="reduce-overhead" if clock.cuda else "default") if compiled else network

        def step():
            optimizer.zero_grad(set_to_none=not clock.cuda or compiled)
            with torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=precision == "bf16"):
                loss = torch.nn.functional.cross_entropy(forward(x), t)
            loss.backward()
            optimizer.step()
            return loss
        return step

    step = trainer(False, False)
    theirs = [float(step()) for _ in range(3)]
    step = trainer(False, False, images * (1 + 1e-7 * torch.randn(images.shape)))
    disturbed = [float(step()) for _ in range(3)]
    check_losses(result, ours["losses"], theirs, disturbed, LOSS_BOUND[precision])
    for channels_last in (False, True):
        layout = "channels-last" if channels_last else "channels-first"
        attempt(result["pytorch"], f"eager, {layout}", lambda: clock.time(trainer(channels_last, False)))
        if clock.cuda:
            attempt(result["pytorch"], f"CUDA graph, {layout}", lambda: clock.time(clock.graph(trainer(channels_last, False))))
        if arguments.compile:
            attempt(result["pytorch"], f"torch.compile, {layout}", lambda: clock.time(trainer(channels_last, True)))
    return result


# --- (c) steps of a search ---

def compare_search(torch, arguments, model, batch, size, folder, clock):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    images, labels, state, source, data = prepare(torch, model, batch, size, folder)
    both = model == "vgg16"
    ours = hinge(arguments, "search", *named(source, model), "--batch", str(data), "--rate", str(RATE), "--mode", "both" if both else "decompose")
    result = {"hinge": ours["seconds"], "hinge_how": ours["how"], "hinge_parts": ours["parts"], "pytorch": {}}

    def trainer(channels_last, foreach, images=images):
        network = build(torch, model)
        network.load_state_dict(state)
        attached = torch_search.attach(torch, network)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network = network.to(arguments.device, memory_format=layout).train()
        x, t = images.to(arguments.device).contiguous(memory_format=layout), labels.to(arguments.device)
        search = torch_search.SearchTrainer(torch, network, attached, both, RATE, foreach)
        return lambda: search.step(x, t)

    step = trainer(False, False)
    theirs = [float(step()) for _ in range(3)]
    step = trainer(False, False, images * (1 + 1e-7 * torch.randn(images.shape)))
    check_losses(result, ours["losses"], theirs, [float(step()) for _ in range(3)], LOSS_BOUND["fp32"])
    for channels_last in (False, True):
        for foreach in (False, True):
            form = f"{'foreach' if foreach else 'loop'}, {'channels-last' if channels_last else 'channels-first'}"
            attempt(result["pytorch"], form, lambda: clock.time(trainer(channels_last, foreach)))
    return result


def milliseconds(seconds):
    return "-" if seconds is None else f"{seconds * 1e3:.4f}"


def table(results):
    """Markdown, the ratio last: PyTorch's best time over hinge's."""
    lines = ["| work | hinge, ms | PyTorch's best, ms | its form | PyTorch's others, ms | PyTorch / hinge |", "| --- | --- | --- | --- | --- | --- |"]
    for work, entry in results.items():
        times = {form: s for form, s in entry["pytorch"].items() if s is not None}
        best = min(times, key=times.get) if times else None
        others = ", ".join(f"{form} {milliseconds(s)}" for form, s in times.items() if form != best)
        ratio = f"{times[best] / entry['hinge']:.2f}" if best and entry["hinge"] else "-"
        lines.append(f"| {work} | {milliseconds(entry['hinge'])} | {milliseconds(times.get(best))} | {best or '-'} | {others} | {ratio} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="hinge and PyTorch at the same work")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--programs", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--only", default="", help="works with this text in their name")
    parser.add_argument("--seconds", type=float, default=2.0, help="to measure each form for, about")
    parser.add_argument("--tiny", action="store_true", help="small batches: whether it works, not how fast")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out (it takes minutes)")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit(f"compare_pytorch: {sys.executable} has no torch")
    if arguments.device == "auto":
        arguments.device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("compare_pytorch: --device cuda: PyTorch sees no GPU here")
    arguments.compile = arguments.compile and hasattr(torch, "compile")
    if arguments.programs is None:
        arguments.programs = ROOT / "build" / arguments.device
    if not (arguments.programs / "hinge-workload").exists():
        sys.exit(f"compare_pytorch: {arguments.programs} has no hinge-workload; build the target of that name")

    clock = Clock(torch, arguments.device, arguments.seconds)
    works = {f"prox of {m}": ("prox", m) for m in ("resnet56", "vgg16", "resnet50")}
    precisions = ["fp32", "tf32", "bf16"] if clock.cuda else ["fp32"]
    shapes = [("resnet20", 128, 32), ("resnet56", 128, 32), ("vgg16", 128, 32), ("resnet50", 128, 224)]
    if arguments.tiny:
        shapes = [("resnet20", 4, 32), ("resnet56", 2, 32), ("vgg16", 4, 32), ("resnet50", 2, 64)]
    works.update({f"step of {m}, batch {b}, {s}x{s}, {p}": ("step", m, b, s, p) for m, b, s in shapes for p in precisions})
    works.update({f"search step of {m}, batch {b}, {s}x{s}": ("search", m, b, s) for m, b, s in shapes if m != "resnet50"})

    name = torch.cuda.get_device_name() if clock.cuda else f"CPU, {torch.get_num_threads()} threads"
    document = {"device": name, "torch": torch.__version__, "tiny": arguments.tiny, "results": {}}
    if arguments.out and arguments.out.exists():
        before = json.loads(arguments.out.read_text())
        if all(before.get(key) == document[key] for key in ("device", "torch", "tiny")):
            document["results"] = before["results"]
    for work, what in works.items():
        known = document["results"].get(work, {"mismatch": ""})
        if arguments.only not in work or ("mismatch" not in known and known["hinge"] is not None):
            continue
        print(work, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            compare = {"prox": compare_prox, "step": compare_step, "search": compare_search}[what[0]]
            document["results"][work] = compare(torch, arguments, *what[1:], pathlib.Path(folder), clock)
        if arguments.out:  # after every work: what was measured survives
            partial = arguments.out.with_suffix(".partial")
            partial.write_text(json.dumps(document, indent=1) + "\n")
            partial.replace(arguments.out)
    print(f"{name}, PyTorch {torch.__version__}\n\n{table(document['results'])}")
    wrong = {work: entry["mismatch"] for work, entry in document["results"].items() if "mismatch" in entry}
    for work, what in wrong.items():
        print(f"compare_pytorch: {work}: {what}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
