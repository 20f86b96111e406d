#!/bin/bash
# Writes docs/reference.md from what the command says of itself; with --check, fails if the page is stale.
#
#   cluster/reference.sh [--check] [EQUIPOISE]     (default: build/release/equipoise)
set -Eeuo pipefail
check=no
if [ "${1:-}" = --check ]; then check=yes; shift; fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
equipoise=$(realpath "${1:-build/release/equipoise}")
page=docs/reference.md
new=$(mktemp)
trap 'rm -f "$new"' EXIT

"$equipoise" list --markdown >"$new"
if [ "$check" = yes ]; then
  status=0
  diff -u "$page" "$new" || status=1
  [ $status -eq 0 ] || echo "$page is stale: run cluster/reference.sh" >&2
  exit $status
fi
cp "$new" "$page"
