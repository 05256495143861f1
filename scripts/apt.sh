# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Packages of Debian's archive, binary or source, from the mirrors that the host
# itself uses, through an apt state of our own: the host's sources and package
# lists stay as they are. apt checks the archive's signature. Sourced after
# scripts/common.sh.
#
#	PEERFAULT_KEYRING=file	whose signature on the archive counts
#				(default: Debian's)

keyring=${PEERFAULT_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}

# apt_begin NAME HINT: apt writes to build/log/NAME.log, and its state is one
# of this name. HINT says what to do without the archive.
apt_begin() {
	log=$PF_LOG/$1.log apt_hint=$2
	apt=$PF_CACHE/apt
	[ "$1" = fetch ] || apt=$PF_CACHE/apt-$1
}

pf_apt() {
	LC_ALL=C "$@" >>"$log" 2>&1 </dev/null
}

# no_package TEXT...: what to do without the archive
no_package() {
	[ ! -s "$log" ] || log_tail "$log" >&2
	if grep -qsE 'not signed|signature|NO_PUBKEY|Hash Sum mismatch|Missing key' "$log"; then
		die "$E_CORRUPT" "$*: the archive's signature or hash is wrong (log: $log)"
	fi
	die "$E_NETWORK" "$*. $apt_hint (log: $log)"
}

# archives: "URI SUITE" for each archive and suite from which this host takes
# Debian's main, in the host's own order
archives() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
	# shellcheck disable=SC2016 # apt expands those
	apt-get indextargets --no-release-info \
		--format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v codename="$codename" '
			{ suite = $2; sub(/-(updates|security|backports)$/, "", suite) }
			(suite == codename || suite == "stable") && $3 == "main" &&
			!/^cdrom:/ && !seen[$1, $2]++ { print $1, $2 }'
}

# mirrors: the archives that have all of Debian. Third parties name their suites
# alike, so each is a candidate: the signature decides.
mirrors() {
	archives | awk '$2 !~ /-/ && !seen[$1]++ { print $1 }'
}

# apt_index URI SUITE TYPE: our apt's state is what this archive has. TYPE is deb,
# deb-src or both.
apt_index() {
	local targets='Packages Sources'
	case $3 in
	deb) targets=Packages ;;
	deb-src) targets=Sources ;;
	esac
	need_space "$PF_CACHE" 100 "the package index of $2"
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$PF_LOG"
	: >"$log"
	cat >"$apt/apt.conf" <<-CONF
		#clear APT::Update;
		#clear DPkg;
		Dir::State "$apt";
		Dir::State::lists "$apt/lists";
		Dir::Cache "$apt/cache";
		Dir::Etc::sourcelist "$apt/base.sources";
		Dir::Etc::sourceparts "-";
		APT::Sandbox::User "root";
		APT::Update::Error-Mode "any";
		Acquire::Languages "none";
		Acquire::Retries "2";
		Acquire::http::Timeout "30";
		Acquire::https::Timeout "30";
	CONF
	step "package index of $2" >&2
	printf '%s\n' "Types: $3" "URIs: $1" "Suites: $2" \
		'Components: main' "Targets: $targets" \
		"Signed-By: $keyring" >"$apt/base.sources"
	pf_apt apt-get -q -c "$apt/apt.conf" update
}
