"""The processor as older readers know it: ``cpu_info``, ``cpu_features`` and ``cpu_type`` of Amun's hwinfo.

Stdlib only, Python 3.6 up, no process, no file: everything comes from what hwinfo.py read.
"""

import re
import struct

__all__ = ["architecture", "cpu_features", "cpu_info", "cpu_type", "flags", "number", "parse_cpuinfo"]

# https://developer.arm.com/documentation/ddi0487, MIDR_EL1.Implementer
ARM_VENDORS = {
    0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x44: "DEC", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "Nvidia",
    0x50: "APM", 0x51: "Qualcomm", 0x53: "Samsung", 0x56: "Marvell", 0x61: "Apple", 0x66: "Faraday", 0x69: "Intel",
    0x6D: "Microsoft", 0x70: "Phytium", 0xC0: "Ampere",
}  # fmt: skip
FAMILIES = (
    ("X86_64", 64, r"x86_64|amd64"),
    ("X86_32", 32, r"i[3-6]86|x86"),
    ("ARM_8", 64, r"aarch64|arm64|armv8.*"),
    ("ARM_7", 32, r"armv[67].*"),
    ("PPC_64", 64, r"ppc64(le)?"),
    ("S390X", 64, r"s390x"),
    ("RISCV_64", 64, r"riscv64"),
    ("LOONGARCH_64", 64, r"loongarch64"),
)
VERSION = (7, 0, 0)  # py-cpuinfo's, whose names and types cpu_info keeps

# What /proc/cpuinfo calls a feature -> what it means for has_*
FEATURES = {
    "3dnow": "3dnow", "3dnowext": "3dnowext", "Altivec": "altivec", "mmx": "mmx", "sse": "sse", "sse2": "sse2",
    "sse3": "pni", "ssse3": "ssse3",
}  # fmt: skip
INTEL_NAMES = {
    "Celeron": r"Celeron", "Core2": r"Core\(TM\)2\b", "Itanium": r"Itanium", "Pentium": r"Pentium",
    "PentiumM": r"Pentium.*?\bM\b", "PentiumMMX": r"Pentium.*?\bMMX\b", "XEON": r"XEON\b", "Xeon": r"Xeon\b",
}  # fmt: skip
AMD_NAMES = {
    "Athlon64": r"Athlon\(tm\) 64\b", "AthlonHX": r"Athlon\(tm\) HX\b", "AthlonMP": r"Athlon\(tm\) MP\b",
    "Opteron": r"Opteron",
}  # fmt: skip
OTHER_NAMES = {
    "Alpha": r"\bAlpha\b", "EV4": r"\bEV4\b", "EV5": r"\bEV5\b", "EV56": r"\bEV56\b", "PCA56": r"\bPCA56\b",
    "Power": r"POWER\d", "Power7": r"POWER7", "Power8": r"POWER8", "Power9": r"POWER9",
}  # fmt: skip


def parse_cpuinfo(text):
    """One dict a processor from the text of /proc/cpuinfo; what s390, POWER and old ARM kernels say once is in all of them."""
    entries, common, entry = [], {}, None
    for line in (text or "").splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            entry = None
        elif key == "processor" and value.isdigit():
            entry = {key: value}
            entries.append(entry)
        else:
            (common if entry is None else entry).setdefault(key, value)
    return [dict(common, **entry) for entry in entries] or ([common] if common else [])


def number(text):
    """An int from ``12``, ``0x41`` or None."""
    try:
        return int(text, 0)
    except (TypeError, ValueError):
        return None


def flags(cpu):
    """The sorted feature names of one processor."""
    return sorted(
        set((cpu.get("flags") or cpu.get("Features") or cpu.get("features") or cpu.get("isa") or "").split())
    )


def architecture(machine):
    """py-cpuinfo's family name and word size of a machine name; the machine in capitals for one it did not know."""
    for name, bits, pattern in FAMILIES:
        if re.match(r"(?:%s)\Z" % pattern, machine or ""):
            return name, bits
    return (machine or "").upper() or None, struct.calcsize("P") * 8


def _vendor(cpu):
    implementer = number(cpu.get("CPU implementer"))
    if implementer is not None:
        return ARM_VENDORS.get(implementer, cpu["CPU implementer"])
    if "POWER" in cpu.get("cpu", ""):
        return "IBM"
    return cpu.get("vendor_id") or cpu.get("mvendorid")


def _brand(cpu):
    for key in ("model name", "Processor", "cpu model", "cpu", "uarch", "Model Name"):
        if cpu.get(key):
            return " ".join(cpu[key].split())
    return None


def _advertised(brand, frequency):
    """Hertz: the maximum without turbo, from the base frequency or the brand string (``… @ 2.50GHz``)."""
    found = re.search(r"@\s*([\d.]+)\s*([MG])Hz", brand or "")
    if found:
        return int(float(found.group(1)) * (1e9 if found.group(2) == "G" else 1e6))
    return frequency.get("base") or frequency.get("max")


def _actual(cpu, frequency):
    megahertz = cpu.get("cpu MHz") or cpu.get("clock", "").replace("MHz", "") or cpu.get("cpu MHz dynamic")
    try:
        return int(float(megahertz) * 1e6)
    except (TypeError, ValueError):
        return frequency.get("current")


def _friendly(hertz):
    if hertz is None:
        return None
    return "%.4f GHz" % (hertz / 1e9) if hertz >= 1e9 else "%.4f MHz" % (hertz / 1e6)


def _cache(caches, level, kinds=("Unified", "Data")):
    for cache in caches:
        if cache["level"] == level and cache["type"] in kinds:
            return cache
    return {"size": None, "line": None, "ways": None}


def cpu_features(cpu, caches, frequency):
    """Amun's ``cpu_features``: flags, ``[hertz, 0]``, cache sizes in bytes."""
    advertised, actual = _advertised(_brand(cpu), frequency), _actual(cpu, frequency)
    return {
        "flags": flags(cpu),
        "hz_actual": None if actual is None else [actual, 0],
        "hz_actual_raw": None,
        "hz_advertised": None if advertised is None else [advertised, 0],
        "hz_advertised_raw": None,
        "l1_data_cache_size": _cache(caches, 1)["size"],
        "l1_instruction_cache_size": _cache(caches, 1, ("Instruction", "Unified"))["size"],
        "l2_cache_size": _cache(caches, 2)["size"],
        "l3_cache_size": _cache(caches, 3)["size"],
    }


def cpu_info(cpu, count, machine, caches, frequency):
    """Amun's ``cpu_info``: the rest of what py-cpuinfo said. On ARM family, model and stepping are architecture, part and revision."""
    name, bits = architecture(machine)
    level2 = _cache(caches, 2)
    return {
        "arch": name,
        "arch_string_raw": machine,
        "bits": bits,
        "brand_raw": _brand(cpu),
        "count": count,
        "cpuinfo_version": list(VERSION),
        "cpuinfo_version_string": ".".join(map(str, VERSION)),
        "family": number(cpu.get("cpu family") or cpu.get("CPU architecture")),
        "hz_actual_friendly": _friendly(_actual(cpu, frequency)),
        "hz_advertised_friendly": _friendly(_advertised(_brand(cpu), frequency)),
        "l2_cache_associativity": level2["ways"],
        "l2_cache_line_size": level2["line"],
        "model": number(cpu.get("model") or cpu.get("CPU part")),
        "stepping": number(cpu.get("stepping") or cpu.get("CPU revision")),
        "vendor_id_raw": _vendor(cpu),
    }


def cpu_type(cpu, count, machine):
    """Amun's ``cpu_type``: numpy.distutils' booleans, by vendor, family, model and brand."""
    found, brand = set(flags(cpu)), _brand(cpu) or ""
    vendor, family, model = _vendor(cpu), number(cpu.get("cpu family")), number(cpu.get("model"))
    intel, amd, bits = vendor == "GenuineIntel", vendor == "AuthenticAMD", architecture(machine)[1]
    result = {"has_" + name: flag in found for name, flag in FEATURES.items()}
    result["has_Altivec"] = "altivec" in found or "altivec" in brand
    result["has_f00f_bug"] = cpu.get("f00f_bug") == "yes"
    result["has_fdiv_bug"] = cpu.get("fdiv_bug") == "yes"
    for applies, names in ((intel, INTEL_NAMES), (amd, AMD_NAMES), (True, OTHER_NAMES)):
        for name, pattern in names.items():
            result["is_" + name] = applies and re.search(pattern, brand) is not None
    four = intel and (family == 15 or re.search(r"Pentium.*?\b(?:4|IV)\b", brand) is not None)
    result.update(
        {
            "is_32bit": bits == 32,
            "is_64bit": bits == 64,
            "is_AMD": amd,
            "is_AMD64": amd and family == 15,
            "is_AthlonK6": amd and re.match(r".*?AMD-K6", brand) is not None,
            "is_AthlonK6_2": amd and family == 5 and model in (8, 9, 13),
            "is_AthlonK6_3": amd and family == 5 and model == 9,
            "is_AthlonK7": amd and re.match(r".*?AMD-K7", brand) is not None,
            "is_Hammer": amd and family == 15,
            "is_Intel": intel,
            "is_Nocona": intel
            and bits == 64
            and family in (6, 15)
            and "pni" in found
            and "ssse3" not in found,
            "is_PentiumII": intel and re.search(r"Pentium.*?\bII\b", brand) is not None,
            "is_PentiumIII": intel and re.search(r"Pentium.*?\bIII\b", brand) is not None,
            "is_PentiumIV": four,
            "is_PentiumPro": intel and re.search(r"Pentium.*?\bPro", brand) is not None,
            "is_Prescott": four and "pni" in found,
            "is_i386": intel and family == 3,
            "is_i486": intel and family == 4,
            "is_i586": intel and family == 5,
            "is_i686": intel and family == 6,
            "is_singleCPU": count == 1,
            "nbits": str(bits),
            "ncpus": count,
            "not_impl": None,
            "try_call": None,
        }
    )
    return result
