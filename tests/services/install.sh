#!/bin/sh
# Install the batch systems that the tests run on: Slurm with accounting, and HTCondor. Debian and its relatives.
# What is there already is left alone; no daemon is started and nothing is removed.
set -eu
cd "$(dirname "$0")"

slurm="slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
accounting="slurmdbd slurm-wlm-mysql-plugin mariadb-server-core mariadb-client-core"

fail() {
    echo "services: $*" >&2
    exit 1
}

missing=
for package in $slurm $accounting; do
    case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true) in
        "install ok installed") ;;
        *) missing="$missing $package" ;;
    esac
done

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || fail "only Debian's packages are known here. Install Slurm and munge by hand;" \
        "the tests find slurmctld, slurmd, munged, slurmdbd and mariadbd on PATH."
    root=
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || fail "installing needs root or sudo without a password. Ask an administrator for:" \
            "apt-get install --no-install-recommends$missing"
        root=sudo
    fi
    # The packages would start daemons with a configuration nobody wrote: forbid it while they are unpacked.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '$root rm -f "$policy"' EXIT INT TERM
        printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
        $root chmod 0755 "$policy"
    fi
    $root apt-get -qq update
    # shellcheck disable=SC2086 # a list of words
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-remove --no-install-recommends $missing
fi
echo "services: Slurm is installed"

if [ -f install_condor.sh ]; then
    bash install_condor.sh
fi
