#!/usr/bin/env bash
# Put apptainer into a folder of its own, for the tests that start containers: `make services` calls this. See
# own_packages.sh. Apptainer finds its configuration relative to its own folder. It starts containers in user namespaces.
set -euo pipefail
. "$(dirname "$0")/own_packages.sh"

begin apptainer sid 1 # the release that has it
download apptainer
unpack 'apptainer_*|libc6_*|libgcc-s1_*|libstdc++6_*|libseccomp2_*|libsqlite3-0_*'
# Its configuration and its folder for sessions lie at /etc and /var in the package, and are looked for below its own folder.
mv "$new/etc" "$new/usr/etc"
ln -s ../etc "$new/usr/lib/etc"
rm -rf "$new/usr/share"
mkdir -p "$new/usr/lib/var/lib/apptainer/mnt/session" "$new/usr/var/lib/apptainer/mnt/session"
patch_programs "$prefix/$libraries" "$new/usr/bin/apptainer" "$new/$libraries/apptainer/bin/starter"
put_in_place apptainer
