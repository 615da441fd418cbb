FROM python:3.12-slim
WORKDIR /touchpoint
COPY pyproject.toml README.md ./
COPY engine engine
RUN pip install --no-cache-dir .
COPY rules rules
COPY topics topics
USER nobody
ENTRYPOINT ["engine"]
