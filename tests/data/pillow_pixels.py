#!/usr/bin/env python3
"""SHORTER SIZE OUT FILE...: each picture as torchvision's Resize(SHORTER) and CenterCrop(SIZE) give it, raw 8-bit
[SIZE, SIZE, 3], one behind the other, for tests/data/test_image_folder.cpp."""
import sys

from PIL import Image

shorter, size = int(sys.argv[1]), int(sys.argv[2])
with open(sys.argv[3], "wb") as out:
    for name in sys.argv[4:]:
        image = Image.open(name).convert("RGB")
        width, height = image.size
        if width <= height:
            resized = (shorter, int(shorter * height / width))
        else:
            resized = (int(shorter * width / height), shorter)
        image = image.resize(resized, Image.BILINEAR)
        left, top = int(round((image.size[0] - size) / 2.0)), int(round((image.size[1] - size) / 2.0))
        out.write(image.crop((left, top, left + size, top + size)).tobytes())
