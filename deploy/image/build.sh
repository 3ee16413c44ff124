#!/usr/bin/env bash
# Build the image with all that its labels say, and print how large it and its layers are:
#   deploy/image/build.sh NAME[:TAG] [OPTION]...
# with docker, podman or buildah, whichever is there; options go to it (--build-arg BASE_IMAGE=..., --platform ...).
set -euo pipefail
cd "$(dirname "$0")/../.."
image=${1:?name the image, as in confstream:0.1.0}
shift

version=$(sed -n 's/^version = "\([^"]*\)".*/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || true)
# Two builds of one commit say the same.
created=$(git log -1 --format=%cI 2>/dev/null || true)
# Only an address that anybody may see belongs into a label.
source=$(git remote get-url origin 2>/dev/null | grep -E '^https://[^@]*$' || true)
labels=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created"
  --build-arg "SOURCE=${source%.git}")

# The OCI format has no health check, so where there is a choice the image is of Docker's.
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  tool=docker
  docker build --tag "$image" "${labels[@]}" "$@" .
elif command -v podman >/dev/null; then
  tool=podman
  podman build --format docker --tag "$image" "${labels[@]}" "$@" .
elif command -v buildah >/dev/null; then
  buildah bud --format docker --tag "$image" "${labels[@]}" "$@" .
  buildah images "$image"
  exit
else
  echo 'build.sh: none of docker, podman and buildah is here' >&2
  exit 1
fi
"$tool" image inspect --format 'image: {{.Size}} bytes' "$image"
"$tool" history --human=false --format '{{.Size}} bytes: {{.CreatedBy}}' "$image" | grep -v '^0 ' | cut -c 1-120
