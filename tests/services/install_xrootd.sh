#!/usr/bin/env bash
# Put an XRootD server into a folder of its own, for the tests that read protected data: `make services` calls this.
# See own_packages.sh. Needs a C compiler for ten lines that keep the server on the loopback address.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/own_packages.sh"

begin xrootd trixie 1
command -v cc >/dev/null || fail "needs a C compiler: install gcc"
download xrootd-server xrootd-scitokens-plugins xrootd-voms-plugins voms-clients
unpack 'xrootd-*|voms-clients_*|lib*|gcc-*|zlib*' 'libpython*|libperl*|libpam-*|libsystemd*'
lib=$prefix/$libraries
patch_programs "$lib:$prefix/usr/lib" "$new"/usr/bin/{xrootd,voms-proxy-*}
cc -shared -fPIC -O1 -Wall -o "$new/loopback_only.so" "$here/loopback_only.c" -ldl
put_in_place XRootD
