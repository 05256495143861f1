# SPDX-License-Identifier: GPL-2.0
# Print the URIs from which this host takes Debian's main, in file order.
# Reads apt sources in both formats: *.sources (deb822) and one-line *.list.
# `suite` is the host's code name. Third parties name their suites alike, so a
# URI printed here is a candidate: the archive's signature decides.

function flush_stanza(   n, i, uri)
{
	if (types ~ /(^| )deb( |$)/ && enabled != "no" && serves(suites, comps)) {
		n = split(uris, uri, " ")
		for (i = 1; i <= n; i++)
			offer(uri[i])
	}
	types = suites = comps = uris = enabled = field = ""
}

function serves(suites, comps)
{
	return " " suites " " ~ " (" suite "|stable) " &&
	       " " comps " " ~ / main /
}

function offer(uri)
{
	sub(/\/+$/, "", uri)
	if (uri !~ /^cdrom:/ && !seen[uri]++)
		print uri
}

function add(text)
{
	if (field == "types")
		types = types " " text
	else if (field == "uris")
		uris = uris " " text
	else if (field == "suites")
		suites = suites " " text
	else if (field == "components")
		comps = comps " " text
	else if (field == "enabled")
		enabled = tolower(text)
}

FNR == 1 { flush_stanza() }
/^[ \t]*#/ { next }

FILENAME ~ /\.sources$/ {
	gsub(/\t/, " ")
	if ($0 ~ /^ *$/) {
		flush_stanza()
	} else if ($0 ~ /^ /) {
		$1 = $1
		add($0)
	} else {
		field = tolower(substr($0, 1, index($0, ":") - 1))
		$0 = substr($0, index($0, ":") + 1)
		$1 = $1
		add($0)
	}
	next
}

$1 == "deb" {
	sub(/#.*/, "")
	sub(/\[[^]]*\]/, "")
	comps = ""
	for (i = 4; i <= NF; i++)
		comps = comps " " $i
	if (serves($3, comps))
		offer($2)
	comps = ""
}

END { flush_stanza() }
