#!/bin/sh
# Install Debian's Chromium, in which the tests look at reports. Nothing is downloaded from elsewhere, nothing is removed.
set -u
if command -v chromium >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "services: install Chromium by hand; the tests find chromium on PATH" >&2
    exit 1
fi
root=
[ "$(id -u)" -eq 0 ] || root=sudo
$root apt-get -qq update && $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install \
    --no-remove --no-install-recommends chromium fonts-dejavu-core >/dev/null || {
    echo "services: apt-get could not install chromium" >&2
    exit 1
}
