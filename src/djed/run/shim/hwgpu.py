"""The GPUs of this machine (NVIDIA). Stdlib only, Python 3.6 up; starts ``nvidia-smi`` only where there is a driver."""

import glob
import re
import shutil
import subprocess

__all__ = ["gpus", "parse_nvidia_smi"]

# Fixed, not the caller's PATH: a job must not choose what the supervisor starts.
NVIDIA_PATH = "/usr/bin:/usr/local/bin:/usr/local/nvidia/bin:/usr/lib/wsl/lib:/run/current-system/sw/bin"
TIMEOUT = 20  # seconds; without persistence mode the driver starts up first


def gpus(tree):
    """One dict a GPU; empty where there is no driver."""
    if not tree.exists("proc/driver/nvidia/version") and not glob.glob(tree.path("dev/nvidia[0-9]*")):
        return []
    return (parse_nvidia_smi(_nvidia_smi()) if tree.root == "/" else []) or _driver_gpus(tree)


def _nvidia_smi():
    tool = shutil.which("nvidia-smi", path=NVIDIA_PATH)
    if tool is None:
        return b""
    command = [tool, "--query", "--xml-format"]
    try:
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TIMEOUT
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def _driver_gpus(tree):
    """What the driver tells by files, where nvidia-smi is missing (as in many containers)."""
    version = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", tree.text("proc/driver/nvidia/version") or "")
    found = []
    for bus in tree.names("proc/driver/nvidia/gpus"):
        text = tree.text("proc/driver/nvidia/gpus/%s/information" % bus) or ""
        fields = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in text.splitlines())
        }
        gpu = {"name": fields.get("Model"), "uuid": fields.get("GPU UUID"), "bus": bus}
        found.append(
            dict(
                gpu,
                memory=None,
                driver=version.group(1) if version else None,
                cuda=None,
                mig=None,
                power_limit=None,
            )
        )
    return found


def parse_nvidia_smi(text):
    """GPUs from the output of ``nvidia-smi --query --xml-format``; an empty list where it cannot be read."""
    from xml.etree import ElementTree  # 8 ms that only a machine with GPUs should pay

    try:
        log = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return []
    return [
        {
            "name": gpu.findtext("product_name"),
            "uuid": gpu.findtext("uuid"),
            "memory": _mebibytes(gpu.findtext("fb_memory_usage/total")),
            "driver": log.findtext("driver_version"),
            "cuda": log.findtext("cuda_version"),
            "mig": (gpu.findtext("mig_mode/current_mig") or "").lower() == "enabled",
            "power_limit": gpu.findtext("gpu_power_readings/current_power_limit"),
            "bus": gpu.get("id"),
        }
        for gpu in log.findall("gpu")
    ]


def _mebibytes(text):
    found = re.match(r"(\d+) MiB", text or "")
    return int(found.group(1)) * 2**20 if found else None
