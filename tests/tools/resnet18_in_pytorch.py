"""ResNet-18 written with plain torch.nn under torchvision's names, random weights and running statistics.

Usage: resnet18_in_pytorch.py CIFAR_BATCH.bin OUT_FOLDER
Writes net.pth (a state dict), checkpoint.pth ({'state_dict': ...} with 'module.' before every name), module.pth (a pickled
Sequential), odd.pth (every type and awkward shapes) and logits.f32 (the network's answer to each image of the batch).
"""
import sys

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        for i in range(1, 5):
            first = Block(widths[i - 1], widths[i], 1 if i == 1 else 2)
            setattr(self, f"layer{i}", nn.Sequential(first, Block(widths[i], widths[i], 1)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def main():
    torch.set_num_threads(1)
    batch, folder = sys.argv[1:]
    torch.manual_seed(1)
    network = ResNet18(10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    state = network.state_dict()
    torch.save(state, f"{folder}/net.pth")
    torch.save({"epoch": 3, "state_dict": {"module." + name: value for name, value in state.items()}}, f"{folder}/checkpoint.pth")
    torch.save(nn.Sequential(nn.Linear(2, 3)), f"{folder}/module.pth")
    matrix = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    torch.save({"transposed": matrix.t(), "half": matrix.half(), "bfloat": matrix.bfloat16(), "double": matrix.double(), "empty": torch.zeros(0, 4),
                "scalar": torch.tensor(7, dtype=torch.int64), "byte": torch.tensor([1, 2, 255], dtype=torch.uint8),
                "note": 5}, f"{folder}/odd.pth")
    torch.save([1, 2], f"{folder}/list.pth")
    torch.save({"epoch": 3}, f"{folder}/nothing.pth")

    records = torch.frombuffer(bytearray(open(batch, "rb").read()), dtype=torch.uint8).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        logits = network((images - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    open(f"{folder}/logits.f32", "wb").write(logits.contiguous().numpy().tobytes())


if __name__ == "__main__":
    main()
