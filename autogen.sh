#!/bin/sh
# Makes ./configure. `./autogen.sh --deps` installs what building and testing needs (Debian, Ubuntu), or says what that is (others).
set -eu
cd "$(dirname "$0")"

# Without the first list there is no build, without the second there are no unit tests; the third is for `make demo`, the tests on
# the wire, `make bench` and CI.
build="gcc libc6-dev make autoconf automake pkg-config libconfig-dev libxxhash-dev libboost-context-dev liburing-dev libseccomp-dev libjansson-dev"
check="check python3"
tools="binutils curl wrk gnuplot-nox graphviz nghttp2-client nginx libnginx-mod-stream haproxy varnish clang-format cppcheck procps util-linux valgrind mandoc groff man-db \
clang libclang-rt-dev gcovr slowhttptest iproute2 openssl apache2 prometheus keepalived rsyslog logrotate chromium zsh fish dpkg-dev debhelper lintian"
fedora="gcc make autoconf automake pkgconf-pkg-config libconfig-devel xxhash-devel boost-devel boost-static liburing-devel libseccomp-devel jansson-devel check-devel python3 binutils curl wrk gnuplot graphviz nghttp2 nginx haproxy \
varnish clang-tools-extra cppcheck procps-ng util-linux valgrind valgrind-devel mandoc groff man-db libasan libubsan libtsan clang compiler-rt gcovr slowhttptest iproute openssl httpd mod_ssl golang-github-prometheus keepalived rsyslog logrotate chromium zsh fish"

usage()
{
    echo "usage: ./autogen.sh          makes ./configure"
    echo "       ./autogen.sh --deps   installs the packages that building and testing needs (Debian and Ubuntu)"
}

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# The packages nginx, haproxy, varnish and some more start and enable a service of that name. Here they are tools for tests: while they are
# installed a policy forbids starting, and what was not there before is disabled, so that it does not start at the next boot either.
policy=/usr/sbin/policy-rc.d
policy_is_ours=no

allow_services()
{
    [ "$policy_is_ours" = no ] || as_root rm -f "$policy"
    policy_is_ours=no
}

forbid_services()
{
    [ ! -e "$policy" ] || return 0 # somebody has a policy already
    trap allow_services EXIT
    trap 'exit 1' HUP INT TERM
    policy_is_ours=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

is_installed()
{
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

is_available()
{
    apt-cache policy "$1" | grep -q 'Candidate: [^(]'
}

apt_deps()
{
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "autogen.sh: neither root nor sudo. As root: apt-get install $build $check $tools" >&2
        exit 1
    fi
    new_services=
    for service in nginx haproxy varnish apache2 prometheus keepalived rsyslog; do
        is_installed "$service" || new_services="$new_services $service"
    done

    as_root apt-get update
    wanted="$build $check"
    for package in $tools; do
        if is_available "$package"; then
            wanted="$wanted $package"
        else
            echo "autogen.sh: no package $package here; what needs it will be skipped" >&2
        fi
    done

    forbid_services
    # shellcheck disable=SC2086 # a list
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $wanted
    allow_services
    if command -v systemctl >/dev/null; then
        for service in $new_services; do
            as_root systemctl disable --quiet "$service" 2>/dev/null || true
        done
    fi
    echo "autogen.sh: all there. Next: ./autogen.sh && ./configure && make"
}

case "${1-}" in
--deps)
    if command -v apt-get >/dev/null; then
        apt_deps
    else
        echo "This is neither Debian nor Ubuntu: please install these yourself. On Fedora:"
        echo
        echo "  sudo dnf install $fedora"
    fi
    exit 0
    ;;
-h | --help)
    usage
    exit 0
    ;;
'') ;;
*)
    usage >&2
    exit 2
    ;;
esac

missing=
for tool in autoconf autoreconf automake aclocal pkg-config; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "autogen.sh: missing:$missing. To install what the build needs: ./autogen.sh --deps" >&2
    exit 1
fi
mkdir -p build-aux
autoreconf -fi
echo "autogen.sh: made ./configure. Next: ./configure && make"
