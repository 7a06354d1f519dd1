# The daemon, slim and without root. Build:  docker build -t streamrnn .
# torch is the CPU build; for a GPU give PyTorch's index of your CUDA version:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 -t streamrnn .
# Run:  docker run -v ./streamrnn.toml:/etc/streamrnn/streamrnn.toml:ro -v ./models:/models:ro -p 9464:9464 streamrnn
# Stop: docker stop -t 30 NAME  (limits.shutdown_budget_s is 25; docker's own default of 10 s cuts it short)
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=s3,gcs
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/streamrnn
ENV PATH=/opt/streamrnn/bin:$PATH
RUN pip install --index-url "${TORCH_INDEX}" "torch>=2.11,<2.14"
WORKDIR /src
COPY pyproject.toml README.md ./
COPY streamrnn streamrnn
RUN pip install ".[${EXTRAS}]" && python -m compileall -q /opt/streamrnn/lib/python*/site-packages/streamrnn
# The CPU's loops are compiled once here; a host with another processor compiles them anew at its first start.
# Away from /src: what is kept belongs to the path of the package it was compiled from.
WORKDIR /
ENV NUMBA_CACHE_DIR=/opt/streamrnn/numba
RUN python -m streamrnn.worker.precompiling

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin streamrnn
COPY --from=build /opt/streamrnn /opt/streamrnn
RUN chown -R streamrnn /opt/streamrnn/numba
ENV PATH=/opt/streamrnn/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CACHE_DIR=/opt/streamrnn/numba \
    STREAMRNN_HTTP__HOST=0.0.0.0 STREAMRNN_HTTP__PORT=9464
USER 10001:10001
WORKDIR /tmp
EXPOSE 9464
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['STREAMRNN_HTTP__PORT'] + '/livez', timeout=4)"]
ENTRYPOINT ["streamrnn"]
CMD ["serve", "--config", "/etc/streamrnn/streamrnn.toml"]
