"""Describe the machine, so that a measured figure says what it belongs to."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import psutil

from juggler.nouns import Machine
from juggler.packages import release_of

PACKAGES = ("juggler", "numpy", "onnxruntime", "onnx", "openvino", "torch", "tensorrt")


def machine() -> Machine:
    """Return the processor, cores, memory, system and the releases of what runs networks.

    Nothing heavy is imported: releases come from the packages' metadata, and the accelerator is named
    only where torch is in the process already.
    """
    releases = {name: release for name in PACKAGES if (release := release_of(name))}
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=releases,
        accelerator=_accelerator(),
    )


def _cpu() -> str:
    """Return the processor's model as the kernel names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _cores() -> int:
    """Return the cores that this process may use, which in a container are fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _accelerator() -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())
