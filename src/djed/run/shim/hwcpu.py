"""Processors and memory nodes as the kernel shows them: caches, frequencies, NUMA, topology. Stdlib only, Python 3.6 up."""

import os
import re

if __package__:
    from djed.run.shim import cputype
else:
    import cputype

__all__ = [
    "CPU",
    "affinity",
    "caches",
    "frequency",
    "kibibytes",
    "numa",
    "numbers",
    "sampled_frequency",
    "topology",
    "turbo",
]

CPU = "sys/devices/system/cpu/"
MAX_SAMPLED = 64  # processors whose frequency is read for one sample; more would cost milliseconds


def affinity(tree, online):
    """The processors that this process may use."""
    if tree.root != "/" or not hasattr(os, "sched_getaffinity"):
        return online
    return sorted(os.sched_getaffinity(0))


def caches(tree):
    """Caches of the first processor, sizes in bytes."""
    found = []
    folder = CPU + "cpu0/cache/"
    for name in tree.names(folder):
        if name.startswith("index"):
            found.append(
                {
                    "level": tree.number(folder + name + "/level"),
                    "type": tree.text(folder + name + "/type"),
                    "size": _size(tree.text(folder + name + "/size")),
                    "line": tree.number(folder + name + "/coherency_line_size"),
                    "ways": tree.number(folder + name + "/ways_of_associativity"),
                    "shared": tree.text(folder + name + "/shared_cpu_list"),
                }
            )
    return found


def frequency(tree):
    """Frequencies in hertz and how they are governed, of the first processor."""
    folder = CPU + "cpu0/cpufreq/"
    return {
        "governor": tree.text(folder + "scaling_governor"),
        "driver": tree.text(folder + "scaling_driver"),
        "preference": tree.text(folder + "energy_performance_preference"),
        "turbo": turbo(tree),
        "current": tree.number(folder + "scaling_cur_freq", 1000),
        "base": tree.number(folder + "base_frequency", 1000),
        "min": tree.number(folder + "cpuinfo_min_freq", 1000),
        "max": tree.number(folder + "cpuinfo_max_freq", 1000),
    }


def turbo(tree):
    """Whether the processor may go above its base frequency."""
    disabled, boost = tree.number(CPU + "intel_pstate/no_turbo"), tree.number(CPU + "cpufreq/boost")
    if disabled is not None:
        return disabled == 0
    return None if boost is None else boost == 1


def sampled_frequency(tree):
    """Governor of the first and lowest, mean and highest current hertz of the processors that we may use."""
    cpus = affinity(tree, numbers(tree.text(CPU + "online")))[:MAX_SAMPLED]
    files = [CPU + "cpu%d/cpufreq/scaling_cur_freq" % cpu for cpu in cpus]
    values = [value for value in (tree.number(name, 1000) for name in files) if value is not None]
    if not values:
        found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", tree.text("proc/cpuinfo") or "", re.MULTILINE)
        values = [int(float(value) * 1e6) for value in found]
    return {
        "governor": tree.text(CPU + "cpu0/cpufreq/scaling_governor"),
        "turbo": turbo(tree),
        "low": min(values) if values else None,
        "mean": sum(values) // len(values) if values else None,
        "high": max(values) if values else None,
    }


def numa(tree):
    """Memory nodes with their processors, bytes, and distances to each node."""
    folder = "sys/devices/system/node/"
    nodes = []
    for name in tree.names(folder):
        if re.match(r"node\d+\Z", name):
            text = tree.text(folder + name + "/meminfo") or ""
            sizes = dict(re.findall(r"(MemTotal|MemFree):\s*(\d+) kB", text))
            nodes.append(
                {
                    "node": int(name[4:]),
                    "cpus": tree.text(folder + name + "/cpulist"),
                    "memory": kibibytes(cputype.number(sizes.get("MemTotal"))),
                    "free": kibibytes(cputype.number(sizes.get("MemFree"))),
                    "distances": [
                        int(word)
                        for word in (tree.text(folder + name + "/distance") or "").split()
                        if word.isdigit()
                    ],
                }
            )
    return sorted(nodes, key=lambda node: node["node"])


def topology(tree, entries, online):
    """Sockets, cores, threads, and where each processor sits; from /proc/cpuinfo, else from /sys."""
    listed = {cputype.number(entry.get("processor")): entry for entry in entries}
    cpus = []
    for cpu in online:
        entry = listed.get(cpu, {})
        folder = CPU + "cpu%d/topology/" % cpu
        core = cputype.number(entry.get("core id"))
        socket = cputype.number(entry.get("physical id"))
        cpus.append(
            {
                "cpu": cpu,
                "core": tree.number(folder + "core_id") if core is None else core,
                "socket": tree.number(folder + "physical_package_id") if socket is None else socket,
            }
        )
    known = bool(cpus) and all(cpu["core"] is not None for cpu in cpus)
    cores = len({(cpu["socket"], cpu["core"]) for cpu in cpus}) if known else None
    return {
        "sockets": len({cpu["socket"] for cpu in cpus}) if known else None,
        "cores": cores,
        "threads": len(cpus) or None,
        "threads_per_core": len(cpus) // cores if cores else None,
        "cpus": cpus,
    }


def numbers(text):
    """``[0, 1, 2, 5]`` from ``0-2,5``."""
    found = []
    for part in (text or "").split(","):
        ends = re.match(r"(\d{1,6})(?:-(\d{1,6}))?\Z", part.strip())
        if ends:
            found.extend(range(int(ends.group(1)), int(ends.group(2) or ends.group(1)) + 1))
    return found


def _size(text):
    found = re.match(r"(\d+)([KMG]?)\Z", text or "")
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
    return int(found.group(1)) * units[found.group(2)] if found else None


def kibibytes(value):
    """Bytes from KiB; None stays None."""
    return None if value is None else value * 1024
