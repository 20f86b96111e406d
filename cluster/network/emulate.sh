#!/bin/bash
# A slow network on one machine: every rank in a network namespace of its own, joined by a bridge
# whose links let through a given rate and no more. For studies of bytes and communication time;
# the ranks share the machine's cores, so computing time means little.
#
#   cluster/network/emulate.sh up 4 100mbit        four nodes, 100 Mbit/s each way
#   cluster/network/emulate.sh run equipoise solve CASE.toml     mpirun, one rank a node
#   cluster/network/emulate.sh down
#   cluster/network/emulate.sh with 4 100mbit -- COMMAND...      up, run, down
#
# Needs root, iproute2, util-linux and the kernel's netns, veth, bridge and sch_tbf: otherwise it
# ends with status 77, which tests take as "skipped". Bandwidth alone is emulated, not latency. A
# message shorter than the token bucket (BURST, 16 kB) passes at full speed.
set -euo pipefail

self=$(readlink -f "$0")
subnet=10.83.0
bridge=eqnet
burst=${BURST:-16kb}
state=${EQUIPOISE_NETWORK:-/run/equipoise-network}

die() { echo "${0##*/}: $*" >&2; exit "${2:-1}"; }
node() { echo "eqnode$1"; }

need() {
  [ "$(id -u)" = 0 ] || { echo "network namespaces need root: skipped" >&2; exit 77; }
  for tool in ip tc unshare mpirun; do
    command -v $tool > /dev/null || { echo "$tool is not installed: skipped" >&2; exit 77; }
  done
}

# The links go first and by name: those of a namespace are taken down some time after it, and would
# still be in the way of the next `up`.
down() {
  local name
  for name in $(ip -o link show type veth 2> /dev/null | grep -o 'eqlink[0-9]*'); do
    ip link del "$name" 2> /dev/null || true
  done
  for name in $(ip netns list 2> /dev/null | grep -o '^eqnode[0-9]*'); do
    ip netns del "$name" || true
  done
  ip link del $bridge 2> /dev/null || true
  rm -rf "$state"
}

up() {
  local nodes=$1 rate=$2 k
  [[ $nodes =~ ^[0-9]+$ ]] && [ "$nodes" -ge 2 ] && [ "$nodes" -le 64 ] || die "NODES: 2 to 64"
  [[ $rate =~ ^[0-9]+[kmg]bit$ ]] || die "RATE: as 100mbit or 1gbit"
  [ ! -e "$state" ] || die "a network is up already: ${0##*/} down"
  mkdir -p "$state"
  trap 'down' ERR
  if ! ip link add $bridge type bridge 2> /dev/null; then
    down
    echo "this kernel gives no bridge: skipped" >&2
    exit 77
  fi
  ip addr add $subnet.1/24 dev $bridge
  ip link set $bridge up
  for ((k = 0; k < nodes; ++k)); do
    ip netns add "$(node $k)"
    ip link add "eqlink$k" type veth peer name eth0 netns "$(node $k)"
    ip link set "eqlink$k" master $bridge gso_max_segs 4 up
    ip -n "$(node $k)" link set lo up
    ip -n "$(node $k)" link set eth0 gso_max_segs 4 up
    ip -n "$(node $k)" addr add $subnet.$((10 + k))/24 dev eth0
    # Both directions of the link: what the node sends, and what the bridge sends to it.
    tc -n "$(node $k)" qdisc add dev eth0 root tbf rate "$rate" burst "$burst" latency 200ms
    tc qdisc add dev "eqlink$k" root tbf rate "$rate" burst "$burst" latency 200ms
    echo "$subnet.$((10 + k)) slots=1" >> "$state/hosts"
  done
  trap - ERR
}

# mpirun's stand-in for ssh: agent [OPTION...] HOST COMMAND. A host name of its own keeps ranks of
# two nodes from using shared memory.
agent() {
  while [[ ${1:-} == -* ]]; do shift; done
  local k=$((${1##*.} - 10))
  shift
  exec ip netns exec "$(node $k)" unshare --uts --ipc bash -c "hostname $(node $k) && $*"
}

run() {
  [ -s "$state/hosts" ] || die "no network is up: ${0##*/} up NODES RATE"
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  mpirun -np "$(wc -l < "$state/hosts")" --hostfile "$state/hosts" --bind-to none \
    --mca plm rsh --mca plm_rsh_agent "$self agent" --mca plm_rsh_no_tree_spawn 1 \
    --mca oob_tcp_if_include $subnet.0/24 --mca btl_tcp_if_include $subnet.0/24 \
    --mca pml ob1 --mca btl tcp,self --mca mpi_yield_when_idle 1 \
    --mca hwloc_base_binding_policy none ${MPIRUN_OPTIONS:-} "$@"
}

case ${1:-} in
  up) need; [ $# = 3 ] || die "up NODES RATE"; up "$2" "$3" ;;
  run) need; shift; run "$@" ;;
  down) need; down ;;
  with)
    need
    [ $# -ge 5 ] && [ "$4" = -- ] || die "with NODES RATE -- COMMAND..."
    up "$2" "$3"
    trap down EXIT
    shift 4
    run "$@"
    ;;
  agent) shift; agent "$@" ;;
  *) sed -n '2,/^set/p' "$self" | sed 's/^# \?//; /^set/d' >&2; exit 2 ;;
esac
