#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# demo.sh: builds what is needed, boots TOPOLOGY (default: switch) with KERNEL
# (default: normal) and runs the main job: RDMA reads and writes device memory,
# with the exporter's consent off and on. With APP, programs of Debian do that
# (lab/programs/app.py), and docs/programs.py takes what build/log/demo-APP-TOPOLOGY
# has then. On two machines they do it twice, by rxe and by mlx5. Exit code: that of
# the job, or of lab/run.sh.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
. "$PF_ROOT/lab/topology.sh"

topology=${TOPOLOGY:-switch} rdma=with-rxe
! topology_lines name "$topology" | grep -q '^HCA0' || rdma=with-mlx5
case ${APP:-} in
'') ;;
perftest | ibverbs | pyverbs) root=rdma ;;
ucx_perftest | openmpi) root=mpi ;;
fi_pingpong | fabtests | rping)
	root=mpi
	[ "$rdma" = with-rxe ] || die "$E_USAGE" \
		"$APP needs rdma_cm, and with it an RDMA device on a network: TOPOLOGY=switch" ;;
*) die "$E_USAGE" "no APP '$APP'; there are: perftest ibverbs pyverbs ucx_perftest openmpi fi_pingpong fabtests rping" ;;
esac

case $topology:${APP:-} in
two-hosts:openmpi) ;;
two-hosts:*) die "$E_USAGE" "what runs on two machines is APP=openmpi" ;;
esac

kernel=$(kernel_name)
"$PF_ROOT/lab/build.sh" "$kernel" "$topology"
step "demo, in a guest with topology $topology and the $kernel kernel"
[ -n "${APP:-}" ] || exec "$PF_ROOT/lab/run.sh" -T 180 -- "$rdma" peerfault-demo
if [ "$topology" = two-hosts ]; then
	for rdma in rxe mlx5; do
		"$PF_ROOT/lab/pair.sh" -c -T 900 -o "$PF_LOG/demo-$APP-$topology-$rdma" -- \
			"with-$rdma" in-root "$root" on-both.sh app.py "$APP"
	done
	exit
fi
exec "$PF_ROOT/lab/run.sh" -T 900 -o "$PF_LOG/demo-$APP-$topology" -- \
	"$rdma" in-root "$root" app.py "$APP"
