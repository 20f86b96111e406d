#!/bin/bash
# run.sh EQUIPOISE SOURCE_DIR WORK_DIR LAUNCHER WHAT: jobs through a Slurm of their own. Status 77: cannot be run here.
#   signal   USR1 in the middle of the run -> checkpoint, requeue, resumed on three tasks instead of two
#   limit    the same, but Slurm itself sends USR1 before the time limit of one minute
#   array    a sweep over seeds
# Each must give the bits of a run that nobody disturbed.
set -Eeuo pipefail
equipoise=$1 source=$2 work=$3 launcher=$4 what=$5
slurm=$source/../shared/tools/slurm

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "only root can start a Slurm of its own"
for program in sbatch slurmctld slurmd munged; do
  command -v $program >/dev/null || skip "slurm-wlm and munge are not installed: no $program"
done
[ -x "$slurm/start.sh" ] || skip "no $slurm/start.sh"

rm -rf "$work"
mkdir -p "$work"
cd "$work"
environment=$("$slurm/start.sh" 4) || skip "Slurm does not start here"
eval "$environment"
end() {
  status=$?
  [ $status -eq 0 ] || cat case-*.out || true
  "$slurm/stop.sh" >/dev/null 2>&1 || true
  exit $status
}
trap end EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1

# The iteration limit is the end of these runs: status 4.
cat >case.toml <<'T'
problem.family = "vi"
problem.name = "game"
problem.structure = "low-rank"
problem.dimension = 20000
method.name = "masha1"
stop.tolerance = 1e-200
stop.stall_checks = 0
run.checkpoint_iterations = 50
T
solve() { # KEYS...: straight through
  local status=0
  mpirun --oversubscribe --bind-to none -q -n 2 "$equipoise" solve case.toml "$@" --quiet || status=$?
  [ $status -eq 4 ]
}
wait_for_end() { # JOB
  while [ -n "$(squeue -h -j "$1" -o %T 2>/dev/null)" ]; do sleep 0.2; done
}
same() { /usr/bin/python3 "$source/tests/command/same_solution.py" "$1" "$2"; }
submit() { # WORDS...: prints the job's number
  "$source/cluster/slurm/submit" case.toml --equipoise "$equipoise" --launcher "$launcher" "$@" | sed -n 's/.* \([0-9]*\)$/\1/p'
}

if [ "$what" = array ]; then
  job=$(submit --ntasks 2 --time 5 --sweep run.seed=0..2 --at-once 2 stop.max_iterations=200)
  wait_for_end "$job"
  for seed in 0 1 2; do
    solve run.seed=$seed stop.max_iterations=200 --out undisturbed-$seed.h5
    same case-$seed.h5 undisturbed-$seed.h5
  done
  exit 0
fi

iterations=800
if [ "$what" = limit ]; then
  # Half as long again as the time until the signal, on this machine.
  mpirun --oversubscribe --bind-to none -q -n 2 "$equipoise" solve case.toml --max-time 3 --json pilot.json --quiet || true
  iterations=$(/usr/bin/python3 -c 'import json; print(14 * json.load(open("pilot.json"))["iterations"])')
fi
minutes=10
[ "$what" = signal ] || minutes=1
job=$(submit --ntasks 2 --time $minutes --signal-before 40 stop.max_iterations="$iterations")
if [ "$what" = signal ]; then
  until compgen -G "case.checkpoints/checkpoint-*.json" >/dev/null; do sleep 0.1; done
  scancel --batch --signal=USR1 "$job"
fi
# Back in the queue it waits for the credential of its first start to expire; meanwhile it gets another size, and
# time for the rest.
until grep -qs "ended with status" "case-$job.out" && [ "$(squeue -h -j "$job" -o %T)" = PENDING ]; do sleep 0.2; done
scontrol update JobId="$job" NumTasks=3 NumCPUs=3 TimeLimit=10
wait_for_end "$job"
cat "case-$job.out"
grep -q "ended with status 75" "case-$job.out"
grep -q "continues from case.checkpoints on 3 tasks, restart 1" "case-$job.out"
grep -q "ended with status 4" "case-$job.out"
solve stop.max_iterations="$iterations" --out undisturbed.h5
same case.h5 undisturbed.h5
