#!/usr/bin/env bash
# Write the lock files anew from pyproject.toml: `make lock`, with uv (argument 1) and, if wanted, its options
# (`--upgrade`). They are plain requirements files: `pip install --require-hashes -r` is all it takes to use them.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$1
shift

compile() { # name, then what goes into it
  local name=$1
  shift
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-config --output-file "requirements/$name.lock" "$@"
}

compile installer --group pyproject.toml:installer "$@"
compile runtime pyproject.toml "$@"
# With the lean S3 client: what the image has.
compile fast pyproject.toml --extra fast --constraints requirements/runtime.lock "$@"
# What is installed together agrees: the one set is a part of the other.
compile build --group pyproject.toml:build --constraints requirements/runtime.lock "$@"
compile dev pyproject.toml --group pyproject.toml:dev --constraints requirements/runtime.lock \
  --constraints requirements/build.lock --constraints requirements/fast.lock "$@"
# On top of dev: the contenders of benchmarks/ that are packages, and plots.
compile bench --group pyproject.toml:bench --constraints requirements/dev.lock "$@"

# The lower bounds of pyproject.toml, with the test tools as they are otherwise: what fails on it is a bound that lies.
lowest=$(mktemp)
trap 'rm -f "$lowest"' EXIT
"$uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --no-config \
  --resolution lowest-direct --output-file "$lowest" --extra fast pyproject.toml
compile lowest pyproject.toml --extra fast --group pyproject.toml:test --group pyproject.toml:build --constraints "$lowest" "$@"
# The name of a temporary file is no part of what was found.
sed -i "s|-c $lowest|-c the lower bounds|" requirements/lowest.lock
