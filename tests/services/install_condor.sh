#!/usr/bin/env bash
# Put HTCondor into a folder of its own, for the tests that need a pool: `make services` calls this. See own_packages.sh.
set -euo pipefail
. "$(dirname "$0")/own_packages.sh"

begin condor trixie 1 # the first release that has HTCondor again
download condor
# no program here uses the latter
unpack 'condor_*|lib*|gcc-*|zlib*' 'libpython*|libperl*|libjs-*|libpam-*|libdate-manip*|libsemanage*|libsepol*'
lib=$prefix/$libraries
patch_programs "$lib:$lib/condor:$prefix/usr/lib:$prefix/usr/lib/condor" \
  "$new"/usr/{bin,sbin}/{condor,classad}_* "$new"/usr/libexec/condor/*
put_in_place HTCondor
