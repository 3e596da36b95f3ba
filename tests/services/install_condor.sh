#!/usr/bin/env bash
# Put HTCondor into a folder of its own, for the tests that need a pool: `make services` calls this.
#
# Nothing is installed on the machine: apt resolves and downloads the packages with a state folder of its own, they are
# unpacked with dpkg-deb, and patchelf makes the programs use the libraries that came with them. Root is not needed.
# Needs apt-get, dpkg-deb and, the first time, a Debian mirror: the one that this machine's apt uses.
#
#   FASTHEP_CONDOR_PREFIX  where it goes         (default: ~/.cache/fasthep-parsl-tests/condor)
#   FASTHEP_CONDOR_SUITE   the Debian release    (default: trixie, the first that has HTCondor again)
#   FASTHEP_CONDOR_MIRROR  another Debian mirror (needed where apt uses none, as on Ubuntu)
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}
prefix=$(realpath -m "${FASTHEP_CONDOR_PREFIX:-$cache/fasthep-parsl-tests/condor}")
suite=${FASTHEP_CONDOR_SUITE:-trixie}
layout=1 # raise it when what is unpacked or patched changes
stamp="$suite $layout $prefix"

installed() { [ "$(cat "$prefix/.installed" 2>/dev/null)" = "$stamp" ]; }
fail() { echo "install_condor: $*" >&2; exit 1; }

installed && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "needs apt-get and dpkg-deb"
mkdir -p "$(dirname "$prefix")"
exec 9>"$prefix.lock"
flock 9
installed && exit 0 # another one did it while we waited

new=$prefix.new
apt=$new/apt
trap 'rm -rf "$new"' EXIT
rm -rf "$new"
mkdir -p "$apt/lists/partial" "$apt/archives/partial"

# ------------------------------------------------------------------------------------------------ download
mirror=${FASTHEP_CONDOR_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' |
  grep -v -- '-security' | head -n 1)}
[ -n "$mirror" ] || fail "apt knows no Debian mirror; name one in FASTHEP_CONDOR_MIRROR"
echo "deb $mirror $suite main" >"$apt/sources.list"
: >"$apt/status" # as if nothing were installed: the closure then holds every library, libc included
options=(
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
apt-get "${options[@]}" --download-only install condor patchelf >"$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 1; }

# ------------------------------------------------------------------------------------------------ unpack
for deb in "$apt"/archives/*.deb; do
  case ${deb##*/} in
    libpython* | libperl* | libjs-* | libpam-* | libdate-manip* | libsemanage* | libsepol*) ;; # no program here uses them
    condor_* | patchelf_* | lib* | gcc-* | zlib*) dpkg-deb -x "$deb" "$new" ;;
  esac
done
rm -rf "$apt" "$new"/usr/share/{doc,doc-base,man,locale,lintian,bug}

# ------------------------------------------------------------------------------------------------ patch
# Programs name the loader and the libraries at the place where they will lie, so that they need nothing of the machine
# (its libc may be older) and the jobs inherit no LD_LIBRARY_PATH.
loader=$(cd "$new" && find usr/lib usr/lib64 -name 'ld-linux*.so.*' -print -quit)
libraries=$(cd "$new" && find usr/lib -maxdepth 1 -name '*-linux-gnu*' -print -quit)
[ -n "$loader" ] && [ -n "$libraries" ] || fail "no C library among the packages"
search=$prefix/$libraries:$prefix/$libraries/condor:$prefix/usr/lib:$prefix/usr/lib/condor
patchelf=("$new/$loader" --library-path "$new/$libraries" "$new/usr/bin/patchelf")
for program in "$new"/usr/{bin,sbin}/{condor,classad}_* "$new"/usr/libexec/condor/*; do
  [ -f "$program" ] && [ ! -L "$program" ] || continue
  "${patchelf[@]}" --print-interpreter "$program" >/dev/null 2>&1 || continue # a script, or a library
  "${patchelf[@]}" --set-interpreter "$prefix/$loader" --force-rpath --set-rpath "$search" "$program"
done
echo "$stamp" >"$new/.installed"

# ------------------------------------------------------------------------------------------------ put in place
rm -rf "$prefix.old"
[ ! -e "$prefix" ] || mv "$prefix" "$prefix.old"
mv "$new" "$prefix"
trap - EXIT
rm -rf "$prefix.old"
echo "HTCondor is in $prefix ($(du -sm "$prefix" | cut -f 1) MB)"
