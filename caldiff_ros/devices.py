# Copyright 2026 The caldiff_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which device computes, and in which number format."""

from __future__ import annotations

import functools
import threading
import time
from contextlib import AbstractContextManager, nullcontext

import torch

#: Matrices of this many rows and columns are multiplied this often to compare number formats.
_PRODUCT_SIZE = 512
_PRODUCTS = 5


def mixed_precision(device: torch.device, wanted: bool = True) -> torch.autocast:
    """Matrix products in bfloat16 within this context, where the device is faster with it.

    Parameters and optimizer stay in float32; where it is not native it would be emulated, and even
    some processors that have it are slower.
    """
    pays = False
    if wanted and device.type == 'cuda':
        pays = torch.cuda.is_bf16_supported(including_emulation=False)
    elif wanted and device.type == 'cpu' and hasattr(torch.cpu, 'get_capabilities'):
        # torch 2.10 and later
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name, False) for name in ('avx512_bf16', 'amx_bf16'))
        pays = native and _multiplies_faster(torch.bfloat16)

    return torch.autocast(device.type, torch.bfloat16, enabled=pays)


@functools.cache
def _multiplies_faster(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies matrices in ``dtype`` faster than in float32."""
    return _seconds_of_product(dtype) < _seconds_of_product(torch.float32)


def _seconds_of_product(dtype: torch.dtype) -> float:
    """Least time of a matrix product of the size that training has."""
    a, b = (torch.ones(_PRODUCT_SIZE, _PRODUCT_SIZE, dtype=dtype) for _ in range(2))
    spent = []

    for _ in range(_PRODUCTS):
        began = time.perf_counter()
        a @ b
        spent.append(time.perf_counter() - began)

    return min(spent)


def pick_device(name: str = 'auto') -> torch.device:
    """'auto' is the GPU if there is one; any other name is torch's."""
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    return torch.device(name)


def turn_on(device: torch.device) -> AbstractContextManager:
    """Held while a device works on an image: a GPU takes one at a time, a CPU several.

    Python gives a GPU its work, and its threads would only wait for each other.
    """
    return _gpu_lock(device) if device.type == 'cuda' else nullcontext()


@functools.cache
def _gpu_lock(device: torch.device) -> threading.Lock:
    return threading.Lock()
