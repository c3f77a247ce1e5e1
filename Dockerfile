# One image for every worker; which one it is, the command says. Built in two steps so that no build tool stays in it.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /app
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-dev --no-install-project
COPY services services
COPY shared shared
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.12-slim
RUN useradd --system --uid 1001 --no-create-home backoffice && \
    install -d -m 0700 -o backoffice /var/lib/backoffice
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 \
    BACKOFFICE_STACK=address BACKOFFICE_DATA=/var/lib/backoffice BACKOFFICE_HTTP_HOST=0.0.0.0 BACKOFFICE_HTTP_PORT=8000 BACKOFFICE_LOG_FORMAT=json
USER 1001
WORKDIR /tmp
EXPOSE 8000
# Ready is progress, not "the process is up". The steps that run once override this.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["backoffice", "--help"]
