# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154
#
# Machines that have nothing: a minimal Debian in a directory, entered by chroot
# in namespaces of its own. Sourced by bare.sh and packages.sh, after
# scripts/common.sh, with $suite, $kernel (a bzImage or nothing) and $refresh.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
debs=$PF_CACHE/bare/$suite.debs
image=$PF_CACHE/bare/$suite.tar
machines=$PF_BUILD/bare/$suite
inside=
trap '[ -z "$inside" ] || kill -KILL "$inside" 2>/dev/null; exit 143' TERM HUP INT

# in_namespace COMMAND...: with mounts and processes of its own, and whatever
# else $namespaces has. They end with it, and it ends with us.
in_namespace() {
	# shellcheck disable=SC2086 # a list of options
	setpriv --pdeathsig KILL unshare ${namespaces:-} --mount --propagation private --pid \
		--fork --kill-child "$@" &
	inside=$!
	local rc=0
	wait "$inside" || rc=$?
	inside=
	return "$rc"
}

# permitted DIR: what the machines need, tried in an empty directory
# shellcheck disable=SC2016 # for the bash inside
permitted() {
	mkdir -p "$1" &&
	in_namespace bash -euc '
		mount -t tmpfs bare "$1"
		mknod "$1/null" c 1 3
		echo >"$1/null"
		mkdir "$1/proc"
		mount -t proc proc "$1/proc"
		chroot / true' bash "$1"
}

# minimal: the minimal Debian, as a tar file in the cache
minimal() {
	local start key uri
	start=$(awk -F '\t' '$1 == "start" { print $2 }' "$PF_ROOT/scripts/packages")
	start=$(paste -s -d , <<<"$start")
	key="$start,sudo"
	if [ -z "$refresh" ] && [ -f "$image" ] && [ "$(cat "$image.key")" = "$key" ]; then
		return
	fi
	rm -rf "$image" "$image.key"
	mkdir -p "$debs"
	need_space "$PF_CACHE" 1500 "a minimal Debian and its packages"
	for uri in $("$PF_ROOT/kernel/fetch.sh" --mirrors); do
		echo "from $uri"
		# Said, because it takes the format from the end of the name.
		mmdebstrap --format=tar --variant=minbase --include="$key" --keyring="$keyring" \
			"$suite" "$image.new" "$uri" || continue
		tar -tf "$image.new" ./etc/os-release || return
		mv "$image.new" "$image"
		echo "$key" >"$image.key"
		return
	done
	rm -f "$image.new"
	return 1
}

# enter ROOT USER COMMAND: run in the machine's root, in a namespace
enter() {
	local root=$1 user=$2 cache node
	cache=$root$(awk -F : -v user="$user" '$1 == user { print $6 }' \
		"$root/etc/passwd")/.cache/peerfault
	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=755 dev "$root/dev"
	mkdir "$root/dev/shm" "$root/dev/pts"
	chmod 1777 "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	for node in null:3 zero:5 full:7 random:8 urandom:9; do
		mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
	done
	mknod -m 666 "$root/dev/tty" c 5 0
	ln -s /proc/self/fd "$root/dev/fd"
	for node in dl ccache; do
		mount --bind "$PF_CACHE/$node" "$cache/$node"
	done
	mount --bind "$debs" "$root/var/cache/apt/archives"
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb chroot "$root" su -l "$user" -c "$3"
}
export -f enter
export PF_CACHE debs

# in_machine ROOT USER COMMAND
in_machine() {
	in_namespace bash -euc 'enter "$@"' bash "$@" </dev/null
}

# machine ROOT USER: the minimal Debian there, with that user
machine() {
	local root=$1 cache=/root/.cache/peerfault
	mkdir -p "$root"
	tar -C "$root" -xpf "$image"
	cp /etc/resolv.conf /etc/hosts "$root/etc/"
	# This host's way to its archive, if it has a special one
	apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' \
		>"$root/etc/apt/apt.conf.d/90host" || :
	# What is thrown away need not be on the disk.
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
	if [ "$2" != root ]; then
		cache=/home/$2/.cache/peerfault
		chroot "$root" useradd -m -s /bin/bash "$2"
		echo "$2 ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$2"
	fi
	mkdir -p "$root$cache/dl" "$root$cache/ccache" "$root/srv"
	git -C "$PF_ROOT" bundle create -q "$root/srv/peerfault" HEAD
	[ -z "$kernel" ] || cp "$kernel" "$root/srv/bzImage"
	chroot "$root" chown -R "$2" "${cache%/*}"
}

# prepare MIB: all that the machines need is there, and none of an earlier run
prepare() {
	local said
	mkdir -p "$PF_LOG" "$PF_CACHE/dl" "$PF_CACHE/ccache" "$debs"
	"$PF_ROOT/scripts/deps.sh" bare >&2
	said=$(permitted "$PF_BUILD/bare/try" 2>&1) || die "$E_CHROOT" \
		"chroot or mount is not permitted here: ${said:-no reason given}"
	# Other clones use the same packages.
	exec 9>"$PF_CACHE/bare/$suite.lock"
	flock 9
	rm -rf --one-file-system "$machines"
	need_space "$PF_BUILD" "$1" "the machines"
	[ -z "$(git -C "$PF_ROOT" status --porcelain)" ] ||
		note "the machines clone HEAD: what is not committed is not tested"
}
