# syntax=docker/dockerfile:1
# How to build and run it: docs/deployment.md.
ARG PYTHON_VERSION=3.12

# --- everything that needs a compiler ------------------------------------------------------------
FROM python:${PYTHON_VERSION}-slim-bookworm AS builder

# More for pip, such as what chooses another build of PyTorch.
ARG PIP_EXTRA_ARGS=""
# Extras of the package, for example "serve,export".
ARG EXTRAS="serve"

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

RUN python -m venv /opt/snn-voice
ENV PATH="/opt/snn-voice/bin:${PATH}"
WORKDIR /src

# The dependencies are gigabytes that change rarely, so they get a layer of their own: an empty package with
# the same needs is installed first.
COPY pyproject.toml README.md LICENSE ./
COPY snn_voice_hub/_version.py snn_voice_hub/_version.py
COPY lite/pyproject.toml lite/README.md lite/LICENSE lite/
COPY lite/snn_voice_lite/_version.py lite/snn_voice_lite/_version.py
# hadolint ignore=DL3013,SC2086
RUN mkdir -p server/snn_voice_server server/snn_hub_sandbox \
    && touch lite/snn_voice_lite/__init__.py snn_voice_hub/__init__.py server/snn_voice_server/__init__.py \
        server/snn_hub_sandbox/__init__.py \
    && pip install ${PIP_EXTRA_ARGS} ./lite ".[${EXTRAS}]"

COPY lite lite
COPY snn_voice_hub snn_voice_hub
COPY server/snn_voice_server server/snn_voice_server
COPY server/snn_hub_sandbox server/snn_hub_sandbox
# The event-driven kernels for each generation of processor; the image itself has no compiler.
# hadolint ignore=DL3013,SC2086
RUN pip install ${PIP_EXTRA_ARGS} --no-deps --force-reinstall ./lite . \
    && python -m snn_voice_hub.native /opt/snn-voice/kernels

# More models, as "owner/name owner/other": each becomes the folder /models/owner/name. The token of private
# ones is a secret of the build, never a part of the image.
ARG MODELS=""
ARG HF_ENDPOINT
RUN --mount=type=secret,id=hf_token \
    mkdir -p /models \
    && if [ -s /run/secrets/hf_token ]; then HF_TOKEN="$(cat /run/secrets/hf_token)" && export HF_TOKEN; fi \
    && for model in ${MODELS}; do HF_HOME=/tmp/hub snn-voice pull --quiet "${model}" "/models/${model}" || exit 1; done \
    && rm -rf /tmp/hub

# --- what runs -----------------------------------------------------------------------------------
FROM python:${PYTHON_VERSION}-slim-bookworm

RUN groupadd --gid 10001 snn-voice \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /cache --shell /usr/sbin/nologin snn-voice \
    && install -d -o 10001 -g 10001 -m 700 /cache

COPY --from=builder /opt/snn-voice /opt/snn-voice
COPY --from=builder /models /models

ENV PATH="/opt/snn-voice/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/cache \
    HF_HOME=/cache/huggingface \
    SNN_VOICE_CACHE=/cache/snn-voice \
    SNN_VOICE_KERNELS=/opt/snn-voice/kernels \
    SNN_VOICE_HOST=0.0.0.0 \
    SNN_VOICE_PORT=8000 \
    SNN_VOICE_LOG_FORMAT=json \
    SNN_VOICE_LOG_LEVEL=info \
    SNN_VOICE_DRAIN_DELAY=5 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

USER 10001:10001
WORKDIR /cache
# All that is written: downloaded and converted models. The rest may be read-only.
VOLUME ["/cache"]
EXPOSE 8000
STOPSIGNAL SIGTERM

# A proxy for downloads must not get this request.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('SNN_VOICE_PORT', '8000') + '/health', timeout=4)"]

ENTRYPOINT ["snn-voice"]
CMD ["serve"]
