# syntax=docker/dockerfile:1.7.0
# One image for the API, workers and the page, on a CPU. Nothing in it is written to while it runs but METSEG_HOME and
# /tmp, and it runs as nobody in particular (10001). How it is used: docs/deploy.md.

ARG PYTHON=3.11.13-slim-bookworm

FROM python:${PYTHON} AS dependencies
# Builds of torch for CPUs; elsewhere pip finds those with gigabytes of CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/metseg
WORKDIR /src
# As much of metseg as tells what it needs: a change of its code does not make this, the large layer, anew.
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src/metseg/__init__.py src/metseg/version.py src/metseg/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/metseg/bin/pip install -c constraints.txt --extra-index-url "${TORCH_INDEX}" '.[all]' \
 && /opt/metseg/bin/pip uninstall --yes metseg

FROM dependencies AS wheel
COPY src src
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/metseg/bin/pip wheel -c constraints.txt --no-deps --wheel-dir /wheel .

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="metseg" \
      org.opencontainers.image.description="Outlines brain metastases and gliomas in MRI. Research use only." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 metseg \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin metseg \
 && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/metseg /var/lib/metseg/bundles
COPY --from=dependencies /opt/metseg /opt/metseg
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    /opt/metseg/bin/pip install --no-cache-dir --no-deps /wheel/metseg-*.whl \
 && /opt/metseg/bin/pip check
ENV PATH=/opt/metseg/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    METSEG_HOME=/var/lib/metseg \
    METSEG_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
VOLUME /var/lib/metseg
EXPOSE 8000 8501
STOPSIGNAL SIGTERM
# Of the API, which this image is where nothing else is said. For workers and the page, see compose.yaml.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('METSEG_PORT', '8000') + '/health', timeout=4)"]
ENTRYPOINT ["metseg"]
CMD ["serve"]
