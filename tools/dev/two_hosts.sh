#!/usr/bin/env bash
# Runs a program as several ranks under mpirun on two hosts that this machine plays: network namespaces with a cable between them.
#
#   tools/dev/two_hosts.sh [--ranks N] [--mbit M] [--cut SECONDS] PROGRAM ARGUMENTS...
#
#   --ranks N        ranks in all (2), half of them on each host
#   --mbit M         what the cable carries each way, in Mbit/s (0: all it can)
#   --cut SECONDS    take the cable out after as many seconds; mpirun, which waits for the lost host for a quarter of an hour, is ended
#                    20 s later
#
# RANK in an argument becomes the rank's number. Exits with mpirun's code; with 77 and the reason where the machine can't play:
# it takes root, iproute2 and OpenMPI.
set -uo pipefail
ranks=2 mbit=0 cut=0
while [ $# -gt 0 ]; do
  case $1 in
    --ranks) ranks=$2; shift 2 ;;
    --mbit) mbit=$2; shift 2 ;;
    --cut) cut=$2; shift 2 ;;
    --*) echo "tools/dev/two_hosts.sh: unknown option '$1', expected --ranks, --mbit or --cut" >&2; exit 2 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { echo "usage: tools/dev/two_hosts.sh [--ranks N] [--mbit M] [--cut SECONDS] PROGRAM ARGUMENTS..." >&2; exit 2; }
for tool in ip mpirun unshare; do command -v $tool >/dev/null || { echo "skipped: no $tool" >&2; exit 77; }; done

one=hinge-$$-1 two=hinge-$$-2 folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; ip netns pids $one 2>/dev/null | xargs -r kill -9; ip netns pids $two 2>/dev/null | xargs -r kill -9; ip netns del $one 2>/dev/null; ip netns del $two 2>/dev/null; rm -rf "$folder"' EXIT
if ! { ip netns add $one && ip netns add $two && ip link add cable netns $one type veth peer name cable netns $two; } 2>"$folder/why"; then
  echo "skipped: no network namespaces here: $(head -1 "$folder/why")" >&2
  exit 77
fi
number=1
for host in $one $two; do
  ip netns exec $host sh -c "ip link set lo up && ip addr add 10.77.0.$number/24 dev cable && ip link set cable up" || exit 1
  if [ "$mbit" != 0 ] && ! ip netns exec $host tc qdisc add dev cable root tbf rate "${mbit}mbit" burst 256kb latency 100ms; then
    echo "skipped: this kernel can't slow a cable down" >&2
    exit 77
  fi
  number=$((number + 1))
done

# What mpirun calls in ssh's place.
cat >"$folder/agent" <<EOF
#!/bin/sh
case \$1 in 10.77.0.1) host=$one name=host-1 ;; *) host=$two name=host-2 ;; esac
shift
exec ip netns exec \$host unshare -u sh -c "hostname \$name; \$*"
EOF
cat >"$folder/rank" <<'EOF'
#!/bin/sh
for word do
  shift
  set -- "$@" "$(printf %s "$word" | sed "s/RANK/$OMPI_COMM_WORLD_RANK/")"
done
exec "$@"
EOF
chmod +x "$folder/agent" "$folder/rank"
if [ "$cut" != 0 ]; then
  (sleep "$cut"; ip netns exec $two ip link set cable down; sleep 20; ip netns pids $one | xargs -r kill) &
fi
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
half=$(((ranks + 1) / 2))
ip netns exec $one unshare -u sh -c 'hostname host-1; exec "$@"' sh \
  mpirun --mca plm_rsh_agent "$folder/agent" --mca btl tcp,self --mca btl_tcp_if_include cable --mca oob_tcp_if_include cable --bind-to none \
  --host "10.77.0.1:$half,10.77.0.2:$((ranks - half))" -n "$ranks" "$folder/rank" "$@"
