#!/bin/bash
# run.sh EQUIPOISE SOURCE_DIR WORK_DIR LAUNCHER: one job through a Slurm of its own. USR1 in the middle of the run must
# lead to a checkpoint, a requeue and a resumed run with the bits of an undisturbed one. Status 77: cannot be run here.
set -Eeuo pipefail
equipoise=$1 source=$2 work=$3 launcher=$4
slurm=$source/../shared/tools/slurm

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "only root can start a Slurm of its own"
command -v sbatch slurmctld slurmd munged >/dev/null || skip "slurm-wlm and munge are not installed"
[ -x "$slurm/start.sh" ] || skip "no $slurm/start.sh"

rm -rf "$work"
mkdir -p "$work"
cd "$work"
environment=$("$slurm/start.sh" 4) || skip "Slurm does not start here"
eval "$environment"
end() {
  status=$?
  [ $status -eq 0 ] || cat equipoise-*.out || true
  "$slurm/stop.sh" >/dev/null 2>&1 || true
  exit $status
}
trap end EXIT

case_keys=(problem.family=vi problem.name=game method.name=masha1 stop.tolerance=1e-200
  stop.max_iterations=60000 run.checkpoint_iterations=2000)
export EQUIPOISE=$equipoise LAUNCHER=$launcher OUT=run.h5 CHECKPOINT=checkpoint
# The iteration limit is the end of this run: status 4.
job=$(sbatch --parsable --ntasks=2 --time=10 "$source/cluster/slurm/equipoise.sbatch" "${case_keys[@]}" --quiet)

for _ in $(seq 300); do
  compgen -G "checkpoint/checkpoint-*.json" >/dev/null && break
  sleep 0.1
done
scancel --batch --signal=USR1 "$job"

for _ in $(seq 1200); do
  state=$(squeue -h -j "$job" -o %T 2>/dev/null || true)
  [ -n "$state" ] || break
  sleep 0.1
done
cat equipoise-"$job".out
grep -q "ended with status 75" equipoise-"$job".out
grep -q "continues from checkpoint, restart 1" equipoise-"$job".out
grep -q "ended with status 4" equipoise-"$job".out

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
status=0
mpirun --oversubscribe -n 1 "$equipoise" solve "${case_keys[@]}" --quiet --out undisturbed.h5 || status=$?
[ "$status" -eq 4 ]
/usr/bin/python3 "$source/tests/command/same_solution.py" run.h5 undisturbed.h5
