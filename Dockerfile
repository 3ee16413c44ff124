# The image of `confstream`: Python, the locked dependencies, the project; no shell needed, no root, no home.
#   init container:  restore --if-missing s3://bucket/prefix /config
#   sidecar:         replicate /config s3://bucket/prefix
ARG BASE_IMAGE=python:3.14-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.lock requirements/runtime.lock requirements/
# Two environments: what builds the wheel does not belong into the image.
RUN python -m venv /build && /build/bin/python -m pip install --require-hashes -r requirements/build.lock
RUN python -m venv /venv && /venv/bin/python -m pip install --require-hashes -r requirements/runtime.lock
COPY . .
RUN /build/bin/python -m build --no-isolation --wheel --outdir /dist . \
 && /venv/bin/python -m pip install --no-deps --no-index /dist/*.whl \
 && /venv/bin/python -m pip uninstall --yes pip \
 && /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /venv

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="confstream" \
      org.opencontainers.image.description="A journal for configuration directories" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /venv /venv
# The root file system may be read-only; nobody's home is written to or read from.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/nonexistent
USER 65532:65532
ENTRYPOINT ["confstream"]
