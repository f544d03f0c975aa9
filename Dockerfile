# syntax=docker/dockerfile:1
# One image for every process; the command says which:
#   docker run … callwright web | bridge | worker | dispatcher | migrate
# Build with --build-arg REQUIREMENTS=all for a self-contained `up`, `demo` or `sandbox` (embedded stores, GPL-3.0 voices)
# and run those with -e CALLWRIGHT_ENVIRONMENT=development.

FROM python:3.11-slim-bookworm AS build
ARG REQUIREMENTS=base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/callwright && python -m venv /opt/builder
WORKDIR /src
# Dependencies first: their layer is kept while only our code changes.
COPY requirements/ requirements/
# Wheels only: nothing has to be compiled, and no build script of a dependency runs.
RUN /opt/callwright/bin/pip install --only-binary :all: --require-hashes -r requirements/${REQUIREMENTS}.txt
RUN /opt/builder/bin/pip install --require-hashes -r requirements/build.txt
COPY . .
RUN /opt/builder/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /dist . \
    && /opt/callwright/bin/pip install --no-deps --no-index /dist/*.whl \
    && /opt/callwright/bin/python -m compileall -q /opt/callwright/lib \
    && /opt/callwright/bin/pip uninstall --yes pip

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Callwright" org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 callwright \
    && useradd --system --uid 10001 --gid callwright --home-dir /var/lib/callwright --create-home callwright
COPY --from=build /opt/callwright /opt/callwright
ENV PATH=/opt/callwright/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CALLWRIGHT_ENVIRONMENT=production \
    CALLWRIGHT_DATA_DIR=/var/lib/callwright \
    CALLWRIGHT_WEB_HOST=0.0.0.0 \
    CALLWRIGHT_BRIDGE_HOST=0.0.0.0
WORKDIR /var/lib/callwright
USER callwright
VOLUME /var/lib/callwright
# 8000 web, 8080 bridge.
EXPOSE 8000 8080
# Asks the process this container was started for.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "callwright.app.health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["callwright"]
CMD ["web"]
