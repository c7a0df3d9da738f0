#!/usr/bin/env python3
"""Turns a PyTorch file (.pt, .pth) into safetensors, tensor by tensor.

The file may hold a state dict, a dict with one inside ({'state_dict': ...}, as training programs write checkpoints), or
a whole module. Needs torch and nothing else; Debian's python3-torch will do.

Example:
  tools/from_pytorch.py resnet18.pth resnet18.safetensors --model resnet18
  hinge info --weights resnet18.safetensors
"""
import argparse
import json
import os
import struct
import sys

# Where checkpoints keep the weights, the likeliest first.
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")


def stop(message):
    sys.exit("from_pytorch: " + message)


def import_torch():
    try:
        import torch
        return torch
    except ImportError as error:
        stop(f"torch can't be imported ({error}); on Debian: apt install python3-torch")


def load(torch, path, allow_pickle):
    if not os.path.isfile(path):
        stop(f"{path}: no such file")
    with open(path, "rb") as file:
        start = file.read(4)
    if start != b"PK\x03\x04" and start[:1] != b"\x80":  # a zip archive; before torch 1.6 a bare pickle
        stop(f"{path}: torch.save didn't write this: it begins with {start!r}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what it refuses
        reason = f"{type(error).__name__}: {error}".rsplit("WeightsUnpickler error: ", 1)[-1].splitlines()[0]
        if not allow_pickle:
            stop(f"{path}: not a file of plain tensors ({reason}).\n"
                 "If it holds a pickled module and you trust where it comes from, use --allow-pickle: reading it runs code "
                 "that is in the file.")
    try:
        return torch.load(path, map_location="cpu", **({} if torch.__version__.startswith("1.") else {"weights_only": False}))
    except Exception as error:
        stop(f"{path}: torch can't read it: {type(error).__name__}: {error}")


def find_tensors(torch, path, value, key):
    """The dict of tensors inside `value`."""
    if isinstance(value, torch.nn.Module):
        return value.state_dict()
    if not isinstance(value, dict):
        stop(f"{path}: holds a {type(value).__name__}, expected a state dict, a dict with one inside, or a module")
    if key is not None:
        if key not in value:
            stop(f"{path}: no entry '{key}' (it has: {', '.join(map(str, value)) or 'none'})")
        return find_tensors(torch, path, value[key], None)
    if any(isinstance(entry, torch.Tensor) for entry in value.values()):
        return value
    for name in NESTED:
        if isinstance(value.get(name), (dict, torch.nn.Module)):
            return find_tensors(torch, path, value[name], None)
    stop(f"{path}: no tensors in it, nor an entry of a usual name; say which with --key (it has: "
         f"{', '.join(map(str, value)) or 'none'})")


def described(torch, name, tensor, keep_types):
    """What is written for `tensor`: safetensors' word for its type, and torch's."""
    words = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
             torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.dtype not in words:
        stop(f"{name} is {tensor.dtype}, {tensor.layout}: only dense tensors of {', '.join(words.values())} can be written")
    dtype = torch.float32 if tensor.is_floating_point() and not keep_types else tensor.dtype
    return words[dtype], dtype


def write(torch, path, tensors, metadata, keep_types):
    header, plan, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        word, dtype = described(torch, name, tensor, keep_types)
        size = tensor.numel() * torch.empty((), dtype=dtype).element_size()
        header[name] = {"dtype": word, "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        plan.append((tensor, dtype))
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data then begins at a multiple of 8
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for tensor, dtype in plan:  # one copy of one tensor at a time
                flat = tensor.detach().to(dtype).contiguous().reshape(-1)
                out.write(memoryview(flat.view(torch.uint8).numpy()) if flat.numel() else b"")
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except OSError as error:
        stop(f"{path}: can't be written: {error}")
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return offset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="the .pt or .pth file")
    parser.add_argument("output", help="the .safetensors file to write")
    parser.add_argument("--model", help="note in the file which network it is, e.g. resnet18 (hinge then needs no --model)")
    parser.add_argument("--shortcut", help="note the shortcut, for the CIFAR ResNets: A-pool, A-stride or C")
    parser.add_argument("--key", help="the entry that holds the weights, where the file has several")
    parser.add_argument("--keep-types", action="store_true", help="write float16 and float64 as they are (default: float32)")
    parser.add_argument("--allow-pickle", action="store_true", help="read pickled modules too; this runs code in the file")
    arguments = parser.parse_args()
    if sys.byteorder != "little":
        stop("safetensors is little-endian, this machine isn't")

    torch = import_torch()
    found = find_tensors(torch, arguments.input, load(torch, arguments.input, arguments.allow_pickle), arguments.key)
    tensors, skipped = {}, []
    for name, value in found.items():
        if not isinstance(name, str):
            stop(f"{arguments.input}: a tensor is called {name!r}, expected text")
        if name == "__metadata__":
            stop(f"{arguments.input}: a tensor is called __metadata__, which safetensors keeps for itself")
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        else:
            skipped.append(f"{name} ({type(value).__name__})")
    if not tensors:
        stop(f"{arguments.input}: no tensors in it")
    metadata = {"format": "pt"}
    if arguments.model:
        metadata["architecture"] = arguments.model
    if arguments.shortcut:
        metadata["shortcut"] = arguments.shortcut
    size = write(torch, arguments.output, tensors, metadata, arguments.keep_types)
    print(f"{arguments.output}: {len(tensors)} tensors, {size} bytes")
    if skipped:
        print(f"left out, no tensors: {', '.join(skipped)}")


if __name__ == "__main__":
    main()
