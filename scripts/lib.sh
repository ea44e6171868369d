# shellcheck shell=bash
# Sourced by the other scripts: sets up what a build of townmesh needs and exports its environment.
#
#   tm_setup            packages, rust components, the cached RocksDB, cargo's environment
#   tm_cargo_deny       cargo-deny in the pinned version, built once
#
# Environment: XDG_CACHE_HOME (where everything is kept), TOWNMESH_TARGET_DIR (cargo's target folder),
# ROCKSDB_LIB_DIR (an own librocksdb.a: used as it is), TM_QUIET=1 (say only what takes time or goes wrong).

TM_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TM_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/townmesh
TM_CARGO_DENY_VERSION=0.20.2

tm_note() { [ -n "${TM_QUIET:-}" ] || printf '%s\n' "$*" >&2; }
tm_say() { printf '%s\n' "$*" >&2; }
tm_die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

tm_setup() {
  tm_packages
  tm_rust
  mkdir -p "$TM_CACHE"
  # One target folder for all clones of this user: a clean clone finds its dependencies built.
  export CARGO_TARGET_DIR=${TOWNMESH_TARGET_DIR:-${CARGO_TARGET_DIR:-$TM_CACHE/target}}
  tm_rocksdb
}

# --- packages ---------------------------------------------------------------------------------------------------

# Prints the Debian packages whose tools are not there, one per line.
tm_missing_packages() {
  local pair
  for pair in cc:g++ clang++:clang ar:binutils git:git python3:python3 xz:xz-utils flock:util-linux ip:iproute2; do
    tm_has "${pair%%:*}" || printf '%s\n' "${pair#*:}"
  done
  # RocksDB's binding is generated on every machine, and the generator loads libclang at run time.
  tm_has_libclang || printf '%s\n' libclang-dev
}

# `ip` lives where a user's PATH may not look.
tm_has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

tm_has_libclang() {
  [ -z "${LIBCLANG_PATH:-}" ] || return 0
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && return 0
  compgen -G '/usr/lib*/libclang*.so*' >/dev/null && return 0
  compgen -G '/usr/lib/*-linux-gnu/libclang*.so*' >/dev/null
}

tm_packages() {
  local missing=() as_root=()
  mapfile -t missing < <(tm_missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null 2>&1 || tm_die "not installed: ${missing[*]} (Debian's names).
  This script installs packages with apt-get only, and there is none: install them by your system's own means."
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || tm_die "not installed: ${missing[*]}.
  Neither root nor sudo here. As root: apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
  fi
  tm_say "installing ${missing[*]}"
  # An outdated list may still do; what counts is whether the packages are there afterwards.
  "${as_root[@]}" apt-get update -q >&2 || tm_say "apt-get update failed; trying with the package lists as they are"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
    tm_die "apt-get could not install ${missing[*]}"
  mapfile -t missing < <(tm_missing_packages)
  [ ${#missing[@]} -eq 0 ] || tm_die "still missing after the installation: ${missing[*]}"
}

# --- rust -------------------------------------------------------------------------------------------------------

tm_rust() {
  # A fresh rustup has written this file, but the running shell has not read it yet.
  if ! command -v cargo >/dev/null 2>&1 && [ -r "${CARGO_HOME:-$HOME/.cargo}/env" ]; then
    # shellcheck disable=SC1091
    . "${CARGO_HOME:-$HOME/.cargo}/env"
  fi
  command -v cargo >/dev/null 2>&1 || tm_die "cargo is not installed: see https://rustup.rs"
  local component
  for component in clippy rustfmt; do
    if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
      command -v rustup >/dev/null 2>&1 || tm_die "cargo has no $component, and there is no rustup to add it"
      tm_say "adding the rust component $component"
      rustup component add "$component" >&2 || tm_die "rustup could not add $component"
    fi
  done
}

# --- RocksDB ----------------------------------------------------------------------------------------------------
# Its C++ is three quarters of a cold build. It is compiled once, with clang (under two thirds of g++'s time), and
# librocksdb.a is kept. It is checked on every use: a cut-off or foreign file would fail late and oddly.

tm_rocksdb_version() {
  awk -F'"' '/^name = /{name=$2} /^version = /{if (name=="librocksdb-sys") {print $2; exit}}' "$TM_ROOT/Cargo.lock"
}

tm_rocksdb_dir() {
  local version clang
  version=$(tm_rocksdb_version)
  [ -n "$version" ] || tm_die "no librocksdb-sys in Cargo.lock"
  clang=$(clang++ -dumpversion)
  printf '%s/rocksdb-%s-%s-%s\n' "$TM_CACHE" "$version" "$(uname -m)" "$clang"
}

# Says what is wrong with the kept library in the folder $1, and fails; silent when it is good.
tm_rocksdb_check() {
  local dir=$1 lib=$1/librocksdb.a members tag
  [ -f "$lib" ] && [ -f "$lib.sha256" ] || { echo "it is not there"; return 1; }
  [ "$(stat -c %s "$lib")" -ge 5000000 ] || { echo "it is too small"; return 1; }
  (cd "$dir" && sha256sum --status --strict -c librocksdb.a.sha256) || { echo "its SHA-256 is another"; return 1; }
  members=$(ar t "$lib" 2>/dev/null | grep -c '\.o$' || true)
  [ "$members" -ge 300 ] || { echo "it has $members members only"; return 1; }
  tag=$(tm_rocksdb_version)
  grep -aqF "rocksdb_build_git_tag:v${tag#*+}" "$lib" || { echo "it is not RocksDB ${tag#*+}"; return 1; }
}

# Keeps the library file $1 in the folder $2: whole or not at all.
tm_rocksdb_keep() {
  local from=$1 dir=$2 temp
  temp=$(mktemp -d "$dir.XXXXXX")
  chmod 755 "$temp"
  cp "$from" "$temp/librocksdb.a"
  (cd "$temp" && sha256sum librocksdb.a >librocksdb.a.sha256)
  rm -rf "$dir"
  mv "$temp" "$dir"
}

# Compiles RocksDB by cargo, in the folder that the real build will use, so that the generator is built once too.
# Prints the path of the new library.
tm_rocksdb_build() {
  local messages out
  messages=$(mktemp "$TM_CACHE/build.XXXXXX")
  (
    cd "$TM_ROOT"
    unset ROCKSDB_LIB_DIR ROCKSDB_STATIC
    CXX=clang++ cargo build -p librocksdb-sys --message-format json-render-diagnostics >"$messages"
  ) || { rm -f "$messages"; return 1; }
  out=$(grep -F '"reason":"build-script-executed"' "$messages" | grep -F librocksdb-sys | sed -n 's/.*"out_dir":"\([^"]*\)".*/\1/p')
  rm -f "$messages"
  [ -f "$out/librocksdb.a" ] || return 1
  printf '%s\n' "$out/librocksdb.a"
}

tm_rocksdb() {
  if [ -n "${ROCKSDB_LIB_DIR:-}" ]; then
    tm_note "RocksDB: ROCKSDB_LIB_DIR=$ROCKSDB_LIB_DIR is set and used unchecked"
    export ROCKSDB_STATIC=${ROCKSDB_STATIC:-1}
    return
  fi
  # The kept library is built for any CPU of this architecture; whoever asks for another gets his own.
  case "${RUSTFLAGS:-} ${CARGO_ENCODED_RUSTFLAGS:-}" in
    *target-cpu* | *target-feature*)
      tm_note "RocksDB: RUSTFLAGS name a CPU, so cargo builds it for that"
      export CXX=${CXX:-clang++}
      return
      ;;
  esac
  local dir why built lock started=$SECONDS
  dir=$(tm_rocksdb_dir)
  if ! why=$(tm_rocksdb_check "$dir"); then
    exec {lock}>"$TM_CACHE/rocksdb.lock"
    flock "$lock"
    # Somebody else may have built it while we waited.
    if ! why=$(tm_rocksdb_check "$dir"); then
      tm_say "RocksDB in $dir: $why. Building it once (10 to 20 minutes on two cores)"
      built=$(tm_rocksdb_build) || tm_die "RocksDB could not be built"
      tm_rocksdb_keep "$built" "$dir"
      why=$(tm_rocksdb_check "$dir") || tm_die "RocksDB was built, but $why"
      tm_say "RocksDB built in $((SECONDS - started)) s and kept in $dir"
    fi
    exec {lock}>&-
  fi
  export ROCKSDB_LIB_DIR=$dir ROCKSDB_STATIC=1
}

# --- cargo-deny -------------------------------------------------------------------------------------------------

# Makes `cargo deny` callable in the pinned version, from PATH or built once into the cache. Fails when it cannot be had.
# It is built with little optimisation: three minutes on two cores instead of more than four, and it runs for seconds.
tm_cargo_deny() {
  local tools=$TM_CACHE/tools
  PATH=$tools/bin:$PATH
  export PATH
  if [ "$(cargo deny --version 2>/dev/null)" = "cargo-deny $TM_CARGO_DENY_VERSION" ]; then
    return 0
  fi
  tm_say "building cargo-deny $TM_CARGO_DENY_VERSION once (3 to 5 minutes on two cores)"
  env -u RUSTFLAGS -u ROCKSDB_LIB_DIR CARGO_TARGET_DIR="$tools/build" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0 \
    cargo install --quiet --locked cargo-deny --version "$TM_CARGO_DENY_VERSION" --root "$tools" >&2 || return 1
  rm -rf "$tools/build"
}
