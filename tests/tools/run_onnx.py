#!/usr/bin/env python3
"""Checks ONNX files and runs them in ONNX Runtime, for tests/tools/test_export.cpp.

FOLDER holds NAME.onnx and cases.json: {NAME: {"images": FILE, "outputs": [FILE, ...]}}, the files raw float32. Writes
results.json: {NAME: {"difference": largest of any output, for all pictures at once and for the first alone; "largest":
of the expected outputs in magnitude; "input", "outputs": shapes as the file declares them; "operations": counts by type;
"metadata", "opset", "weights"}}.
"""
import collections
import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime


def shape_of(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def run(folder, name, case):
    path = folder / f"{name}.onnx"
    onnx.checker.check_model(str(path), full_check=True)  # with shape inference, strictly
    model = onnx.load(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    declared = shape_of(model.graph.input[0])
    images = numpy.fromfile(folder / case["images"], numpy.float32).reshape([-1] + declared[1:])
    together = session.run(None, {"input": images})
    alone = session.run(None, {"input": images[:1]})
    difference = largest = 0.0
    for file, all_values, first in zip(case["outputs"], together, alone, strict=True):
        expected = numpy.fromfile(folder / file, numpy.float32).reshape(all_values.shape)
        largest = max(largest, float(numpy.abs(expected).max()))
        worst = max(float(numpy.abs(all_values - expected).max()), float(numpy.abs(first - expected[:1]).max()))
        if not worst <= difference:  # NaN stays
            difference = worst
    return {
        "difference": difference, "largest": largest, "input": declared,
        "outputs": {output.name: shape_of(output) for output in model.graph.output},
        "operations": collections.Counter(node.op_type for node in model.graph.node),
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
        "opset": [opset.version for opset in model.opset_import],
        "weights": {w.name: list(w.dims) for w in model.graph.initializer},
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    cases = json.loads((folder / "cases.json").read_text())
    results = {name: run(folder, name, case) for name, case in cases.items()}
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
