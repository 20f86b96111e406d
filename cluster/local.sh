#!/bin/bash
# Sets Equipoise up on one Debian machine, then runs the demonstration or every test.
set -Eeuo pipefail

usage() {
  cat <<'U'
usage: cluster/local.sh demo | test | build | sanitize | fuzz [SECONDS] | install-packages [MORE...]

  demo               build the command, solve real problems with and without compression,
                     print what each method costs, draw demo.png, kill a run and resume it
  test               build everything and run every test
  build              build everything (optimised) into build/release
  sanitize           build with the address and undefined-behaviour sanitizers, run every test at 2 ranks; then the
                     rooms that start threads under the thread sanitizer
  fuzz [SECONDS]     feed every reader and decoder with mutated input, each for SECONDS (default 60); the
                     corpus is kept in build/fuzz/corpus and grows from run to run
  install-packages   install the Debian packages that are missing (and MORE), nothing else

Every command installs missing Debian packages first (through sudo unless run as root).

environment
  EQUIPOISE_DATA   folder of the public data sets (default: ../shared/data beside the project);
                   without it the demonstration uses generated problems alone
  JOBS             compilers at the same time (default: cores, at most one for 1.5 GB of free memory)
U
}

packages=(
  g++ cmake ninja-build pkg-config libopenmpi-dev openmpi-bin libpetsc-real-dev libhdf5-openmpi-dev
  libeigen3-dev libgtest-dev libtomlplusplus-dev libcli11-dev libfmt-dev libspdlog-dev libzstd-dev
  libscotch-dev libptscotch-dev librandom123-dev nlohmann-json3-dev libzfp-dev libpng-dev libbz2-dev
  zlib1g-dev libxxhash-dev python3-numpy python3-h5py python3-matplotlib
)

fail() {
  echo "local.sh: $*" >&2
  exit 1
}

# Prints the packages among the arguments that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

install_packages() {
  command -v dpkg-query >/dev/null ||
    fail "this is no Debian system; install what corresponds to: ${packages[*]}"
  local missing as_root=()
  mapfile -t missing < <(missing_packages "${packages[@]}" "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null ||
      fail "packages are missing, and there is neither root nor sudo to install them. As root:
  apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -q </dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null
}

# Compilers at the same time: as many as cores, but one for 1.5 GB of free memory at most.
parallel_jobs() {
  local cores memory_kb jobs
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  jobs=$((memory_kb / 1500000))
  [ "$jobs" -lt "$cores" ] || jobs=$cores
  [ "$jobs" -ge 1 ] || jobs=1
  echo "$jobs"
}

# build PRESET [-DKEY=VALUE...] [TARGET...]
build() {
  local preset=$1 settings=()
  shift
  while [[ ${1:-} == -D* ]]; do settings+=("$1"); shift; done
  if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
  fi
  cmake --preset "$preset" "${settings[@]}"
  ninja -C "build/$preset" -j "${JOBS:-$(parallel_jobs)}" "$@"
}

# What Open MPI needs on one machine: more ranks than cores, and root where the user is root.
prepare_mpi() {
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OPENBLAS_NUM_THREADS=1
  if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  # Containers often forbid a process to read another one's memory; Open MPI then complains at every message.
  if [ -e /.dockerenv ] || [ -e /run/.containerenv ]; then
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
  fi
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export EQUIPOISE_DATA=${EQUIPOISE_DATA:-$PWD/../shared/data}
command=${1:-}
[ $# -eq 1 ] || [ "$command" = install-packages ] || [ "$command" = fuzz ] || { usage >&2; exit 2; }

case $command in
  install-packages)
    install_packages "${@:2}"
    ;;
  build)
    install_packages
    build release
    ;;
  demo)
    install_packages
    build release equipoise_command
    prepare_mpi
    exec /usr/bin/python3 cluster/demo.py build/release/equipoise
    ;;
  test)
    install_packages
    build dev
    prepare_mpi
    exec ctest --test-dir build/dev --output-on-failure --no-tests=error -j "$(nproc)"
    ;;
  sanitize)
    install_packages
    build asan -DEQUIPOISE_TEST_RANKS=2 -DEQUIPOISE_TEST_TIMEOUT=1800
    prepare_mpi
    # Leaks are looked for; those of Open MPI's own components are known and left out. The study of faults loads a clock
    # before everything else.
    export ASAN_OPTIONS=fast_unwind_on_malloc=0:malloc_context_size=12:verify_asan_link_order=0 UBSAN_OPTIONS=print_stacktrace=1
    export LSAN_OPTIONS=suppressions=$PWD/tests/sanitize/leaks.supp:print_suppressions=0
    ctest --test-dir build/asan --output-on-failure --no-tests=error --timeout 1800
    build tsan test_threads
    exec ctest --test-dir build/tsan --output-on-failure --no-tests=error
    ;;
  fuzz)
    install_packages clang-14 libclang-rt-14-dev
    build fuzz fuzz_targets
    exec tests/fuzz/run.sh build/fuzz "${2:-60}"
    ;;
  -h | --help | help)
    usage
    ;;
  *)
    echo "local.sh: unknown command '$command'" >&2
    usage >&2
    exit 2
    ;;
esac
