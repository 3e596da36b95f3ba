#!/usr/bin/env bash
# Put apptainer into a folder of its own, for the tests that start containers: `make services` calls this.
#
# As with HTCondor (`install_condor.sh`), nothing is installed on the machine and root is not needed. Apptainer finds its
# configuration relative to its own folder. It starts containers in user namespaces.
#
#   FASTHEP_APPTAINER_PREFIX  where it goes         (default: ~/.cache/fasthep-parsl-tests/apptainer)
#   FASTHEP_APPTAINER_SUITE   the Debian release    (default: sid, which has it)
#   FASTHEP_APPTAINER_MIRROR  another Debian mirror (needed where apt uses none, as on Ubuntu)
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}
prefix=$(realpath -m "${FASTHEP_APPTAINER_PREFIX:-$cache/fasthep-parsl-tests/apptainer}")
suite=${FASTHEP_APPTAINER_SUITE:-sid}
layout=1 # raise it when what is unpacked or patched changes
stamp="$suite $layout $prefix"

installed() { [ "$(cat "$prefix/.installed" 2>/dev/null)" = "$stamp" ]; }
fail() { echo "install_apptainer: $*" >&2; exit 1; }

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
mirror=${FASTHEP_APPTAINER_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' |
  grep -v -- '-security' | head -n 1)}
[ -n "$mirror" ] || fail "apt knows no Debian mirror; name one in FASTHEP_APPTAINER_MIRROR"
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
[ "$(id -u)" != 0 ] || options+=(-o APT::Sandbox::User=root)
apt-get "${options[@]}" update
apt-get "${options[@]}" --download-only install apptainer patchelf >"$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 1; }

# ------------------------------------------------------------------------------------------------ unpack
for deb in "$apt"/archives/*.deb; do
  case ${deb##*/} in
    apptainer_* | patchelf_* | libc6_* | libgcc-s1_* | libstdc++6_* | libseccomp2_* | libsqlite3-0_*) dpkg-deb -x "$deb" "$new" ;;
  esac
done
rm -rf "$apt" "$new"/usr/share

# Its configuration and its folder for sessions lie at /etc and /var in the package, and are looked for below its own folder.
libraries=$(cd "$new" && find usr/lib -maxdepth 1 -name '*-linux-gnu*' -print -quit)
loader=$(cd "$new" && find usr/lib usr/lib64 -name 'ld-linux*.so.*' -print -quit)
[ -n "$loader" ] && [ -n "$libraries" ] || fail "no C library among the packages"
mv "$new/etc" "$new/usr/etc"
ln -s ../etc "$new/usr/lib/etc"
mkdir -p "$new/usr/lib/var/lib/apptainer/mnt/session" "$new/usr/var/lib/apptainer/mnt/session"

# ------------------------------------------------------------------------------------------------ patch
patchelf=("$new/$loader" --library-path "$new/$libraries" "$new/usr/bin/patchelf")
for program in "$new/usr/bin/apptainer" "$new/$libraries/apptainer/bin/starter"; do
  "${patchelf[@]}" --set-interpreter "$prefix/$loader" --force-rpath --set-rpath "$prefix/$libraries" "$program"
done
echo "$stamp" >"$new/.installed"

# ------------------------------------------------------------------------------------------------ put in place
rm -rf "$prefix.old"
[ ! -e "$prefix" ] || mv "$prefix" "$prefix.old"
mv "$new" "$prefix"
trap - EXIT
rm -rf "$prefix.old"
echo "apptainer is in $prefix ($(du -sm "$prefix" | cut -f 1) MB)"
