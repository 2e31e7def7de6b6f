# docker build -t emulator .            (buildah and podman build it too)
# docker run --rm -p 127.0.0.1:8080:8080 --read-only --tmpfs /tmp -v ./scenarios:/scenarios:ro -e EMULATOR_SCENARIO=/scenarios emulator
ARG BASE=docker.io/library/python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
# The locked versions, with hashes; they change less often than the code, so they are a layer of their own.
COPY requirements.txt ./
RUN python -m venv /opt/emulator \
    && /opt/emulator/bin/python -m pip install --no-cache-dir --disable-pip-version-check --quiet --only-binary :all: --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY emulator ./emulator
COPY fixtures ./fixtures
COPY scenarios ./scenarios
# What only builds and installs is left out of the image; the bytecode is made here, since the image can't be written to.
RUN /opt/emulator/bin/python -m pip install --no-cache-dir --disable-pip-version-check --quiet --no-deps --no-build-isolation . \
    && /opt/emulator/bin/python -m pip uninstall --yes --quiet hatchling editables pip \
    && python -m compileall -q -j 0 /opt/emulator/lib

FROM ${BASE}
LABEL org.opencontainers.image.title="llm-provider-emulator" \
      org.opencontainers.image.description="A local stand-in for LLM providers" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/emulator /opt/emulator
ENV PATH=/opt/emulator/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EMULATOR_HOST=0.0.0.0 \
    EMULATOR_PORT=8080
# A number, so that Kubernetes can tell that it is not root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 CMD ["emulator", "health"]
ENTRYPOINT ["emulator"]
CMD ["serve"]
