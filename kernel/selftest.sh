#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The error paths of kernel/*.sh, each with its exact exit code, on a tiny fake
# kernel tree: seconds, and no network. KTAP on stdout.
# shellcheck disable=SC2016 # `sh -c` expands those
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clone=$work/clone
export PEERFAULT_CACHE=$work/cache GIT_CONFIG_GLOBAL=/dev/null
unset KERNEL KCONFIG FORCE VERSION SIGNOFF TRAILERS COVER_NOTE
unset MAKEFLAGS MFLAGS MAKELEVEL GIT_CONFIG_COUNT
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

# fresh: a clone with two series, not laid yet: one has a patch; of the other the
# first patch adds the only file of kernel/files, and the second one edits it
fresh() {
	rm -rf "$clone"
	mkdir -p "$clone/kernel/files/lib" "$clone/kernel/configs"
	cp -R "$PF_ROOT/scripts" "$clone/"
	cp "$PF_ROOT"/kernel/*.sh "$PF_ROOT"/kernel/*.env "$clone/kernel/"
	echo 'CONFIG_KEPT=y' >"$clone/kernel/configs/base.config"
	echo '# nothing' >"$clone/kernel/configs/peerfault.config"
	echo 'int x;' >"$clone/kernel/files/lib/new.c"
	cp -R "$PF_ROOT/kernel/selftest/patches" "$clone/kernel/"
}

# in_tree GIT-ARGUMENT...: as a developer in build/linux
in_tree() {
	GIT_EDITOR=true git -C "$linux" "$@" >"$work/git" 2>&1 || {
		cat "$work/git"
		return 1
	}
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
		echo "'$*' gave $rc, not $want; or did not say: $text"
		cat "$work/out"
		return 1
	fi
}

same_kernel_dir() {
	diff -r "$clone/kernel" "$work/before" >"$work/out" 2>&1
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
	printf 'run\tno-such-package-here\tno-such-program\n' >"$clone/scripts/packages"
	mkdir -p "$work/bin"
	for tool in sh dirname awk dpkg-query mkdir cat cut; do
		ln -sf "$(command -v "$tool")" "$work/bin/$tool"
	done
	printf '#!/bin/sh\necho 1000\n' >"$work/bin/id"
	chmod +x "$work/bin/id"
	expect "$E_PACKAGE" "no-such-package-here" env PATH="$work/bin" \
		sh -c '"$1/scripts/deps.sh" run >"$2" 2>&1' sh "$clone" "$work/out"
}

# log: the subjects of build/linux, the oldest first
log() {
	git -C "$clone/build/linux" log --reverse --format=%s base..HEAD
}

t_tree() {
	fresh
	expect 0 "3 patches in 2 series" k tree || return
	[ "$(sed -n 10p "$linux/mm/memory.c")" = ten ] || return
	# The second time there is nothing to do, and nothing is said.
	expect 0 "" k tree || return
	[ ! -s "$work/out" ]
}

t_history_is_the_series() {
	t_tree || return
	log >"$work/out"
	diff "$work/out" - <<-EOT || return
		mm: One change
		mm: change line 10
		lib: New code
		lib: Add x
		lib: Rename x to y
	EOT
	[ "$(git -C "$linux" show "HEAD^:lib/new.c")" = 'int x;' ] || return
	[ "$(cat "$linux/lib/new.c")" = 'int y;' ] || return
	[ -z "$(git -C "$linux" diff "HEAD~3" "HEAD~2")" ]
}

t_same_commits() {
	t_tree || return
	local first
	first=$(git -C "$linux" rev-parse HEAD)
	t_tree || return
	[ "$first" = "$(git -C "$linux" rev-parse HEAD)" ]
}

t_tarball() {
	fresh
	tar -C "$work" -cJf "$work/fake.tar.xz" src
	KERNEL_SRC=$work/fake.tar.xz expect 0 "3 patches in 2 series" k tree
}

t_shadow() {
	fresh
	mkdir -p "$clone/kernel/files/mm"
	echo mine >"$clone/kernel/files/mm/memory.c"
	expect "$E_PATCH" "the base has too; make them patches: mm/memory.c" k tree
}

t_files_wrong() {
	fresh
	echo 'int z;' >"$clone/kernel/files/other.c"
	expect "$E_PATCH" 'trailer `Files: PATH`: other.c' k tree || return
	fresh
	sed -i 's/^Files: .*/&\nFiles: lib\/none.c/' "$clone/kernel/patches/2-new/0001"*
	expect "$E_PATCH" "lib-Add-x.patch: Files: lib/none.c" k tree || return
	fresh
	# There is nothing left for the second one to add.
	sed -i 's/^Say why\.$/&\n\nFiles: lib/' "$clone/kernel/patches/2-new/0002"*
	expect "$E_PATCH" "lib-Rename-x-to-y.patch: Files: lib" k tree
}

t_series_wrong() {
	fresh
	rm "$clone/kernel/patches/1-fix/cover"
	expect "$E_PATCH" "kernel/patches/1-fix has no cover" k tree || return
	fresh
	rm "$clone/kernel/patches/1-fix/"*.patch
	expect "$E_PATCH" "kernel/patches/1-fix has no cover, or no patch" k tree
}

t_patch_fails() {
	fresh
	sed -i 's/^-10$/-11/' "$clone/kernel/patches/1-fix/"*.patch
	expect "$E_PATCH" "1-fix/0001-mm-change-line-10.patch does not apply" k tree || return
	grep -q -- "am --continue --empty=keep" "$work/out" || return
	[ -d "$linux/.git/rebase-apply" ] || return
	# A second run must not throw away what the developer is doing there.
	expect "$E_DIRTY" "in the middle of" k tree || return
	# What is printed there leads on: the rest has its cover letter and files.
	sed -i 's/^10$/ten/' "$linux/mm/memory.c"
	in_tree add -A && in_tree am --continue --empty=keep || return
	FORCE=1 expect 0 "kernel/ is what" k refresh || return
	[ "$(log | wc -l)" = 5 ] && grep -qx -- '-10' "$clone/kernel/patches/1-fix/"*.patch
}

t_no_fuzz() {
	fresh
	# Context that patch(1) would accept with fuzz
	sed -i 's/^ 7$/ seven/' "$clone/kernel/patches/1-fix/"*.patch
	expect "$E_PATCH" "does not apply" k tree
}

# saved: a refresh changes nothing, and says so
saved() {
	rm -rf "$work/before"
	cp -R "$clone/kernel" "$work/before"
	expect 0 "" k refresh -n || return
	expect 0 "" k refresh || return
	same_kernel_dir
}

t_refresh_noop() {
	t_tree && saved
}

t_refresh_usage() {
	fresh
	expect "$E_USAGE" "run \`make tree\` first" k refresh || return
	expect "$E_USAGE" "usage" k refresh -x
}

# Of files that no later patch edits
t_refresh_files() {
	t_tree || return
	echo 'int z;' >"$linux/lib/newer.c"
	expect "$E_FAIL" "Only in" k refresh -n || return
	[ ! -e "$clone/kernel/files/lib/newer.c" ] || return
	expect 0 "files/lib/newer.c" k refresh || return
	grep -q 'int z' "$clone/kernel/files/lib/newer.c" || return
	[ -z "$(git -C "$linux" status --porcelain)" ] || return
	git -C "$linux" show HEAD^ | grep -q '^+int z' || return
	echo 'int zz;' >>"$linux/lib/newer.c"
	chmod +x "$linux/lib/newer.c"
	expect 0 "files/lib/newer.c" k refresh || return
	[ -x "$clone/kernel/files/lib/newer.c" ] || return
	grep -q 'int zz' "$clone/kernel/files/lib/newer.c" && saved || return
	rm "$linux/lib/newer.c"
	expect 0 "" k refresh || return
	[ ! -e "$clone/kernel/files/lib/newer.c" ]
}

t_refresh_refuses() {
	t_tree || return
	# a file that no `Files:` covers
	echo 'int z;' >"$linux/mm/new.c"
	expect "$E_DIRTY" 'trailer `Files: PATH`: mm/new.c' k refresh || return
	rm "$linux/mm/new.c"
	printf 'a\0b' >"$linux/lib/blob"
	expect "$E_DIRTY" "lib/blob is a binary file" k refresh || return
	rm "$linux/lib/blob"
	# the last file of a `Files:`, deleted
	in_tree revert --no-edit HEAD && in_tree rm -q lib/new.c || return
	expect "$E_DIRTY" "lib/new.c" k refresh
}

# An edit is part of one patch, and refresh says of which.
t_refresh_edits() {
	t_tree || return
	sed -i 's/^1$/one/' "$linux/mm/memory.c"
	expect "$E_DIRTY" "(mm: change line 10)" k refresh || return
	grep -q 'git rebase -i --autosquash base' "$work/out" || return
	local fixup
	fixup=$(sed -n 's/^ *git \(commit --fixup=[0-9a-f]* \).*/\1/p' "$work/out")
	# shellcheck disable=SC2086 # words
	in_tree $fixup mm/memory.c || return
	expect "$E_DIRTY" "is not folded in yet" k refresh || return
	GIT_SEQUENCE_EDITOR=true in_tree rebase -i --autosquash base || return
	expect 0 "patches/1-fix/0001-mm-change-line-10.patch" k refresh || return
	grep -qx -- '+one' "$clone/kernel/patches/1-fix/"*.patch && [ "$(log | wc -l)" = 5 ]
}

t_refresh_edited_twice() {
	t_tree || return
	echo 'int z;' >>"$linux/lib/new.c"
	# A later patch edits it: refresh cannot know which one is meant.
	expect "$E_DIRTY" "(lib: Rename x to y)" k refresh || return
	in_tree commit --fixup=HEAD lib/new.c || return
	GIT_SEQUENCE_EDITOR=true in_tree rebase -i --autosquash base || return
	expect 0 "patches/2-new/0002-lib-Rename-x-to-y.patch" k refresh || return
	[ "$(cat "$clone/kernel/files/lib/new.c")" = 'int x;' ] && saved
}

t_refresh_patch() {
	t_tree || return
	sed -i 's/^1$/one/' "$linux/mm/memory.c"
	in_tree commit -q -a -m "mm: change line 1" || return
	expect 0 "" k refresh || return
	[ -e "$clone/kernel/patches/2-new/0003-mm-change-line-1.patch" ] || return
	! grep -q Signed-off-by "$clone/kernel/patches/2-new/0003"* && saved
}

t_refresh_cover() {
	t_tree || return
	git -C "$linux" log -1 --format=%B HEAD~2 | sed 's/^All of it.*/Or none./' >"$work/text"
	in_tree commit --allow-empty -m "amend! lib: New code

$(cat "$work/text")" || return
	GIT_SEQUENCE_EDITOR=true in_tree rebase -i --autosquash base || return
	expect 0 "patches/2-new/cover" k refresh || return
	[ "$(cat "$clone/kernel/patches/2-new/cover")" = 'lib: New code

Or none.' ] && saved
}

# rebase_todo SED: the commits in another order, or fewer
rebase_todo() {
	GIT_SEQUENCE_EDITOR="sed -i -e '$1'" in_tree rebase -i base
}

t_refresh_bad_history() {
	t_tree || return
	# no cover letter at the head of all
	rebase_todo 1d || return
	expect "$E_DIRTY" "comes before the first cover letter" k refresh || return
	t_tree || return
	rebase_todo '1,2{H;d};${p;g;s/^.//}' || return
	expect "$E_DIRTY" '"Series: 1-fix" comes after "Series: 2-new"' k refresh || return
	t_tree || return
	echo >>"$linux/mm/memory.c"
	in_tree commit -q -a -m "mm: More

Series: 3-more" || return
	expect "$E_DIRTY" "the cover letter of 3-more changes files" k refresh || return
	t_tree || return
	in_tree commit -q --allow-empty -m "mm: More

Series: ../more" || return
	expect "$E_DIRTY" "not the name of one directory" k refresh || return
	t_tree || return
	in_tree checkout -q -b side HEAD^ && echo >>"$linux/mm/memory.c" &&
		in_tree commit -q -a -m side && in_tree merge -q --no-edit peerfault || return
	expect "$E_DIRTY" "merge commits" k refresh
}

# What a later commit adds, an earlier one's `Files:` must not name.
t_refresh_ambiguous() {
	t_tree || return
	echo 'int z;' >"$linux/lib/newer.c"
	in_tree add -A && in_tree commit -q -m "lib: Add z

Files: lib/newer.c" || return
	expect "$E_DIRTY" "lib/newer.c" k refresh
}

t_work_is_kept() {
	t_tree || return
	sed -i 's/^1$/one/' "$linux/mm/memory.c"
	echo 'int other;' >"$clone/kernel/files/lib/other.c"
	expect "$E_DIRTY" "has work" k tree || return
	grep -qx one "$linux/mm/memory.c" || return
	expect "$E_DIRTY" "kernel/ has changed" k refresh || return
	expect "$E_DIRTY" "has work" k distclean || return
	# FORCE lays kernel/ and still keeps a copy.
	FORCE=1 expect 0 "kept as refs/peerfault/lost" k tree || return
	grep -qx 1 "$linux/mm/memory.c" || return
	git -C "$linux" grep -q '^one$' \
		"$(git -C "$linux" for-each-ref --format '%(refname)' \
			refs/peerfault/lost)" -- mm/memory.c
}

t_commits_are_kept() {
	t_tree || return
	echo more >>"$linux/mm/memory.c"
	in_tree commit -q -a -m "mm: more" || return
	echo 'int other;' >"$clone/kernel/files/lib/other.c"
	expect "$E_DIRTY" "has work" k tree
}

# A message is work, too.
t_messages_are_kept() {
	t_tree || return
	in_tree commit -q --amend -m "lib: Rename it" || return
	sed -i 's/^One of them/Two/' "$clone/kernel/patches/1-fix/cover"
	expect "$E_DIRTY" "has work" k tree
}

t_series() {
	fresh
	local out=$clone/build/series
	SIGNOFF='A <a@b.example>' TRAILERS='Tested-by: C <c@d.example>' \
		COVER_NOTE='A note.' expect 0 "3 mails" k series || return
	diff - <(sed -n '/^From: /p; /-by: /p' "$out/2-new/0001-lib-Add-x.patch") <<-EOT || return
		From: A <a@b.example>
		Tested-by: C <c@d.example>
		Signed-off-by: A <a@b.example>
	EOT
	! grep -rE '^(Files|Series): ' "$out" || return
	grep -q '^+int x' "$out/2-new/0001-lib-Add-x.patch" || return
	grep -q '^+int y' "$out/2-new/0002-lib-Rename-x-to-y.patch" || return
	grep -q '^On top of: 1-fix$' "$out/2-new/0000-cover-letter.patch" || return
	grep -qx 'A note.' "$out/2-new/0000-cover-letter.patch" || return
	! grep -q '^On top of' "$out/1-fix/0000-cover-letter.patch" || return
	# Who wrote it stays its author.
	sed -i 's/^From: .*>$/From: W <w@x.example>/' "$clone/kernel/patches/1-fix/"*.patch
	SIGNOFF='A <a@b.example>' expect 0 "3 mails" k series || return
	diff - <(sed -n '/^From: /p; /-by: /p' "$out/1-fix/0001"*) <<-EOT
		From: W <w@x.example>
		Signed-off-by: A <a@b.example>
	EOT
}

t_series_refuses() {
	fresh
	expect "$E_USAGE" "make series SIGNOFF='Your Name" k series || return
	SIGNOFF='just a name' expect "$E_USAGE" "just a name" k series || return
	export SIGNOFF='A <a@b.example>'
	TRAILERS='nothing' expect "$E_USAGE" "TRAILERS: each line" k series || return
	expect "$E_USAGE" "not below build/" k series "$work/elsewhere" || return
	k tree && echo 'int z;' >"$clone/build/linux/lib/newer.c"
	expect "$E_DIRTY" "make refresh first" k series || return
	unset SIGNOFF
}

t_build() {
	fresh
	expect 0 "kernel-normal: done" k build || return
	[ -f "$clone/build/kernel-normal/arch/x86/boot/bzImage" ] || return
	# Nothing changed: nothing runs, not even make.
	expect 0 "" k build || return
	[ ! -s "$work/out" ] || return
	echo 'int z;' >>"$linux/lib/new.c"
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

t_prefixes() {
	fresh
	: >"$clone/kernel/configs/check.config"
	printf 'CONFIG_KEPT %s\n' lib/new.o mm/memory.o >"$clone/kernel/objects"
	expect 0 "ok 3 all touched files are compiled" k check-prefixes heads || return
	expect 0 "ok 3 builds: 2-new: lib: Rename x to y" k check-prefixes all || return
	sed -i 's/^+int y;/+static int y;/' "$clone/kernel/patches/2-new/0002"*
	expect "$E_FAIL" "not ok 2 builds: 2-new" k check-prefixes heads || return
	sed -i '/new/d' "$clone/kernel/objects"
	expect "$E_FAIL" "lib/new.c was not compiled" k check-prefixes heads
}

t_build_fails() {
	fresh
	sed -i 's/^+int y;/+#error broken/' "$clone/kernel/patches/2-new/0002"*
	expect "$E_BUILD" "#error broken" k build || return
	grep -qF build/log/kernel-normal.log "$work/out" || return
	# and it does not count as built the next time
	expect "$E_BUILD" "#error broken" k build
}

t_usage() {
	fresh
	KERNEL=nonsense expect "$E_USAGE" "nonsense" k build || return
	KCONFIG=debug expect "$E_USAGE" "KERNEL=normal, debug or base" k build || return
	expect "$E_USAGE" "usage" k build nonsense || return
	expect "$E_USAGE" "usage" k check-prefixes nonsense
}

t_prebuilt() {
	fresh
	KERNEL=$work/none/bzImage expect "$E_USAGE" "there is no such file" k build || return
	[ ! -e "$linux" ] || return
	echo image >"$work/bzImage"
	KERNEL=$work/bzImage expect "$E_USAGE" "nothing to prepare" k build prepare || return
	KERNEL=$work/bzImage expect 0 "3 patches" k build || return
	[ -f "$linux/mm/memory.c" ] && [ ! -e "$clone/build/kernel-normal" ]
}

linux=$clone/build/linux
fake_kernel "$KERNEL_SRC"
tests=$(declare -F | sed -n 's/^declare -f t_//p')
ktap_begin "$(echo "$tests" | wc -l)"
for t in $tests; do
	ktap_test "$t" "t_$t"
done
ktap_end
