# Put Debian's programs into a folder of their own. Sourced by `install_*.sh` beside this file, which call, in this order:
#
#   begin NAME SUITE LAYOUT      end the script if NAME is there already; else lock, and make an empty folder $new
#   download PACKAGE...          with all that they depend on
#   unpack WANTED [UNWANTED]     packages whose file names match, patterns like 'condor_*|lib*'
#   patch_programs SEARCH FILE...  make programs of $new use the loader and the libraries that came with them
#   put_in_place TITLE           move $new to $prefix
#
# Nothing is installed on the machine: apt resolves and downloads the packages with a state folder of its own, they are
# unpacked with dpkg-deb, and patchelf makes the programs use the libraries that came with them. Root is not needed.
# Needs apt-get, dpkg-deb and, the first time, a Debian mirror: the one that this machine's apt uses.
#
#   FASTHEP_<NAME>_PREFIX  where it goes         (default: ~/.cache/fasthep-parsl-tests/NAME)
#   FASTHEP_<NAME>_SUITE   the Debian release    (default: SUITE)
#   FASTHEP_<NAME>_MIRROR  another Debian mirror (needed where apt uses none, as on Ubuntu)
# shellcheck shell=bash

fail() { echo "install_$name: $*" >&2; exit 1; }
installed() { [ "$(cat "$prefix/.installed" 2>/dev/null)" = "$stamp" ]; }

# Sets $prefix, where it will lie; $new, where it is made; $suite.
begin() {
  name=$1 variable=FASTHEP_${1^^}
  local cache=${XDG_CACHE_HOME:-$HOME/.cache} own_prefix=${variable}_PREFIX own_suite=${variable}_SUITE
  prefix=$(realpath -m "${!own_prefix:-$cache/fasthep-parsl-tests/$name}")
  suite=${!own_suite:-$2}
  stamp="$suite $3 $prefix" # raise LAYOUT when what is unpacked or patched changes
  installed && exit 0
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "needs apt-get and dpkg-deb"
  mkdir -p "$(dirname "$prefix")"
  exec 9>"$prefix.lock"
  flock 9
  installed && exit 0 # another one did it while we waited
  new=$prefix.new
  trap 'rm -rf "$new"' EXIT
  rm -rf "$new"
  mkdir -p "$new"
}

download() {
  local apt=$new/apt own_mirror=${variable}_MIRROR mirror
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  mirror=${!own_mirror:-$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' |
    grep -v -- '-security' | head -n 1)}
  [ -n "$mirror" ] || fail "apt knows no Debian mirror; name one in $own_mirror"
  echo "deb $mirror $suite main" >"$apt/sources.list"
  : >"$apt/status" # as if nothing were installed: the closure then holds every library, libc included
  local options=(
    -qq -y
    -o "Dir::State=$apt" -o "Dir::State::status=$apt/status" -o "Dir::State::lists=$apt/lists"
    -o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o APT::Install-Recommends=false
  )
  # apt would download as a user that may not write here
  [ "$(id -u)" != 0 ] || options+=(-o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" --download-only install "$@" patchelf >"$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 1; }
}

# Sets $loader and $libraries, paths below $new.
unpack() {
  local deb
  for deb in "$new"/apt/archives/*.deb; do
    [[ ${deb##*/} == @($1|patchelf_*) && ${deb##*/} != @(${2:-}) ]] || continue
    dpkg-deb -x "$deb" "$new"
  done
  rm -rf "$new/apt" "$new"/usr/share/{doc,doc-base,man,locale,lintian,bug}
  loader=$(cd "$new" && find usr/lib usr/lib64 -name 'ld-linux*.so.*' -print -quit)
  libraries=$(cd "$new" && find usr/lib -maxdepth 1 -name '*-linux-gnu*' -print -quit)
  [ -n "$loader" ] && [ -n "$libraries" ] || fail "no C library among the packages"
}

# Programs name the loader and the libraries at the place where they will lie, so that they need nothing of the machine
# (its libc may be older) and what they start inherits no LD_LIBRARY_PATH.
patch_programs() {
  local search=$1 program patchelf=("$new/$loader" --library-path "$new/$libraries" "$new/usr/bin/patchelf")
  shift
  for program; do
    [ -f "$program" ] && [ ! -L "$program" ] || continue
    "${patchelf[@]}" --print-interpreter "$program" >/dev/null 2>&1 || continue # a script, or a library
    "${patchelf[@]}" --set-interpreter "$prefix/$loader" --force-rpath --set-rpath "$search" "$program"
  done
}

put_in_place() {
  echo "$stamp" >"$new/.installed"
  rm -rf "$prefix.old"
  [ ! -e "$prefix" ] || mv "$prefix" "$prefix.old"
  mv "$new" "$prefix"
  trap - EXIT
  rm -rf "$prefix.old"
  echo "$1 is in $prefix ($(du -sm "$prefix" | cut -f 1) MB)"
}
