# Installs native packages: "sh native.sh MANAGER"; their names lie beside it, one a line, as the package manager writes them.
# Where a name or a version is not known it says what there is instead, in lines that begin with "djed-name:" or "djed-version:".
set -u
here=${0%/*}
manager=$1
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

# Names near a wanted one: about as long, and with the same beginning or end. Who reads them ranks them.
near() {
    wanted=${1%%[=~:]*}
    start=${wanted%"${wanted#??}"} end=${wanted#"${wanted%???}"} length=${#wanted}
    while read -r name _; do
        case $name in
        "$start"* | *"$end") ;;
        *) continue ;;
        esac
        difference=$((${#name} - length))
        if [ "$difference" -ge -3 ] && [ "$difference" -le 3 ]; then echo "djed-name: $name"; fi
    done
}

available() {
    case $manager in
    apt) apt-cache pkgnames ;;
    apk) apk search -q ;;
    microdnf) microdnf repoquery --available --qf '%{name}' 2>/dev/null ;;
    *)
        "$manager" -q list available 2>/dev/null | while read -r name _; do echo "${name%.*}"; done
        ;;
    esac
}

versions() {
    case $manager in
    apt) apt-cache madison -- "$1" | while read -r name _ version _; do echo "djed-version: $name $version"; done ;;
    apk) apk policy "$1" | while read -r version rest; do case $version in [0-9]*:) echo "djed-version: $1 ${version%:}" ;; esac; done ;;
    microdnf) ;;
    *)
        "$manager" -q --showduplicates list available "$1" 2>/dev/null |
            while read -r name version _; do case $name in "$1".*) echo "djed-version: $1 $version" ;; esac; done
        ;;
    esac
}

known=
suggest() {
    while IFS= read -r name; do
        case $name in *[=~]*) versions "${name%%[=~]*}" ;; esac
        available | near "$name"
    done <"$here/names" | sort -u | head -n 20000
}

# What a package starts has no place in an image: this is how Debian's packages are told.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    if [ ! -e "$policy" ] && [ ! -L "$policy" ] && [ -d /usr/sbin ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
}

install_apt() {
    set -- -q -o Dpkg::Use-Pty=0 "$@"
    # Where only one user is mapped, apt cannot become another to fetch.
    if [ -r /proc/self/uid_map ]; then
        read -r _ _ users </proc/self/uid_map
        if [ "$users" = 1 ]; then set -- -o APT::Sandbox::User=root "$@"; fi
    fi
    apt-get "$@" -o APT::Update::Error-Mode=any -o Acquire::Retries=2 update || return
    known=yes
    forbid_services
    while IFS= read -r name; do set -- "$@" "$name"; done <"$here/names"
    apt-get -o Acquire::Retries=2 -o Dpkg::Options::=--force-confold -y --no-install-recommends --allow-downgrades install "$@" || return
    apt-get clean
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt/* /var/log/dpkg.log /var/cache/ldconfig/aux-cache
}

install_rpm() {
    known=yes
    while IFS= read -r name; do set -- "$@" "$name"; done <"$here/names"
    case $manager in
    dnf) dnf -y --setopt=install_weak_deps=False --setopt=strict=True install "$@" || return ;;
    microdnf) microdnf -y --setopt=install_weak_deps=0 install "$@" || return ;;
    *) yum -y --setopt=skip_missing_names_on_install=False install "$@" || return ;;
    esac
    "$manager" clean all
    rm -rf /var/cache/dnf /var/cache/yum /var/lib/dnf/repos /var/log/dnf* /var/log/yum* /var/log/hawkey.log
}

install_apk() {
    while IFS= read -r name; do set -- "$@" "$name"; done <"$here/names"
    apk update || return
    known=yes
    apk add "$@" || return
    rm -rf /var/cache/apk/* /etc/apk/cache/*
}

case $manager in
apt) install_apt ;;
apk) install_apk ;;
dnf | microdnf | yum) install_rpm ;;
*)
    echo "djed: error: refused: there is no package manager $manager" >&2
    exit 2
    ;;
esac
code=$?
if [ "$code" -ne 0 ]; then
    if [ "$known" ]; then suggest; fi
    exit "$code"
fi
