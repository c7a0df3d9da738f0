#!/usr/bin/env python3
"""Writes the seeds under corpus/: one or two small whole inputs for each target, from which mutations start.

    /usr/bin/python3 tests/fuzz/make_seeds.py      needs Pillow, for JPEG

Files called found-* are what broke a target once; those made here were found by reading.
"""
import gzip
import io
import json
import pathlib
import struct
import zlib

from PIL import Image

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def seed(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(content if isinstance(content, bytes) else content.encode())


def found(target, name, content):
    (CORPUS / target / f"found-{name}").write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(tensors, metadata=None):
    """tensors: name -> (dtype, shape, bytes)."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in sorted(tensors.items()):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


GRAPH = {
    "format": "hinge-graph-1", "architecture": "tiny", "input": [4, 4, 1], "output": "fc",
    "nodes": [
        {"op": "conv2d", "name": "conv", "inputs": ["input"], "in": 1, "out": 2, "kernel": [3, 3], "stride": 1, "padding": 1, "groups": 1, "bias": False},
        {"op": "batch_norm", "name": "bn", "inputs": ["conv"], "channels": 2, "epsilon": 1e-5, "momentum": 0.1},
        {"op": "relu", "name": "relu", "inputs": ["bn"], "functional": True, "ceiling": 6.0},
        {"op": "add", "name": "add", "inputs": ["relu", "conv"]},
        {"op": "global_average_pool", "name": "pool", "inputs": ["add"]},
        {"op": "linear", "name": "fc", "inputs": ["pool"], "in": 2, "out": 2, "bias": True}]}
EVERY_OP = {
    "format": "hinge-graph-1", "architecture": "all", "input": [8, 8, 3], "output": "fc", "more_outputs": ["drop"],
    "nodes": [
        {"op": "conv2d", "name": "a", "inputs": ["input"], "in": 3, "out": 4, "kernel": [3, 1], "stride": 1, "padding": 1, "groups": 1, "bias": True},
        {"op": "conv2d", "name": "b", "inputs": ["a"], "in": 4, "out": 4, "kernel": [1, 1], "stride": 1, "padding": 0, "groups": 2, "bias": False},
        {"op": "conv2d", "name": "c", "inputs": ["b"], "weights_of": "b", "in": 4, "out": 4, "kernel": [1, 1], "stride": 1, "padding": 0, "groups": 2, "bias": False},
        {"op": "concat", "name": "d", "inputs": ["a", "c"]},
        {"op": "max_pool", "name": "e", "inputs": ["d"], "window": 2, "stride": 2, "padding": 0},
        {"op": "average_pool", "name": "f", "inputs": ["e"], "window": 2, "stride": 1, "padding": 1},
        {"op": "shortcut_a", "name": "g", "inputs": ["f"], "before": 1, "after": 2, "pool": False},
        {"op": "dropout", "name": "drop", "inputs": ["g"], "rate": 0.5},
        {"op": "flatten", "name": "h", "inputs": ["drop"]},
        {"op": "linear", "name": "fc", "inputs": ["h"], "in": 99, "out": 2, "bias": False}]}


def model():
    weights = {"conv.weight": ("F32", [2, 1, 3, 3], floats(*range(18))), "fc.weight": ("F32", [2, 2], floats(1, 2, 3, 4)), "fc.bias": ("F32", [2], floats(0, 1))}
    for name in ("weight", "bias", "running_mean", "running_var"):
        weights["bn." + name] = ("F32", [2], floats(1, 1))
    return safetensors(weights, {"format": "pt", "architecture": "tiny", "hinge.graph": json.dumps(GRAPH)})


def checkpoint(state, tensors):
    """As engine/io/checkpoint.cpp sums it; tensors: name -> (shape, values), float32."""
    def summed(total, content):
        return zlib.crc32(content, zlib.crc32(struct.pack("<Q", len(content)), total))
    text = json.dumps(state, separators=(",", ":"))
    total = summed(summed(0, b"hinge-checkpoint-1"), text.encode())
    for name, (shape, values) in sorted(tensors.items()):
        for part in (name.encode(), b"float32", struct.pack(f"<{len(shape)}q", *shape), floats(*values)):
            total = summed(total, part)
    stored = {name: ("F32", list(shape), floats(*values)) for name, (shape, values) in tensors.items()}
    return safetensors(stored, {"format": "hinge-checkpoint-1", "state": text, "crc32": f"{total:08x}"})


def png(mode, interlaced=False):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    if not interlaced:
        out = io.BytesIO()
        Image.linear_gradient("L").resize((9, 7)).convert(mode).save(out, "png")
        return out.getvalue()
    # One pixel: the first of seven passes has it.
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 6, 0, 0, 1)) +
            chunk(b"IDAT", zlib.compress(b"\0" + b"\x12\x34" * 4)) + chunk(b"IEND", b""))


def jpeg(mode, **options):
    out = io.BytesIO()
    Image.linear_gradient("L").resize((17, 18)).convert(mode).save(out, "jpeg", quality=40, **options)
    return out.getvalue()


PLAN = {"format": "hinge-plan-2", "target": {"count": "macs", "flops": 0.5, "bytes": 1000}, "threshold": 0.25,
        "before": {"parameters": 100, "macs": 1000, "operations": 1100, "bytes": 400, "seconds": 0.5},
        "predicted_after": {"parameters": 50, "macs": 500, "operations": 550, "bytes": 200},
        "sets": [{"set": "layer1.0.conv1", "groups": 4, "kept": [0, 2], "carriers": [3]}], "pairs": [{"layer": "layer1.0.conv1", "form": "pair"}]}


def main():
    seed("safetensors", "types", safetensors({"a": ("F32", [2, 1], floats(1, 2)), "b": ("F16", [2], b"\0\x3c\0\x7c"), "c": ("BF16", [1, 1, 1], b"\x80\x3f"), "d": ("U8", [], b"x"),
                                              "e": ("I64", [1], bytes(8)), "f": ("F64", [0, 3], b""), "g": ("I32", [1], bytes(4))}, {"format": "pt"}))
    seed("safetensors", "empty", safetensors({}))
    seed("graph", "tiny", json.dumps(GRAPH))
    seed("graph", "every-op", json.dumps(EVERY_OP))
    seed("plan", "of-nothing", json.dumps(dict(PLAN, sets=[], pairs=[])))
    found("plan", "groups-beyond-64-bits", json.dumps(dict(PLAN, sets=[{"set": "s", "groups": 2**62, "kept": [0], "carriers": []}], pairs=[])))
    # Not taken: it is about another network than the target's.
    (CORPUS / "plan" / "kept-one-set").write_text(json.dumps(PLAN))
    seed("model", "tiny", model())
    wide = {"op": "linear", "name": "fc", "inputs": ["input"], "in": 1, "out": 1 << 24, "bias": True}
    found("model", "gigabytes-of-weights", safetensors({}, {"hinge.graph": json.dumps(dict(GRAPH, input=[1, 1, 1], nodes=[wide]))}))
    seed("checkpoint", "small", checkpoint({"epoch": 3, "best": [0.5, None], "name": "r\u00e9sum\u00e9"}, {"w": ((2, 2), (1, 2, 3, 4)), "b": ((1,), (0,))}))
    seed("config", "run", json.dumps({"command": "compress", "options": {"weights": "a", "data": "cifar10", "target": ["flops=0.8", "0.5"], "epochs": 3, "lr": 0.1, "nesterov": True, "mean": [0.5]}}))
    seed("config", "inner", json.dumps({"weights": "net.safetensors", "batch": 64, "milestones": [10, 20.5], "mode": "auto"}))
    seed("recipe", "small", json.dumps({"network": "resnet20", "data": "cifar10", "options": {"epochs": 3, "lr": 0.01, "nesterov": True, "milestones": [1, 2], "schedule": "step", "data": "cifar10"},
                                        "expected": {"source": "table 1", "top1_error": 6.31}}))
    seed("cifar", "ten", b"\x00" + bytes([3]) + bytes(3072))
    seed("cifar", "hundred", b"\x01" + bytes([7, 42]) + bytes(range(256)) * 12)
    images = struct.pack(">IIII", 0x803, 2, 2, 3) + bytes(range(12))
    labels = struct.pack(">II", 0x801, 5) + bytes([1, 2, 3, 4, 5])
    seed("idx", "images", b"\0" + images)
    seed("idx", "images-gzip", b"\0" + gzip.compress(images, mtime=0))
    seed("idx", "labels", b"\1" + labels)
    seed("idx", "labels-gzip", b"\1" + gzip.compress(labels, mtime=0))
    for mode in ("L", "RGB", "RGBA", "P", "1"):
        seed("picture", f"png-{mode}", png(mode))
    seed("picture", "png-interlaced", png("", interlaced=True))
    large = bytearray(jpeg("RGB", progressive=True))
    place = large.index(b"\xff\xc2") + 5  # behind marker, length and precision: height and width
    large[place:place + 4] = struct.pack(">HH", 16384, 16384)
    found("picture", "header-larger-than-the-file-can-be", bytes(large))
    for mode in ("L", "RGB", "CMYK"):
        seed("picture", f"jpeg-{mode}", jpeg(mode))
    seed("picture", "jpeg-progressive", jpeg("RGB", progressive=True, subsampling=2))
    seed("picture", "jpeg-420", jpeg("RGB", subsampling=2))
    seed("picture", "jpeg-422", jpeg("RGB", subsampling=1))
    shard = {"file": "train-00000.tar", "bytes": 3072, "checksum": "0123abcd", "names": ["cat/0.jpg", "dog/1.png"], "sizes": [5, 512]}
    seed("shards", "two", json.dumps({"format": "hinge shards 1", "classes": ["cat", "dog"], "train": {"shards": [shard]}, "test": {"shards": [dict(shard, file="test-00000.tar"), dict(shard, file="test-00001.tar")]}}))
    seed("arguments", "compress", "\n".join(["compress", "--weights", "a", "--data", "cifar10", "--target", "flops=0.5,params=0.6", "--out", "RUN", "--lr=0.1", "--nesterov"]))
    seed("arguments", "train", "\n".join(["train", "--model", "resnet8", "--data", "fashion-mnist", "--epochs", "2", "--milestones", "1,2", "--mean", "0.5", "--out=RUN"]))
    seed("arguments", "values", "info\n--weights\nflops=0.5\nbytes=1.5MiB\nlatency=3.1ms\n224x224x3\n32x32")
    seed("arguments", "help", "train\n--help")


if __name__ == "__main__":
    main()
