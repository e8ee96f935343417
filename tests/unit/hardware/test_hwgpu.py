"""GPUs as nvidia-smi and the driver's files show them."""

from __future__ import annotations

from typing import Any

import pytest

from djed.run.shim import hwgpu, hwinfo

XML = b"""<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>570.86.15</driver_version>
  <cuda_version>12.8</cuda_version>
  <gpu id="00000000:18:00.0">
    <product_name>NVIDIA H200</product_name>
    <uuid>GPU-1234</uuid>
    <mig_mode><current_mig>Disabled</current_mig></mig_mode>
    <fb_memory_usage><total>143771 MiB</total></fb_memory_usage>
    <gpu_power_readings><current_power_limit>700.00 W</current_power_limit></gpu_power_readings>
  </gpu>
  <gpu id="00000000:19:00.0"><product_name>NVIDIA H200</product_name></gpu>
</nvidia_smi_log>
"""
DRIVER = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 12\n",
    "proc/driver/nvidia/gpus/0000:18:00.0/information": "Model: \t\t NVIDIA A100-SXM4-80GB\nGPU UUID: \t GPU-77\n",
}


def test_nvidia_smi() -> None:
    first, second = hwgpu.parse_nvidia_smi(XML)
    assert first == {
        "name": "NVIDIA H200",
        "uuid": "GPU-1234",
        "memory": 143_771 * 2**20,
        "driver": "570.86.15",
        "cuda": "12.8",
        "mig": False,
        "power_limit": "700.00 W",
        "bus": "00000000:18:00.0",
    }
    assert second.keys() == first.keys()
    assert second["memory"] is None


@pytest.mark.parametrize("output", [b"", b"NVIDIA-SMI has failed because", XML[:200], b"\xff\x00"])
def test_nonsense_is_no_gpu(output: bytes) -> None:
    assert hwgpu.parse_nvidia_smi(output) == []


def test_driver_files_where_there_is_no_tool(grow: Any) -> None:
    (gpu,) = hwinfo.record(grow(DRIVER))["gpus"]
    assert (gpu["name"], gpu["uuid"], gpu["driver"], gpu["memory"]) == (
        "NVIDIA A100-SXM4-80GB",
        "GPU-77",
        "570.86.15",
        None,
    )
    assert gpu.keys() == hwgpu.parse_nvidia_smi(XML)[0].keys()


def test_no_driver_is_no_gpu(xeon: str) -> None:
    assert hwinfo.record(xeon)["gpus"] == []
