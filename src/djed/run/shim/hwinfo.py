"""What this machine is: hardware, system and the limits in force, as one JSON-able dict.

Runs inside jobs: stdlib only, Python 3.6 up, no process but ``nvidia-smi`` where there is a driver. What is missing is null; nothing
raises. The keys are described in docs/reference/hardware.md; those of Amun's hwinfo are among them, with their types.
"""

import glob
import json
import os
import platform
import re
import struct
import sys

if __package__:
    from djed.run.shim import cputype, hwcgroup, hwcpu, hwgpu
else:  # lies beside us in a job directory
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import cputype
    import hwcgroup
    import hwcpu
    import hwgpu

__all__ = ["Tree", "dynamic", "record"]

FORMAT = 1
MAX_READ = 8 * 2**20  # /proc/cpuinfo of 4096 processors fits
# Kernel parameters that change timings; the rest may hold secrets and stays out of the record.
BOOT = re.compile(
    r"(?:mitigations|isolcpus|nohz_full|nohz|rcu_nocbs|nosmt|maxcpus|nr_cpus|numa_balancing|transparent_hugepage|hugepages"
    r"|hugepagesz|default_hugepagesz|intel_pstate|amd_pstate|intel_idle\.max_cstate|processor\.max_cstate|idle|clocksource|tsc"
    r"|spectre_v2|spec_store_bypass_disable|pti|nopti|l1tf|mds|retbleed|preempt|psi|skew_tick)(?:=.*)?\Z"
)
HYPERVISORS = (
    ("QEMU", "kvm"), ("KVM", "kvm"), ("Amazon EC2", "kvm"), ("Google", "kvm"), ("OpenStack", "kvm"), ("VMware", "vmware"),
    ("innotek", "virtualbox"), ("VirtualBox", "virtualbox"), ("Xen", "xen"), ("Microsoft Corporation", "hyperv"),
    ("Parallels", "parallels"), ("BHYVE", "bhyve"), ("Apple", "apple"),
)  # fmt: skip


class Tree:
    """Files below ``root`` (``/``, or a fake one); what cannot be read is None."""

    def __init__(self, root="/"):
        self.root = root

    def path(self, name):
        """The path of ``name`` below the root."""
        return os.path.join(self.root, name.lstrip("/"))

    def text(self, name):
        """The stripped text of a file."""
        try:
            with open(self.path(name), "rb") as file:
                return file.read(MAX_READ).decode("utf-8", "replace").strip("\0\n\t ")
        except (OSError, ValueError):
            return None

    def number(self, name, factor=1):
        """The integer in a file times ``factor``."""
        value = cputype.number(self.text(name))
        return None if value is None else value * factor

    def names(self, name):
        """The sorted names in a folder."""
        try:
            return sorted(os.listdir(self.path(name)))
        except OSError:
            return []

    def exists(self, name):
        """Whether the file is there."""
        return os.path.exists(self.path(name))


def record(root="/", gpus=None):
    """Everything that is known of this machine. About 2 ms; with an NVIDIA driver as long as nvidia-smi takes, about a second, unless the GPUs
    of an earlier record of this boot are given.
    """
    tree = Tree(root)
    uname, group = _uname(tree), hwcgroup.limits(tree)
    entries = cputype.parse_cpuinfo(tree.text("proc/cpuinfo"))
    cpu = entries[0] if entries else {}
    online = hwcpu.numbers(tree.text(hwcpu.CPU + "online")) or list(range(len(entries)))
    count, caches, frequency = len(online) or None, hwcpu.caches(tree), hwcpu.frequency(tree)
    return {
        "format": FORMAT,
        "cpu_features": cputype.cpu_features(cpu, caches, frequency),
        "cpu_info": cputype.cpu_info(cpu, count, uname["machine"], caches, frequency),
        "cpu_type": cputype.cpu_type(cpu, count, uname["machine"]),
        "platform": _platform(tree, uname),
        "affinity": hwcpu.affinity(tree, online),
        "caches": caches,
        "cgroup": group,
        "clocksource": tree.text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "frequency": frequency,
        "gpus": hwgpu.gpus(tree) if gpus is None else gpus,
        "hugepages": _hugepages(tree),
        "kernel": _kernel(tree, uname),
        "libc": _libc(tree),
        "load": _load(tree),
        "memory": _memory(tree, group),
        "microcode": cpu.get("microcode"),
        "numa": hwcpu.numa(tree),
        "os_release": _os_release(tree),
        "topology": hwcpu.topology(tree, entries, online),
        "virtualization": _virtualization(tree, cpu, uname),
    }


def dynamic(root="/"):
    """What changes between attempts: load, frequency, throttling, memory, limits. Under 2 ms; counters count from boot."""
    tree = Tree(root)
    group = hwcgroup.limits(tree)
    return {
        "load": _load(tree),
        "frequency": hwcpu.sampled_frequency(tree),
        "memory_available": _memory(tree, group)["available"],
        "cgroup": group,
        "throttled": hwcgroup.throttled(tree),
        "steal": _steal(tree),
        "pressure": {name: _pressure(tree, name) for name in ("cpu", "memory", "io")},
    }


def _uname(tree):
    if tree.root == "/":
        system, node, release, version, machine = os.uname()
        return {"system": system, "node": node, "release": release, "version": version, "machine": machine}
    keys = (("node", "hostname"), ("release", "osrelease"), ("version", "version"), ("machine", "arch"))
    found = {key: tree.text("proc/sys/kernel/" + name) for key, name in keys}
    return dict(found, system="Linux")


def _platform(tree, uname):
    """Amun's ``platform``. Put together by hand: the module would start ``uname`` and ``file``."""
    libc = _libc(tree)
    parts = [
        uname["system"],
        uname["release"],
        uname["machine"],
        "with",
        "".join(filter(None, libc.values())),
    ]
    return {
        "architecture": ["%dbit" % (struct.calcsize("P") * 8), ""],
        "machine": uname["machine"],
        "node": uname["node"],
        "platform": "-".join(part or "unknown" for part in parts),
        "processor": uname["machine"],
        "release": uname["release"],
        "version": uname["version"],
        "python_version": platform.python_version(),
    }


def _hugepages(tree):
    info = _meminfo(tree)
    chosen = re.search(r"\[(\w+)\]", tree.text("sys/kernel/mm/transparent_hugepage/enabled") or "")
    return {
        "transparent": chosen.group(1) if chosen else None,
        "total": info.get("HugePages_Total"),
        "free": info.get("HugePages_Free"),
        "size": hwcpu.kibibytes(info.get("Hugepagesize")),
    }


def _meminfo(tree):
    return {
        key: int(value)
        for key, value in re.findall(r"^([^:\s]+):\s*(\d+)", tree.text("proc/meminfo") or "", re.MULTILINE)
    }


def _memory(tree, group):
    """Bytes. On kernels before 3.14 what is available is estimated by what is free or cached."""
    info = {key: hwcpu.kibibytes(value) for key, value in _meminfo(tree).items()}
    guess = [info[key] for key in ("MemFree", "Buffers", "Cached") if key in info]
    return {
        "total": info.get("MemTotal"),
        "available": info.get("MemAvailable", sum(guess) if guess else None),
        "swap_total": info.get("SwapTotal"),
        "swap_free": info.get("SwapFree"),
        "cgroup_limit": group["memory"],
    }


def _kernel(tree, uname):
    folder = hwcpu.CPU + "vulnerabilities/"
    return {
        "release": uname["release"],
        "version": uname["version"],
        "parameters": [word for word in (tree.text("proc/cmdline") or "").split() if BOOT.match(word)],
        "vulnerabilities": {name: tree.text(folder + name) for name in tree.names(folder)},
        "smt": tree.text(hwcpu.CPU + "smt/control"),
        "aslr": tree.number("proc/sys/kernel/randomize_va_space"),
        "numa_balancing": tree.number("proc/sys/kernel/numa_balancing"),
        "tainted": tree.number("proc/sys/kernel/tainted"),
    }


def _libc(tree):
    """Name and version. musl keeps its version to itself unless a process is started: null."""
    if tree.root == "/":
        try:
            words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        except (ValueError, OSError):
            words = []
        if len(words) == 2:
            return {"name": words[0], "version": words[1]}
    musl = glob.glob(tree.path("lib/ld-musl-*.so.1"))
    return {"name": "musl" if musl else None, "version": None}


def _load(tree):
    words = (tree.text("proc/loadavg") or "").split()[:3]
    try:
        return [float(word) for word in words] or None
    except ValueError:
        return None


def _os_release(tree):
    """/etc/os-release with its keys in lower case, as Amun had it."""
    text = tree.text("etc/os-release") or tree.text("usr/lib/os-release")
    if text is None:
        return None
    pairs = re.findall(r"^([A-Za-z][A-Za-z0-9_]*)=(.*)$", text, re.MULTILINE)
    return {key.lower(): re.sub(r"\\([\"'\\$`])", r"\1", value.strip().strip("\"'")) for key, value in pairs}


def _virtualization(tree, cpu, uname):
    """The hypervisor by its own word (/sys/hypervisor), firmware or clock, and the container that we are in."""
    firmware = " ".join(
        filter(None, (tree.text("sys/class/dmi/id/" + name) for name in ("sys_vendor", "product_name")))
    )
    clocks = tree.text("sys/devices/system/clocksource/clocksource0/available_clocksource") or ""
    inside = "hypervisor" in cputype.flags(cpu)
    vendor = tree.text("sys/hypervisor/type") or next(
        (name for word, name in HYPERVISORS if word in firmware), None
    )
    if vendor is None or (vendor in ("hyperv", "apple") and not inside):
        vendor = next((name for name in ("kvm", "hyperv", "xen") if name in clocks and inside), None)
    if "microsoft" in (uname["release"] or "").lower():
        vendor = "wsl"
    return {
        "hypervisor": inside or vendor is not None,
        "vendor": vendor,
        "firmware": firmware or None,
        "container": _container(tree),
    }


def _container(tree):
    for name, kind in (
        ("run/.containerenv", "podman"),
        (".dockerenv", "docker"),
        (".singularity.d", "apptainer"),
    ):
        if tree.exists(name):
            return kind
    if tree.exists("run/secrets/kubernetes.io"):
        return "kubernetes"
    return tree.text("run/systemd/container")


def _steal(tree):
    """Seconds that the hypervisor gave to others since boot, over all processors."""
    words = (tree.text("proc/stat") or "").split("\n", 1)[0].split()
    value = cputype.number(words[8]) if len(words) > 8 else None
    return None if value is None else value / float(os.sysconf("SC_CLK_TCK"))


def _pressure(tree, name):
    """Seconds since boot in which some task waited for ``name`` (kernel: Documentation/accounting/psi.rst)."""
    found = re.search(r"^some .*total=(\d+)", tree.text("proc/pressure/" + name) or "", re.MULTILINE)
    return int(found.group(1)) / 1e6 if found else None


if __name__ == "__main__":
    json.dump(dynamic() if sys.argv[1:] == ["dynamic"] else record(), sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
