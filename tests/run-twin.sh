#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run-twin.sh plain|smc|smc-one|strangers PROGRAM [CASE...]: one twin test.
#   plain    as it is, over TCP
#   smc      under smc_run with a runtime directory of its own
#   smc-one  the same with all cases in one process
#   strangers  as smc, with vectors as between processes of different users
# BINDIR names the directory with smc_run. Nothing may be left behind.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"

mode=$1
shift
case $mode in
plain)
	unset LD_PRELOAD
	OPENISM_TWIN=tcp exec "$@"
	;;
smc-one)
	export TWIN_INPROCESS=1
	;;
strangers) export ISM_STRANGERS=1 ;;
smc) ;;
*)
	echo "usage: run-twin.sh plain|smc|smc-one|strangers PROGRAM" >&2
	exit 2
	;;
esac
need_smc
world_begin
"$BINDIR/ismd" --background --grace 1 # less to wait for at the end
OPENISM_TWIN=smc "$BINDIR/smc_run" "$@"
rc=$?
world_end || rc=1
exit $rc
