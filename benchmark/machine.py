"""What a benchmark ran on, in words."""

import importlib.metadata
import os
import platform
from pathlib import Path

# Instructions that decide how fast a network runs on a processor, by Linux' names.
_INSTRUCTIONS = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8",
    "asimddp", "i8mm", "bf16",
)  # fmt: skip
_PACKAGES = (
    "tensorflow", "keras", "ai-edge-litert", "onnxruntime", "openvino", "torch",
)  # fmt: skip


def describe_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Returns the processor, its instructions, and the versions of what was measured."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    values = {name.strip(): value.strip() for name, _, value in (li.partition(":") for li in lines)}
    flags = values.get("flags", values.get("Features", "")).split()
    found = " ".join(name for name in _INSTRUCTIONS if name in flags)
    versions = []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": f"{values.get('model name', platform.machine())}, {os.cpu_count()} cores",
        "instructions": found or "unknown",
        "versions": ", ".join(versions),
    }
