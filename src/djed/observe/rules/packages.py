"""What everybody learns the hard way: which package has that header, library or module. Names on Debian 12 and of Python packages."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["HEADERS", "LIBRARIES", "MODULES", "REMOVED", "library_hint"]

HEADERS: Mapping[str, str] = {
    "Python.h": "python3-dev", "openssl/": "libssl-dev", "openssl": "libssl-dev", "ffi.h": "libffi-dev", "libffi": "libffi-dev",
    "libxml/": "libxml2-dev", "libxml-2.0": "libxml2-dev", "libxslt/": "libxslt1-dev", "xml2-config": "libxml2-dev", "zlib.h": "zlib1g-dev",
    "bzlib.h": "libbz2-dev", "lzma.h": "liblzma-dev", "jpeglib.h": "libjpeg-dev", "png.h": "libpng-dev", "tiff.h": "libtiff-dev",
    "freetype2": "libfreetype-dev", "ft2build.h": "libfreetype-dev", "libpq-fe.h": "libpq-dev", "pg_config": "libpq-dev",
    "mysql.h": "default-libmysqlclient-dev", "mysql_config": "default-libmysqlclient-dev", "mysqlclient": "default-libmysqlclient-dev",
    "sqlite3.h": "libsqlite3-dev", "curl/": "libcurl4-openssl-dev", "curl-config": "libcurl4-openssl-dev", "yaml.h": "libyaml-dev",
    "gmp.h": "libgmp-dev", "mpfr.h": "libmpfr-dev", "hdf5.h": "libhdf5-dev", "netcdf.h": "libnetcdf-dev", "gdal.h": "libgdal-dev",
    "gdal-config": "libgdal-dev", "geos_c.h": "libgeos-dev", "proj.h": "libproj-dev", "mpi.h": "libopenmpi-dev", "cblas.h": "libopenblas-dev",
    "lapacke.h": "liblapacke-dev", "fftw3.h": "libfftw3-dev", "boost/": "libboost-dev", "Eigen/": "libeigen3-dev", "ldap.h": "libldap2-dev",
    "lber.h": "libldap2-dev", "sasl/": "libsasl2-dev", "krb5.h": "libkrb5-dev", "gssapi/": "libkrb5-dev", "portaudio.h": "portaudio19-dev",
    "sndfile.h": "libsndfile1-dev", "usb.h": "libusb-dev", "libusb.h": "libusb-1.0-0-dev", "cairo.h": "libcairo2-dev", "cairo": "libcairo2-dev",
    "glib-2.0": "libglib2.0-dev", "gtk/": "libgtk-3-dev", "X11/": "libx11-dev", "GL/": "libgl-dev", "snappy-c.h": "libsnappy-dev",
    "zmq.h": "libzmq3-dev", "uuid/": "uuid-dev", "magic.h": "libmagic-dev", "numpy/": "the Python package numpy, needed by the build itself",
    "cuda.h": "nvidia-cuda-toolkit", "cuda_runtime.h": "nvidia-cuda-toolkit", "sys/": "libc6-dev", "stdio.h": "libc6-dev", "linux/": "linux-libc-dev",
}  # fmt: skip
"""Debian package by header, folder of headers (with a slash), pkg-config module or config tool."""

LIBRARIES: Mapping[str, str] = {
    "libGL": "libgl1", "libgomp": "libgomp1", "libgthread-2.0": "libglib2.0-0", "libglib-2.0": "libglib2.0-0", "libSM": "libsm6", "libXext": "libxext6",
    "libXrender": "libxrender1", "libX11": "libx11-6", "libxcb": "libxcb1", "libstdc++": "libstdc++6", "libgfortran": "libgfortran5",
    "libopenblas": "libopenblas0", "libblas": "libblas3", "liblapack": "liblapack3", "libssl": "libssl3", "libcrypto": "libssl3", "libffi": "libffi8",
    "libpq": "libpq5", "libmysqlclient": "default-libmysqlclient-dev", "libmariadb": "libmariadb3", "libsqlite3": "libsqlite3-0", "libxml2": "libxml2",
    "libxslt": "libxslt1.1", "libsndfile": "libsndfile1", "libportaudio": "libportaudio2", "libmagic": "libmagic1", "libusb-1.0": "libusb-1.0-0",
    "libmpi": "libopenmpi3", "libhdf5": "libhdf5-103-1", "libnetcdf": "libnetcdf19", "libgdal": "libgdal32", "libgeos_c": "libgeos-c1v5", "libnuma": "libnuma1",
    "libcurl": "libcurl4", "libz": "zlib1g", "libbz2": "libbz2-1.0", "liblzma": "liblzma5", "libatlas": "libatlas3-base", "libtbb": "libtbb12",
    "libnsl": "libnsl2", "libcrypt": "libcrypt1", "libquadmath": "libquadmath0", "libgcc_s": "libgcc-s1", "libexpat": "libexpat1",
}  # fmt: skip
"""Debian package by the stem of a shared library."""

MODULES: Mapping[str, str] = {
    "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "skimage": "scikit-image", "PIL": "pillow", "yaml": "pyyaml", "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil", "attr": "attrs", "Crypto": "pycryptodome", "git": "gitpython", "serial": "pyserial", "dotenv": "python-dotenv",
    "jwt": "pyjwt", "MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary", "zmq": "pyzmq", "usb": "pyusb", "OpenSSL": "pyopenssl", "docx": "python-docx",
    "fitz": "pymupdf", "magic": "python-magic", "slugify": "python-slugify", "pkg_resources": "setuptools<81", "setuptools": "setuptools", "wx": "wxpython",
    "gi": "pygobject", "ruamel": "ruamel.yaml", "win32api": "pywin32", "faiss": "faiss-cpu", "umap": "umap-learn", "igraph": "igraph", "mpi4py": "mpi4py",
}  # fmt: skip
"""Python package by top-level module, where the two names differ."""

REMOVED: Mapping[str, tuple[str, str | None]] = {
    "distutils": ("3.12", "setuptools"), "imp": ("3.12", None), "asynchat": ("3.12", None), "asyncore": ("3.12", None), "smtpd": ("3.12", None),
    "cgi": ("3.13", "legacy-cgi"), "cgitb": ("3.13", None), "crypt": ("3.13", None), "imghdr": ("3.13", None), "sndhdr": ("3.13", None),
    "telnetlib": ("3.13", None), "pipes": ("3.13", None), "nntplib": ("3.13", None), "audioop": ("3.13", "audioop-lts"), "uu": ("3.13", None),
    "xdrlib": ("3.13", None), "chunk": ("3.13", None), "aifc": ("3.13", None), "msilib": ("3.13", None), "lib2to3": ("3.13", None),
}  # fmt: skip
"""Modules that left the standard library: since which Python, and the package that brings them back."""

_CUDA = (
    "libcuda",
    "libcudart",
    "libcublas",
    "libcudnn",
    "libcufft",
    "libcusparse",
    "libcusolver",
    "libnccl",
    "libnvrtc",
    "libcupti",
    "libnvidia",
)


def library_hint(library: str) -> str | None:
    """Where a shared library comes from, as a sentence, if that is known."""
    stem = library.rpartition("/")[2].split(".so")[0]
    if stem == "libcuda" or stem.startswith("libnvidia"):
        return "It belongs to the NVIDIA driver: run on a node with a GPU and its driver, and ask for a GPU."
    if stem.startswith(_CUDA):
        return "It belongs to CUDA: ask for the CUDA packages of your framework, or for a build of it without CUDA."
    if stem.startswith("libpython"):
        return "It belongs to a Python that is not this one: the package was built for another Python."
    native = LIBRARIES.get(stem)
    return f"On Debian and Ubuntu the package {native} has it." if native else None
