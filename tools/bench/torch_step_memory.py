#!/usr/bin/python3
"""Peak resident memory of the training step that step_memory.cpp takes, in PyTorch: one JSON line.

CIFAR ResNet with option-A shortcuts (every second pixel, zero channels on both sides), SGD with momentum. ReLU works in
place where autograd allows it, which is PyTorch's more economical form.
"""
import argparse
import json


def peak_resident_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


interpreter = peak_resident_bytes()
import torch  # noqa: E402  (what the import costs is part of the figures)
from torch import nn  # noqa: E402

imported = peak_resident_bytes()


class Block(nn.Module):
    def __init__(self, before, after, stride, inplace):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace)
        self.stride, self.pad = stride, (after - before) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        y += x
        return self.relu(y)


def resnet(depth, inplace):
    blocks, layers, channels = (depth - 2) // 6, [], 16
    layers += [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace)]
    for stage, width in enumerate((16, 32, 64)):
        for block in range(blocks):
            layers.append(Block(channels, width, 2 if stage > 0 and block == 0 else 1, inplace))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true", help="N,H,W,C in memory, as hinge has it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = resnet(options.depth, True)
    x, y = torch.rand(options.batch, 3, 32, 32) * 2 - 1, torch.arange(options.batch) % 10
    if options.channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loss_function = nn.CrossEntropyLoss()
    for _ in range(options.steps):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
    print(json.dumps({"program": f"PyTorch {torch.__version__}", "interpreter_bytes": interpreter,
                      "baseline_bytes": imported, "peak_bytes": peak_resident_bytes(), "loss": loss.item(),
                      "parameters": sum(p.numel() for p in model.parameters())}))


if __name__ == "__main__":
    main()
