#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh: builds what is needed, boots TOPOLOGY (default: switch) with KERNEL
# (default: normal) and runs the main job: RDMA reads and writes device memory,
# with the exporter's consent off and on. With APP, programs of Debian do that
# (lab/programs/app.py). Exit code: that of the job, or of lab/run.sh.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
. "$PF_ROOT/lab/topology.sh"

kernel=$(kernel_name)
"$PF_ROOT/lab/build.sh" "$kernel" "${TOPOLOGY:-switch}"
step "demo, in a guest with topology ${TOPOLOGY:-switch} and the $kernel kernel"
rdma=with-rxe
! topology_lines name "${TOPOLOGY:-switch}" | grep -q '^HCA0' || rdma=with-mlx5
[ -n "${APP:-}" ] || exec "$PF_ROOT/lab/run.sh" -T 180 -- "$rdma" peerfault-demo
case $APP in
perftest | ibverbs | pyverbs) root=rdma ;;
*) root=mpi ;;
esac
exec "$PF_ROOT/lab/run.sh" -T 900 -- "$rdma" in-root "$root" app.py "$APP"
