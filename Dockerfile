# The image of `confstream`: Python, the locked dependencies, the project; no shell needed, no root, no home.
#   init container:  restore --if-missing s3://bucket/prefix /config
#   sidecar:         replicate /config s3://bucket/prefix
#   all in one:      run /config s3://bucket/prefix -- COMMAND, in an image that has the command, FROM this one
# A base by its digest makes the same image again: --build-arg BASE_IMAGE=python:3.14-slim@sha256:...
ARG BASE_IMAGE=python:3.14-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.lock requirements/fast.lock requirements/
# Two environments: what builds the wheel does not belong into the image.
RUN python -m venv /build && /build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/build.lock
RUN python -m venv /venv && /venv/bin/python -m pip install --no-compile --require-hashes --only-binary :all: -r requirements/fast.lock
COPY . .
RUN /build/bin/python -m build --no-isolation --wheel --outdir /dist . \
 && /venv/bin/python -m pip install --no-compile --no-deps --no-index /dist/*.whl \
 && /build/bin/python deploy/image/slim.py /venv \
 && /venv/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /venv

FROM ${BASE_IMAGE}
COPY --from=build /venv /venv
# The root file system may be read-only; nobody's home is written to or read from. Health is asked where replicate listens.
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/nonexistent CONFSTREAM_LISTEN=:9099
# Threads that share one heap, and give back what they do not need: a tenth less memory, for a process that mostly waits.
ENV MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072
# deploy/image/build.sh says what these are.
ARG BASE_IMAGE BASE_DIGEST VERSION REVISION CREATED SOURCE
LABEL org.opencontainers.image.title="confstream" \
      org.opencontainers.image.description="A journal for configuration directories: every write kept, any point in time restored, nothing destroyed." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="confstream" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.url="${SOURCE}" \
      org.opencontainers.image.documentation="${SOURCE}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"
USER 65532:65532
# A module that is missing, or a validator that does not work, breaks the build and not the night.
RUN ["confstream", "doctor", "--self"]
EXPOSE 9099
HEALTHCHECK --interval=60s --timeout=10s --start-period=5m CMD ["confstream", "health"]
ENTRYPOINT ["confstream"]
