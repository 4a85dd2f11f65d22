# A server of trained runs: see docs/how-to/serve.md.
#
#   docker build -t reparam .
#   docker run --rm -p 8000:8000 -v "$PWD/runs:/runs:ro" -e REPARAM_API_KEY reparam /runs/people

FROM python:3.11-slim

# The index of PyTorch's packages for the processor alone, which are much smaller; empty for the default.
ARG TORCH_INDEX=""

WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c constraints.txt torch
COPY src ./src
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'

RUN useradd --create-home --uid 10001 reparam
USER reparam
WORKDIR /home/reparam
EXPOSE 8000

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]

# exec form: the server itself gets SIGTERM, and finishes what it has taken.
ENTRYPOINT ["reparam", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--help"]
