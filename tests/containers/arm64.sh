#!/usr/bin/env bash
# Makes a root file system with Debian's Python for arm64 in directory $1, from Debian's packages, on a machine of any kind:
# nothing of it is run here but for `python3 --version` under qemu, the program $2, which has to be a static one.
set -euo pipefail
root=$1 qemu=$2

rm -rf "$root"
debootstrap --arch=arm64 --foreign --variant=minbase --include=python3 bookworm "$root" >&2
# The second stage would run all that the packages want to be run; to be unpacked is enough.
for package in "$root"/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$root"; done
rm -f "$root"/var/cache/apt/archives/*.deb
install -D "$qemu" "$root/usr/bin/qemu-aarch64-static"
# Whom to trust is asked for by every S3 client that is made; the package would have written it in its second stage.
install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
chroot "$root" /usr/bin/qemu-aarch64-static /usr/bin/python3 --version >&2
