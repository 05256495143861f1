#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The error paths of kernel/*.sh, each with its exact exit code, on a tiny fake
# kernel tree: seconds, and no network. KTAP on stdout.
# shellcheck disable=SC2016 # `sh -c` expands those
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clone=$work/clone
export PEERFAULT_CACHE=$work/cache GIT_CONFIG_GLOBAL=/dev/null
unset KERNEL FORCE VERSION MAKEFLAGS MFLAGS MAKELEVEL GIT_CONFIG_COUNT
export KERNEL_SRC=$work/src

# A fake kernel: its Makefile knows just the targets that build.sh calls, and
# its `olddefconfig` drops CONFIG_LOST as Kconfig drops an option whose
# dependencies are not met.
fake_kernel() {
	mkdir -p "$1/mm" "$1/scripts/kconfig"
	cp "$PF_ROOT/kernel/selftest/Makefile.fake" "$1/Makefile"
	cp "$PF_ROOT/kernel/selftest/merge_config.fake" \
		"$1/scripts/kconfig/merge_config.sh"
	chmod +x "$1/scripts/kconfig/merge_config.sh"
	echo 'mainmenu "fake"' >"$1/Kconfig"
	printf '%s\n' '*.rej' '# Debian packaging: ignore everything' '/*' >"$1/.gitignore"
	seq 20 >"$1/mm/memory.c"
}

# fresh: a clone with one overlay file and one patch, not laid yet
fresh() {
	rm -rf "$clone"
	mkdir -p "$clone/kernel/files/lib" "$clone/kernel/patches" "$clone/kernel/configs"
	cp -R "$PF_ROOT/scripts" "$clone/"
	cp "$PF_ROOT"/kernel/*.sh "$PF_ROOT"/kernel/*.env "$PF_ROOT"/kernel/*.awk "$clone/kernel/"
	echo 'CONFIG_KEPT=y' >"$clone/kernel/configs/base.config"
	echo '# nothing' >"$clone/kernel/configs/peerfault.config"
	echo 'int x;' >"$clone/kernel/files/lib/new.c"
	cp "$PF_ROOT/kernel/selftest/0001-mm-change-line-10.patch" "$clone/kernel/patches/"
}

k() {
	"$clone/kernel/$1.sh" "${@:2}" >"$work/out" 2>&1
}

# expect CODE TEXT COMMAND...: that exit code, and that text in the output
expect() {
	local want=$1 text=$2 rc=0
	shift 2
	"$@" || rc=$?
	if [ "$rc" != "$want" ] || [[ $(<"$work/out") != *"$text"* ]]; then
		echo "# '$*' gave $rc, not $want; or did not say: $text"
		sed 's/^/# /' "$work/out"
		return 1
	fi
}

same_kernel_dir() {
	diff -r "$clone/kernel" "$work/before" >"$work/out" 2>&1
}

t_debian_sources() {
	local got
	got=$(cd "$PF_ROOT/kernel/selftest" &&
	      awk -v suite=bookworm -f ../debian-uris.awk apt.sources apt.list)
	[ "$got" = "$(printf '%s\n' http://one.example/debian http://two.example/debian \
		http://four.example/debian)" ] || { echo "# got: $got"; return 1; }
}

t_bad_source() {
	fresh
	KERNEL_SRC=$work/nowhere expect "$E_SRC" "does not exist" k tree || return
	mkdir -p "$work/empty"
	KERNEL_SRC=$work/empty expect "$E_SRC" "not a kernel tree" k tree || return
	echo text >"$work/some.txt"
	KERNEL_SRC=$work/some.txt expect "$E_SRC" "not a tarball" k tree || return
	echo text >"$work/bad.tar.xz"
	KERNEL_SRC=$work/bad.tar.xz expect "$E_SRC" "unpack failed" k tree
}

t_corrupt_download() {
	fresh
	. "$clone/kernel/base.env"
	local deb=$PEERFAULT_CACHE/dl/${BASE_PACKAGE}_${BASE_VERSION}_all.deb
	mkdir -p "$PEERFAULT_CACHE/dl"
	echo damaged >"$deb"
	KERNEL_SRC='' expect "$E_CORRUPT" "sha256" k tree || return
	[ ! -e "$deb" ]
}

t_no_space() {
	fresh
	expect "$E_SPACE" "MiB are free" sh -c '
		cd "$1" && printf "%s\n" "set -eu" ". scripts/common.sh" \
			"need_space . 99999999 everything" >t.sh
		sh t.sh >"$2" 2>&1' sh "$clone" "$work/out"
}

t_no_sudo() {
	fresh
	printf 'run\tno-such-package-here\n' >"$clone/scripts/packages"
	mkdir -p "$work/bin"
	for tool in sh dirname awk dpkg-query mkdir cat; do
		ln -sf "$(command -v "$tool")" "$work/bin/$tool"
	done
	printf '#!/bin/sh\necho 1000\n' >"$work/bin/id"
	chmod +x "$work/bin/id"
	expect "$E_PACKAGE" "no-such-package-here" env PATH="$work/bin" \
		sh -c '"$1/scripts/deps.sh" run >"$2" 2>&1' sh "$clone" "$work/out"
}

t_tree() {
	fresh
	expect 0 "1 patches, 1 new files" k tree || return
	[ "$(sed -n 10p "$clone/build/linux/mm/memory.c")" = ten ] || return
	# The second time there is nothing to do, and nothing is said.
	expect 0 "" k tree || return
	[ ! -s "$work/out" ]
}

t_same_commits() {
	t_tree || return
	local first
	first=$(git -C "$clone/build/linux" rev-parse HEAD)
	t_tree || return
	[ "$first" = "$(git -C "$clone/build/linux" rev-parse HEAD)" ]
}

t_tarball() {
	fresh
	tar -C "$work" -cJf "$work/fake.tar.xz" src
	KERNEL_SRC=$work/fake.tar.xz expect 0 "1 patches, 1 new files" k tree
}

t_shadow() {
	fresh
	mkdir -p "$clone/kernel/files/mm"
	echo mine >"$clone/kernel/files/mm/memory.c"
	expect "$E_PATCH" "mm/memory.c" k tree
}

t_patch_fails() {
	fresh
	sed -i 's/^-10$/-11/' "$clone/kernel/patches/"*.patch
	expect "$E_PATCH" "0001-mm-change-line-10.patch does not apply" k tree || return
	[ -d "$clone/build/linux/.git/rebase-apply" ] || return
	# A second run must not throw away what the developer is doing there.
	expect "$E_DIRTY" "in the middle of" k tree
}

t_no_fuzz() {
	fresh
	# Context that patch(1) would accept with fuzz
	sed -i 's/^ 7$/ seven/' "$clone/kernel/patches/"*.patch
	expect "$E_PATCH" "does not apply" k tree
}

t_refresh_noop() {
	t_tree || return
	rm -rf "$work/before"
	cp -R "$clone/kernel" "$work/before"
	expect 0 "" k refresh || return
	same_kernel_dir
}

t_refresh_files() {
	t_tree || return
	echo 'int y;' >>"$clone/build/linux/lib/new.c"
	echo 'int z;' >"$clone/build/linux/lib/newer.c"
	expect 0 "" k refresh || return
	grep -q 'int y' "$clone/kernel/files/lib/new.c" || return
	grep -q 'int z' "$clone/kernel/files/lib/newer.c" || return
	[ -z "$(git -C "$clone/build/linux" status --porcelain)" ] || return
	rm "$clone/build/linux/lib/newer.c"
	expect 0 "" k refresh || return
	[ ! -e "$clone/kernel/files/lib/newer.c" ]
}

t_refresh_patch() {
	t_tree || return
	sed -i 's/^1$/one/' "$clone/build/linux/mm/memory.c"
	expect "$E_DIRTY" "mm/memory.c" k refresh || return
	git -C "$clone/build/linux" -c user.name=A -c user.email=a@b.example \
		commit -q -a -m "mm: change line 1"
	expect 0 "" k refresh || return
	[ -e "$clone/kernel/patches/0002-mm-change-line-1.patch" ]
}

t_work_is_kept() {
	t_tree || return
	sed -i 's/^1$/one/' "$clone/build/linux/mm/memory.c"
	echo 'int other;' >"$clone/kernel/files/lib/new.c"
	expect "$E_DIRTY" "has work" k tree || return
	grep -qx one "$clone/build/linux/mm/memory.c" || return
	expect "$E_DIRTY" "kernel/ has changed" k refresh || return
	expect "$E_DIRTY" "has work" k distclean || return
	# FORCE lays kernel/ and still keeps a copy.
	FORCE=1 expect 0 "kept as refs/peerfault/lost" k tree || return
	grep -qx 1 "$clone/build/linux/mm/memory.c" || return
	git -C "$clone/build/linux" grep -q '^one$' \
		"$(git -C "$clone/build/linux" for-each-ref --format '%(refname)' \
			refs/peerfault/lost)" -- mm/memory.c
}

t_commits_are_kept() {
	t_tree || return
	echo more >>"$clone/build/linux/mm/memory.c"
	git -C "$clone/build/linux" -c user.name=A -c user.email=a@b.example \
		commit -q -a -m "mm: more"
	echo 'int other;' >"$clone/kernel/files/lib/new.c"
	expect "$E_DIRTY" "has work" k tree
}

# with_series: fresh, and two series: the patch, then the new file, which the
# last mail changes
with_series() {
	fresh
	local series=$clone/kernel/series
	mkdir -p "$series/1-patch" "$series/2-file"
	printf '%s\n' 'int x;' 'int y;' >"$clone/kernel/files/lib/new.c"
	echo "mm: One patch" | tee "$series/1-patch/cover" >"$series/2-file/cover"
	echo "mm: change line 10" >"$series/1-patch/order"
	printf '%s\n' "lib: Add x" "	lib" "lib: Add y" "	y.diff" >"$series/2-file/order"
	echo "lib: Add x" >"$series/2-file/x.msg"
	echo "lib: Add y" >"$series/2-file/y.msg"
	printf '%s\n' 'diff --git a/lib/new.c b/lib/new.c' '--- a/lib/new.c' \
		'+++ b/lib/new.c' '@@ -1 +1,2 @@' ' int x;' '+int y;' >"$series/2-file/y.diff"
	export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=A
	export GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=a@b.example
}

t_series() {
	with_series
	expect 0 "3 mails" k series || return
	local out=$clone/build/series
	grep -q '^Signed-off-by: A <a@b.example>' "$out/2-file/0001-lib-Add-x.patch" || return
	grep -q '^+int x' "$out/2-file/0001-lib-Add-x.patch" || return
	! grep -q '^+int y' "$out/2-file/0001-lib-Add-x.patch" || return
	grep -q '^On top of: 1-patch$' "$out/2-file/0000-cover-letter.patch" || return
	! grep -q '^On top of' "$out/1-patch/0000-cover-letter.patch"
}

t_series_wrong() {
	with_series
	local series=$clone/kernel/series
	echo "mm: change line 11" >>"$series/1-patch/order"
	expect "$E_USAGE" 'no patch and no *.msg is "mm: change line 11"' k series || return
	with_series
	echo "	lib" >>"$series/2-file/order"
	expect "$E_USAGE" "wants lib, which is not" k series || return
	with_series
	rm -r "$series/1-patch"
	expect "$E_USAGE" "no kernel/series/*/order has: mm: change line 10" k series || return
	with_series
	echo 'int z;' >"$clone/kernel/files/lib/other.c"
	sed -i 's/^\tlib$/\tlib\/new.c/' "$series/2-file/order"
	expect "$E_USAGE" "brings: lib/other.c" k series || return
	with_series
	sed -i 's/^+int y/+int z/' "$series/2-file/y.diff"
	expect "$E_PATCH" "y.diff does not apply" k series || return
	with_series
	sed -i '/^lib: Add y/,$d' "$series/2-file/order"
	expect "$E_PATCH" "do not give the tree" k series || return
	with_series
	GIT_CONFIG_VALUE_0='' expect "$E_USAGE" "user.name" k series
}

t_build() {
	fresh
	expect 0 "kernel-normal: done" k build || return
	[ -f "$clone/build/kernel-normal/arch/x86/boot/bzImage" ] || return
	# Nothing changed: nothing runs, not even make.
	expect 0 "" k build || return
	[ ! -s "$work/out" ] || return
	echo 'int y;' >>"$clone/build/linux/lib/new.c"
	expect 0 "kernel-normal: done" k build
}

t_config_lost() {
	fresh
	echo 'CONFIG_LOST=y' >>"$clone/kernel/configs/base.config"
	expect "$E_CONFIG" "CONFIG_LOST=y" k build || return
	fresh
	# Off in the fragment, on in the result: lost just the same
	echo '# CONFIG_FORCED is not set' >>"$clone/kernel/configs/base.config"
	expect "$E_CONFIG" "CONFIG_FORCED is not set" k build
}

t_build_fails() {
	fresh
	echo '#error broken' >"$clone/kernel/files/lib/new.c"
	expect "$E_BUILD" "#error broken" k build || return
	grep -qF build/log/kernel-normal.log "$work/out" || return
	# and it does not count as built the next time
	expect "$E_BUILD" "#error broken" k build
}

t_usage() {
	fresh
	KERNEL=nonsense expect "$E_USAGE" "nonsense" k build
}

fake_kernel "$KERNEL_SRC"
tests=$(declare -F | sed -n 's/^declare -f t_//p')
echo "KTAP version 1"
echo "1..$(echo "$tests" | wc -l)"
n=0 failed=0
for t in $tests; do
	n=$((n + 1))
	if "t_$t"; then
		echo "ok $n kernel_$t"
	else
		echo "not ok $n kernel_$t"
		failed=$((failed + 1))
	fi
done
[ "$failed" -eq 0 ] || exit "$E_FAIL"
