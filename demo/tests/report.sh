#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# report.sh: builds peerfault-demo and report_test with ASan and UBSan and runs
# each test of test_report.py. KTAP.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$root/scripts/ktap.sh"
VERSION=$(cat "$root/VERSION")
PEERFAULT_DEMO=$root/build/tools-sanitize/peerfault-demo
REPORT_TEST=$root/build/tools-sanitize/report_test
export VERSION PEERFAULT_DEMO REPORT_TEST

ktap_begin ''
ktap_need build make -s -C "$here/.." SANITIZE=1 all "$REPORT_TEST"
for test in $(python3 "$here/test_report.py" --list); do
	ktap_test "$test" python3 "$here/test_report.py" -q "$test"
done
ktap_end
