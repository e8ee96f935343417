"""Machines as /proc and /sys show them, written into a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Grow = Callable[[Mapping[str, str]], str]

_PROCESSOR = """processor\t: {cpu}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R) Gold 6132 CPU @ 2.60GHz
stepping\t: 4
microcode\t: 0x2006e05
cpu MHz\t\t: 3100.125
physical id\t: {socket}
core id\t\t: {core}
fdiv_bug\t: no
flags\t\t: fpu mmx sse sse2 pni ssse3 sse4_1 sse4_2 popcnt cx16 lahf_lm avx avx2 bmi1 bmi2 f16c fma abm movbe xsave

"""

XEON: Mapping[str, str] = {
    "proc/cpuinfo": "".join(
        _PROCESSOR.format(cpu=cpu, socket=cpu % 2, core=cpu // 2 % 2) for cpu in range(8)
    ),
    "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\n"
    "HugePages_Total: 3\nHugePages_Free: 1\nHugepagesize: 2048 kB\n",
    "proc/loadavg": "0.50 1.25 2.00 1/234 5678\n",
    "proc/cmdline": "root=UUID=1234 secret=hunter2 mitigations=off nosmt isolcpus=2-3\n",
    "proc/stat": "cpu  10 0 10 100 0 0 0 250 0 0\n",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "proc/sys/kernel/hostname": "node7\n",
    "proc/sys/kernel/osrelease": "5.14.0-427.el9.x86_64\n",
    "proc/sys/kernel/version": "#1 SMP\n",
    "proc/self/cgroup": "0::/kubepods/pod1\n",
    "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
    "sys/fs/cgroup/kubepods/memory.max": "524288\n",
    "sys/fs/cgroup/kubepods/cpu.max": "250000 100000\n",
    "sys/fs/cgroup/kubepods/pod1/memory.max": "max\n",
    "sys/fs/cgroup/kubepods/pod1/cpu.max": "max 100000\n",
    "sys/fs/cgroup/kubepods/pod1/cpu.stat": "usage_usec 5\nnr_throttled 7\nthrottled_usec 250000\n",
    "sys/fs/cgroup/kubepods/pod1/cpuset.cpus.effective": "0-3\n",
    "sys/fs/cgroup/kubepods/pod1/pids.max": "99\n",
    "sys/devices/system/cpu/online": "0-7\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3000000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1000000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/base_frequency": "2600000\n",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
    "sys/devices/system/cpu/vulnerabilities/meltdown": "Mitigation: PTI\n",
    "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
    "sys/devices/system/cpu/cpu0/cache/index0/type": "Data\n",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
    "sys/devices/system/cpu/cpu0/cache/index2/level": "2\n",
    "sys/devices/system/cpu/cpu0/cache/index2/type": "Unified\n",
    "sys/devices/system/cpu/cpu0/cache/index2/size": "1M\n",
    "sys/devices/system/cpu/cpu0/cache/index2/ways_of_associativity": "16\n",
    "sys/devices/system/cpu/cpu0/cache/index2/coherency_line_size": "64\n",
    "sys/devices/system/node/node0/cpulist": "0-3\n",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:  500 kB\nNode 0 MemFree: 50 kB\n",
    "sys/devices/system/node/node0/distance": "10 21\n",
    "sys/class/dmi/id/sys_vendor": "QEMU\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "etc/os-release": 'NAME="Rocky Linux"\nID="rocky"\nVERSION_ID="9.4"\nBAD LINE\n',
}

ALTRA: Mapping[str, str] = {
    "proc/cpuinfo": "".join(
        f"processor\t: {cpu}\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid"
        " asimdrdm lrcpc dcpop asimddp ssbs\n"
        "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n"
        for cpu in range(4)
    ),
    "proc/sys/kernel/arch": "aarch64\n",
    "proc/sys/kernel/osrelease": "6.8.0-45-generic-64k\n",
    "sys/devices/system/cpu/online": "0-3\n",
    **{
        f"sys/devices/system/cpu/cpu{cpu}/topology/{name}": f"{value}\n"
        for cpu in range(4)
        for name, value in (("core_id", cpu), ("physical_package_id", 0))
    },
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3000000\n",
    "lib/ld-musl-aarch64.so.1": "",
    "etc/os-release": "ID=alpine\nVERSION_ID=3.20.1\n",
}

BARE: Mapping[str, str] = {
    "proc/cpuinfo": "Serial : nothing that anyone knows\n",
    "proc/meminfo": "nonsense\n",
}
"""A kernel that shows nearly nothing, as in a sandbox without /sys."""


@pytest.fixture
def grow(tmp_path: Path) -> Grow:
    """Write the files below a folder and give its path."""

    def write(files: Mapping[str, str]) -> str:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(root)

    return write


@pytest.fixture
def xeon(grow: Grow) -> str:
    return grow(XEON)


@pytest.fixture
def altra(grow: Grow) -> str:
    return grow(ALTRA)


@pytest.fixture
def bare(grow: Grow) -> str:
    return grow(BARE)
