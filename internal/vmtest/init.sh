#!/bin/busybox sh
# PID 1 of the machine that tests run in: it makes of an initramfs what they find in a container, runs what /plan says, and
# turns the machine off. The kernel's messages go to the first serial line; the second has the events of the tests alone.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o mode=620,ptmxmode=666 pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
echo '+pids +memory +cpu' >/sys/fs/cgroup/cgroup.subtree_control
ln -s /proc/self/fd /dev/fd
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "/dev/${n#*:}"; done
chmod 1777 /tmp /var/tmp
echo 0 >/proc/sys/fs/protected_hardlinks # nobody links the tests' binaries, which are root's
ip link set lo up
hostname machine
stty -F /dev/ttyS1 raw -echo
export PATH=/usr/local/bin:/bin:/sbin:/usr/bin:/usr/sbin HOME=/tmp TMPDIR=/tmp CI=true SIDECAR_INIT_TOOLS=/tools

# tests USER PACKAGE BINARY [ARGUMENT...]
tests() {
	user=$1 package=$2 binary=$3
	shift 3
	cd "/src/$package" || return
	su -s /bin/sh -c 'exec "$0" "$@"' -- "$user" "/tests/$binary" -test.v=test2json "$@" </dev/null 2>&1 |
		/tools/test2json -t -p "$series $user $package" # as a parent it would have them ignore SIGINT
}

series=$(uname -r | grep -o '^[0-9]*\.[0-9]*')
. /plan >/dev/ttyS1 2>&1
echo "end of the plan" >/dev/ttyS1
poweroff -f
