#!/usr/bin/env bash
# Fetches what the tests of containers and of deploy/ need: podman, buildah, and an image with a Python that stands in for
# the official one, since no image registry may be in reach: Debian's, from Debian's packages; and programs that only look
# at files, which are unpacked and not installed. Kept in a cache outside the checkout.
# Where that is not possible it says why and ends with 0: then those tests skip, with the same reason.
set -euo pipefail

cache=${CONFSTREAM_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/confstream-tests}
base=localhost/confstream-base:bookworm
programs=(podman buildah runc debootstrap)
packages=(prometheus s6 execline) # Of Debian: promtool, and what supervises beside s6-overlay.

give_up() {
  printf 'no tests of containers: %s\n' "$1"
  exit 0
}

missing() {
  local program
  for program in "${programs[@]}"; do command -v "$program" >/dev/null || return 0; done
  return 1
}

unpack() { # the packages and the libraries of the same sources, that nobody has to install and to start them
  local place=$cache/packages package
  mkdir -p "$place/debs"
  for package in "${packages[@]}" $(apt-cache depends --no-suggests --no-recommends "${packages[@]}" |
    sed -n 's/^ *Depends: \(libs6\|libskarnet\|libexecline\)/\1/p' | sort -u); do
    (cd "$place/debs" && apt-get download -qq "$package") || return 1
  done
  for package in "$place"/debs/*.deb; do dpkg -x "$package" "$place" || return 1; done
  rm -r "$place/debs" "$place/usr/bin/prometheus" # Large, and not what is wanted.
  touch "$place.complete"
}

[ "$(id -u)" -eq 0 ] || give_up 'they need root'
if missing; then
  command -v apt-get >/dev/null || give_up 'podman, buildah, runc and debootstrap are not installed, and this is no Debian'
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    podman buildah runc catatonit debootstrap libfaketime; } >/dev/null 2>&1 || give_up 'podman cannot be installed'
fi

mkdir -p "$cache"
if [ ! -e "$cache/packages.complete" ] && ! unpack >"$cache/packages.log" 2>&1; then
  printf 'no programs for the tests of deploy/: %s\n' "$(tail -n 1 "$cache/packages.log")"
fi
export CONTAINERS_CONF=$cache/containers.conf
# For hosts with cgroup v1 and without systemd, and limits below the hard ones, as inside of another container.
cat >"$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
CONF
cd "$cache" # The runtime leaves notes where it was started.
if ! podman image exists "$base"; then
  root=$cache/root
  if [ ! -e "$root.complete" ]; then
    rm -rf "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" \
      >"$cache/debootstrap.log" 2>&1 || give_up "debootstrap cannot fetch Debian: $(tail -n 1 "$cache/debootstrap.log")"
    # python, as the official image calls it; pip as it is there, not as Debian guards it.
    ln -sf python3 "$root/usr/bin/python"
    rm -rf "$root"/usr/lib/python3*/EXTERNALLY-MANAGED "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    touch "$root.complete"
  fi
  settings=(-c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin')
  # Where pip finds its packages, and whom it trusts, is the host's to know.
  if [ -n "${PIP_CERT:-}" ]; then
    cp "$PIP_CERT" "$root/etc/ssl/certs/ca-certificates.crt"
    settings+=(-c 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt')
  fi
  [ -z "${PIP_INDEX_URL:-}" ] || settings+=(-c "ENV PIP_INDEX_URL=$PIP_INDEX_URL")
  tar -C "$root" -c . | podman import -q "${settings[@]}" - "$base" >/dev/null || give_up 'podman cannot import an image'
fi
podman run --rm --network=none "$base" python --version || give_up 'podman cannot run a container here'
