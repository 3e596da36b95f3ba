#!/bin/sh
# Install what the tests run on: Slurm with accounting, HTCondor, apptainer, XRootD and Chromium. Debian and its relatives.
# What is there already is left alone; no daemon is started and nothing is removed.
set -u
cd "$(dirname "$0")" || exit 1

slurm="slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
accounting="slurmdbd slurm-wlm-mysql-plugin mariadb-server-core mariadb-client-core"

fail() {
    echo "services: $*" >&2
    exit 1
}

install_slurm() (
    missing=
    for package in $slurm $accounting; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true) in
            "install ok installed") ;;
            *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0

    command -v apt-get >/dev/null || fail "only Debian's packages are known here. Install Slurm and munge by hand;" \
        "the tests find slurmctld, slurmd, munged, slurmdbd and mariadbd on PATH."
    root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "Slurm needs root, or sudo without a password. Ask an administrator for:" \
            "apt-get install --no-install-recommends$missing"
        root=sudo
    fi
    # The packages would start daemons with a configuration nobody wrote: forbid it while they are unpacked.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '$root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null && $root chmod 0755 "$policy" ||
            fail "cannot write $policy, which keeps packages from starting daemons"
    fi
    $root apt-get -qq update || fail "apt-get update failed"
    # shellcheck disable=SC2086 # lists of words
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --no-remove \
        --no-install-recommends $missing >/dev/null || fail "apt-get could not install$missing"
)

status=0
install_slurm || status=1
if [ -f install_condor.sh ]; then
    bash install_condor.sh || status=1
fi
bash install_apptainer.sh || status=1
bash install_xrootd.sh || status=1
sh install_chromium.sh || status=1
[ $status -ne 0 ] || echo "services: Slurm, HTCondor, apptainer, XRootD and Chromium are installed"
exit $status
