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

section() {
  printf '\n## %s\n\n```text\n' "$1"
  shift
  "$equipoise" list "$@"
  printf '```\n'
}

generate() {
  printf '# Reference\n\nWritten by `cluster/reference.sh` from `equipoise list`: every problem, method, codec and option.\n'
  section "Problems and methods"
  section "Variational inequalities" vi
  section "Compressors" compressors
}

if [ "$check" = yes ]; then
  if ! diff -u "$page" <(generate); then
    echo "$page is stale: run cluster/reference.sh" >&2
    exit 1
  fi
else
  generate >"$page.new"
  mv "$page.new" "$page"
fi
