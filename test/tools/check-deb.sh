#!/bin/bash
# A Debian package as its user meets it: check-deb.sh PACKAGE. lintian finds no error; and on a system of its own, which is this one with a layer over it that is
# thrown away, it installs, starts nothing, keeps a configuration that was edited, leaves what runs, and is purged without a trace.
set -eu
package=$(realpath "$1")

if [ "${2-}" = inside ]; then
    layer=$3
    mount -t tmpfs tmpfs "$layer"
    mkdir "$layer/upper" "$layer/work" "$layer/root"
    if ! mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$layer/root" 2>"$layer/why"; then
        echo "no layer over this system: $(cat "$layer/why"); installing is skipped"
        exit 0
    fi
    root=$layer/root
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    cp "$package" "$root/tmp/tplb.deb"
    ip link set lo up
    exec chroot "$root" bash -eu -s <<'END'
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /

fail()
{
    echo "$*"
    exit 1
}

[ ! -e /etc/tplb.conf ] && ! getent passwd tplb >/dev/null || fail "tplb is installed here: what its package does cannot be told apart"
dpkg -i /tmp/tplb.deb >/tmp/out 2>&1 || fail "dpkg -i fails: $(tail -n 5 /tmp/out)"
getent passwd tplb >/dev/null || fail "no user tplb"
[ ! -e /etc/systemd/system/multi-user.target.wants/tplb.service ] || fail "the service is enabled by itself"
tplb -t >/tmp/out 2>&1 || fail "the package's configuration is not valid: $(cat /tmp/out)"
for page in tplb.8 tplb-origin.8 tplb-bench.1 tplb-load.1 tplbctl.1 tplb.conf.5 tplb-metrics.7; do
    [ -s "/usr/share/man/man${page##*.}/$page.gz" ] || fail "no page $page"
done

mkdir /run/tplb
tplb >/tmp/log 2>&1 &
pid=$!
for ((i = 0; i < 200; i++)); do
    ! tplbctl show status >/tmp/status 2>&1 || break
    sleep 0.05
done
grep -q '^state running' /tmp/status || fail "tplb does not run: $(cat /tmp/log)"
echo "// edited" >>/etc/tplb.conf
dpkg -i /tmp/tplb.deb >/tmp/out 2>&1 || fail "dpkg -i fails the second time: $(tail -n 5 /tmp/out)"
[ "$(tail -n 1 /etc/tplb.conf)" = "// edited" ] || fail "an upgrade of the package does not keep the edited configuration"
tplbctl show status >/tmp/now || fail "an upgrade of the package does not leave what runs"
[ "$(grep '^pid' /tmp/now)" = "$(grep '^pid' /tmp/status)" ] || fail "an upgrade of the package starts it anew"
kill $pid
wait $pid || fail "tplb ends with $?: $(cat /tmp/log)"

touch /var/log/tplb/access.log
dpkg -r tplb >/tmp/out 2>&1 || fail "dpkg -r fails: $(tail -n 5 /tmp/out)"
[ -e /etc/tplb.conf ] && [ -e /var/log/tplb/access.log ] || fail "what is removed and not purged loses its configuration or its logs"
dpkg -P tplb >/tmp/out 2>&1 || fail "dpkg -P fails: $(tail -n 5 /tmp/out)"
for path in /etc/tplb* /etc/logrotate.d/tplb /var/log/tplb /usr/bin/tplb* /usr/share/doc/tplb /usr/share/tplb /lib/systemd/system/tplb*; do
    [ ! -e "$path" ] || fail "a purge leaves $path"
done
! getent passwd tplb >/dev/null || fail "a purge leaves the user tplb"
echo "installed, upgraded, removed and purged"
END
fi

if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error "$package"
    echo "lintian finds no error"
else
    echo "lintian is missing: it is not asked"
fi
layer=$(mktemp -d "${TMPDIR:-/tmp}/tplb-layer.XXXXXX")
trap 'rmdir "$layer"' EXIT
if ! unshare -mnp --fork true 2>/dev/null; then
    echo "no namespaces of one's own here (it takes root): installing is skipped"
    exit 0
fi
unshare -mnp --fork bash "$0" "$package" inside "$layer"
