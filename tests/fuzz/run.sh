#!/bin/bash
# run.sh BUILD_DIR SECONDS [TARGET...]: every fuzz target for SECONDS, on its corpus in BUILD_DIR/corpus, which is kept.
# Ends with 1 if a target crashed, leaked, took more than 25 s or 1 GB for one input; the input is then in BUILD_DIR/found.
set -Eeuo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$1"
seconds=$2
shift 2
/usr/bin/python3 "$source/seeds.py" corpus
mkdir -p found
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(cd tests/fuzz && ls -d fuzz_* | grep -v '\.'))
failed=0
printf '%-18s %12s %10s %8s %8s\n' target inputs seconds corpus verdict
for target in "${targets[@]}"; do
  mkdir -p "corpus/$target"
  start=$SECONDS verdict=clean
  "tests/fuzz/$target" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=1024 -malloc_limit_mb=1024 -max_len=4096 \
    -artifact_prefix="found/$target-" "corpus/$target" >"$target.log" 2>&1 || { verdict=FOUND failed=1; }
  inputs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$target.log")
  printf '%-18s %12s %10s %8s %8s\n' "$target" "${inputs:--}" $((SECONDS - start)) "$(ls "corpus/$target" | wc -l)" $verdict
  [ $verdict = clean ] || tail -30 "$target.log"
done
exit $failed
