"""What is deployed: the image, the compose file, the action and the manifests say nothing that a server doesn't do."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from served import ENVIRONMENT, Served, run, served
from talk import single

from emulator.cli import serve
from emulator.cli.options import unknown_variables
from emulator.lint import warnings
from emulator.scenario.sources import load

ROOT = Path(__file__).parent.parent
MANIFESTS = ROOT / "docs" / "deploy" / "kubernetes"
TOKEN = {"authorization": "Bearer of-the-test"}


@pytest.fixture(scope="module")
def reachable() -> Iterator[Served]:
    """A server set up as a container is: by variables alone, on all addresses."""
    variables = {"EMULATOR_HOST": "0.0.0.0", "EMULATOR_CONTROL_TOKEN": "of-the-test", "EMULATOR_LOG": "off"}
    with served(environment=variables) as server:
        yield server


def url_of(server: Served) -> str:
    return f"http://127.0.0.1:{server.port}"


# A server that others can reach


def test_a_server_in_a_container_is_set_up_by_variables_and_prints_a_url_to_click(reachable: Served) -> None:
    assert (
        reachable.first_line
        == f"The emulator is listening on http://0.0.0.0:{reachable.port}. Press Ctrl-C to stop it.\n"
    )
    (line,) = [line for line in reachable.lines("/__emulator/") if "open" in line]
    url = line.split()[-1]
    assert url == f"{url_of(reachable)}/__emulator/?token=of-the-test"
    assert single.get(url).status_code == 200


def test_its_control_api_asks_for_the_token(reachable: Served, http: httpx.Client) -> None:
    journal = f"{url_of(reachable)}/__emulator/journal"
    assert http.get(journal).status_code == 401
    assert http.get(journal, headers=TOKEN).status_code == 200
    assert http.get(journal, params={"token": "of-the-test"}).status_code == 200
    assert http.get(journal, headers={"host": "emulator:8080", **TOKEN}).status_code == 200


def test_env_reaches_it_with_the_token(reachable: Served) -> None:
    words = ("env", "--shell", "github", "--url", url_of(reachable))
    code, out, _ = run(*words, environment={"EMULATOR_CONTROL_TOKEN": "of-the-test"})
    assert code == 0
    assert f"OPENAI_BASE_URL={url_of(reachable)}/serevix/v1" in out.splitlines()
    assert run(*words)[0] == 1


def test_without_a_token_of_its_own_it_makes_one() -> None:
    with served(environment={"EMULATOR_HOST": "0.0.0.0"}) as server:
        assert re.fullmatch(r".*/__emulator/\?token=[\w-]{32}", server.lines("token=")[-1])


# The image


def instructions(text: str) -> list[tuple[str, str]]:
    """A Dockerfile as pairs of keyword and the rest, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def flaws(text: str, ignored: list[str]) -> Iterator[str]:
    """What is wrong with a Dockerfile."""
    steps = instructions(text)
    defaults = dict(rest.split("=", 1) for keyword, rest in steps if keyword == "ARG" and "=" in rest)
    for keyword, rest in steps:
        if keyword == "FROM":
            image = re.sub(r"\$\{(\w+)\}", lambda found: defaults.get(found[1], ""), rest.split()[0])
            if not re.search(r":[\w.-]*\d[\w.-]*$", image):
                yield f"{image} is not pinned"
        if keyword in ("CMD", "ENTRYPOINT") and not isinstance(json.loads(rest if rest[0] == "[" else "0"), list):
            yield f"{keyword} is run by a shell"
        if keyword == "HEALTHCHECK" and "CMD [" not in rest:
            yield "HEALTHCHECK is run by a shell"
        if keyword == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                if not (ROOT / source).exists() or f"!{source}" not in ignored:
                    yield f"{source} is not in the build's context"
        if keyword == "ADD":
            yield "ADD is used where COPY would do"
        if keyword == "RUN":
            if "pip install" in rest and "--no-cache-dir" not in rest:
                yield "pip leaves a cache"
            if "apt-get install" in rest and "rm -rf /var/lib/apt/lists" not in rest:
                yield "apt leaves its lists"
            if "sudo " in rest:
                yield "sudo is used"
    last = max(number for number, (keyword, _) in enumerate(steps) if keyword == "FROM")
    users = [rest for keyword, rest in steps[last:] if keyword == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:\d+)?", users[-1]):
        yield "it does not run as a user other than root, by number"
    if not any(keyword == "HEALTHCHECK" for keyword, _ in steps):
        yield "it has no HEALTHCHECK"


def last(keyword: str) -> str:
    return [rest for each, rest in instructions((ROOT / "Dockerfile").read_text()) if each == keyword][-1]


def image_variables() -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S+)", last("ENV")))


def test_the_dockerfile_has_no_flaws() -> None:
    text, ignored = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().split()
    assert list(flaws(text, ignored)) == []
    locked = [rest for keyword, rest in instructions(text) if keyword == "RUN" and "requirements.txt" in rest]
    assert ["--require-hashes" in rest for rest in locked] == [True]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("FROM python:latest", "python:latest is not pinned"),
        ("FROM python", "python is not pinned"),
        ("FROM a:1\nCMD emulator serve", "CMD is run by a shell"),
        ("FROM a:1\nCOPY secrets /", "secrets is not in the build's context"),
        ("FROM a:1\nRUN apt-get install -y x", "apt leaves its lists"),
        ("FROM a:1\nUSER root", "it does not run as a user other than root, by number"),
    ],
)
def test_flaws_of_a_dockerfile_are_seen(text: str, flaw: str) -> None:
    assert flaw in list(flaws(text, []))


def test_the_image_serves_on_all_addresses_and_its_health_check_finds_that(reachable: Served) -> None:
    variables = {name: value for name, value in image_variables().items() if name.startswith("EMULATOR_")}
    assert variables == {"EMULATOR_HOST": "0.0.0.0", "EMULATOR_PORT": "8080"}
    assert unknown_variables(variables, serve.command) == []
    assert last("EXPOSE") == variables["EMULATOR_PORT"]
    assert [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))] == ["emulator", "serve"]
    command, *words = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert command == "emulator"
    assert run(*words, environment={**variables, "EMULATOR_PORT": str(reachable.port)})[0] == 0
    assert run(*words, environment={**variables, "EMULATOR_PORT": "1"})[0] == 1


# Compose


def test_the_compose_file_runs_the_image_as_it_is_meant(reachable: Served) -> None:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert service["ports"] == [f"127.0.0.1:${{PORT:-8080}}:{image_variables()['EMULATOR_PORT']}"]
    assert unknown_variables(dict.fromkeys(service["environment"], "x"), serve.command) == []
    (mounted,) = service["volumes"]
    assert mounted == "${SCENARIOS:-./scenarios}:/scenarios:ro"
    kind, _, *words = service["healthcheck"]["test"]
    assert kind == "CMD"
    assert run(*words, environment={"EMULATOR_PORT": str(reachable.port)})[0] == 0


# Kubernetes


def manifests() -> list[dict[str, Any]]:
    """Every object that is applied; the values of a chart are none."""
    files = [path for path in sorted(MANIFESTS.glob("*.yaml")) if path.name != "prometheus-adapter.yaml"]
    return [each for path in files for each in yaml.safe_load_all(path.read_text()) if each["kind"] != "Kustomization"]


def of_kind(kind: str) -> list[dict[str, Any]]:
    found = [each for each in manifests() if each["kind"] == kind]
    assert found, kind
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The template of each workload."""
    return {
        each["metadata"]["name"]: each["spec"]["template"] for each in of_kind("StatefulSet") + of_kind("Deployment")
    }


def replica() -> dict[str, Any]:
    (container,) = pods()["emulator"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_every_manifest_is_applied_or_named_as_optional() -> None:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    optional = {"autoscaler.yaml", "monitor.yaml", "prometheus-adapter.yaml", "kustomization.yaml"}
    assert {path.name for path in MANIFESTS.iterdir()} == {*listed, *optional}


@pytest.mark.parametrize("name", ["emulator", "emulator-router"])
def test_pods_run_without_root_and_write_nowhere_but_tmp(name: str) -> None:
    spec = pods()[name]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert [(mount["mountPath"], "emptyDir" in volumes[mount["name"]]) for mount in writable] == [("/tmp", True)]
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    assert {"cpu", "memory"} == set(container["resources"]["requests"])


def test_replicas_run_as_the_user_of_the_image() -> None:
    security = pods()["emulator"]["spec"]["securityContext"]
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == last("USER")


def test_probes_ask_what_answers_without_a_token(reachable: Served, http: httpx.Client) -> None:
    container = replica()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    variables = {each["name"]: each.get("value", "x") for each in container["env"]}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container[name]["httpGet"]
        assert str(ports[probe["port"]]) == variables["EMULATOR_PORT"]
        assert http.get(url_of(reachable) + probe["path"], headers={"host": "10.0.0.7:8080"}).status_code == 200


def test_the_options_and_variables_of_replicas_exist() -> None:
    container = replica()
    assert unknown_variables({each["name"]: "x" for each in container["env"]}, serve.command) == []
    name, *options = container["args"]
    assert name == "serve"
    assert serve.command.make_context(name, options).params["log"] == "json"


def test_services_policies_and_budgets_select_the_pods() -> None:
    labels = [pod["metadata"]["labels"] for pod in pods().values()]
    selectors = [each["spec"]["selector"] for each in of_kind("Service")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind("NetworkPolicy")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind("PodDisruptionBudget")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind("PodMonitor")]
    chosen = [[selector.items() <= each.items() for each in labels].count(True) for selector in selectors]
    assert chosen == [1] * 6
    guarded = [each["spec"]["podSelector"]["matchLabels"] for each in of_kind("NetworkPolicy")]
    assert all(any(selector.items() <= each.items() for selector in guarded) for each in labels)


def test_the_autoscaler_reads_a_metric_that_is_there(reachable: Served, http: httpx.Client) -> None:
    (scaler,), (monitor,) = of_kind("HorizontalPodAutoscaler"), of_kind("PodMonitor")
    (metric,), (endpoint,) = scaler["spec"]["metrics"], monitor["spec"]["podMetricsEndpoints"]
    name = metric["pods"]["metric"]["name"]
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) in [(each["kind"], each["metadata"]["name"]) for each in manifests()]
    assert f"\n{name} 0.0\n" in http.get(url_of(reachable) + endpoint["path"], headers=TOKEN).text
    (rule,) = yaml.safe_load((MANIFESTS / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert (rule["seriesQuery"].partition("{")[0], rule["name"]["as"]) == (name, name)
    (router,) = [each for each in of_kind("ConfigMap") if each["metadata"]["name"] == "emulator-router"]
    known = re.findall(r"server emulator-(\d+)\.", router["data"]["nginx.conf"])
    assert known == [str(number) for number in range(scaler["spec"]["maxReplicas"])]


# Replicas that share a Redis

REDIS = ROOT / "docs" / "deploy" / "kubernetes-redis"


def with_redis() -> dict[str, list[dict[str, Any]]]:
    """The objects of the variant, by file."""
    return {
        path.name: list(yaml.safe_load_all(path.read_text()))
        for path in REDIS.glob("*.yaml")
        if path.name != "kustomization.yaml"
    }


def test_the_variant_with_redis_patches_what_there_is() -> None:
    overlay = yaml.safe_load((REDIS / "kustomization.yaml").read_text())
    assert overlay["resources"] == ["../kubernetes", "redis.yaml"]
    paths = [each["path"] for each in overlay["patches"] if "path" in each]
    assert {*paths, "redis.yaml"} == with_redis().keys()
    known = {(each["kind"], each["metadata"]["name"]) for each in manifests()}
    patched = [each for name in paths for each in with_redis()[name]]
    patched += [yaml.safe_load(each["patch"]) for each in overlay["patches"] if "patch" in each]
    assert {(each["kind"], each["metadata"]["name"]) for each in patched} <= known
    gone = {(each["kind"], each["metadata"]["name"]) for each in patched if each.get("$patch") == "delete"}
    left = {key for key in known if key[1] == "emulator-router"} - gone
    assert left == {("Service", "emulator-router")}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [MANIFESTS, REDIS], ids=["router", "redis"])
def test_kubectl_builds_what_is_applied(folder: Path) -> None:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[:2000]
    built = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}
    replicas = built["StatefulSet", "emulator"]["spec"]["template"]["spec"]["containers"][0]
    names = {each["name"] for each in replicas["env"]}
    assert ("EMULATOR_STORE" in names) == (folder == REDIS)
    assert (("Deployment", "emulator-router") in built) == (folder == MANIFESTS)
    assert {"livenessProbe", "readinessProbe"} <= replicas.keys()


def test_replicas_reach_the_redis_of_the_variant_and_nothing_else_does() -> None:
    objects = {(each["kind"], each["metadata"]["name"]): each for each in with_redis()["redis.yaml"]}
    patches = {each["kind"]: each for each in with_redis()["replicas.yaml"]}
    redis = objects["Deployment", "emulator-redis"]["spec"]["template"]
    labels = redis["metadata"]["labels"]
    (container,) = redis["spec"]["containers"]
    assert redis["spec"]["securityContext"]["runAsNonRoot"] is True
    assert {"livenessProbe", "readinessProbe"} <= container.keys()
    assert "noeviction" in container["args"]
    (environment,) = patches["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["env"]
    service = objects["Service", "emulator-redis"]
    assert environment == {"name": "EMULATOR_STORE", "value": "redis://emulator-redis:6379/0"}
    assert unknown_variables({environment["name"]: environment["value"]}, serve.command) == []
    assert (service["metadata"]["name"], service["spec"]["ports"][0]["port"]) == ("emulator-redis", 6379)
    assert service["spec"]["selector"] == labels
    (to_redis,) = patches["NetworkPolicy"]["spec"]["egress"][0]["to"]
    assert to_redis["podSelector"]["matchLabels"] == labels
    policy = objects["NetworkPolicy", "emulator-redis"]["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    (source,) = policy["ingress"][0]["from"]
    replica = pods()["emulator"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"].items() <= replica.items()
    assert patches["Service"]["spec"]["selector"].items() <= replica.items()


def test_the_image_has_what_the_store_needs() -> None:
    assert re.search(r"^redis==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


def config_map(folder: Path, version: str, content: str) -> None:
    """A ConfigMap's files as a kubelet writes them: a link to a folder that is replaced as a whole."""
    (folder / version).mkdir()
    (folder / version / "scenario.yaml").write_text(content)
    (folder / "..data_tmp").symlink_to(version)
    (folder / "..data_tmp").rename(folder / "..data")
    if not (folder / "scenario.yaml").is_symlink():
        (folder / "scenario.yaml").symlink_to("..data/scenario.yaml")


def test_a_changed_config_map_reaches_a_running_replica(tmp_path: Path, http: httpx.Client) -> None:
    (mounted,) = [each for each in of_kind("ConfigMap") if each["metadata"]["name"] == "emulator-scenarios"]
    text = mounted["data"]["scenario.yaml"]
    assert list(warnings(load(yaml.safe_load(text)))) == []
    config_map(tmp_path, "..1", text)  # the names of its folders begin with two dots
    with served(environment={"EMULATOR_SCENARIO": str(tmp_path), "EMULATOR_SPEED": "max"}) as server:

        def said() -> str:
            body = {"model": "deepseek-v3", "messages": [{"role": "user", "content": "Well, hello."}]}
            url = f"{url_of(server)}/serevix/v1/chat/completions"
            reply = http.post(url, json=body, headers={"authorization": "Bearer k"}).json()
            content: str = reply["choices"][0]["message"]["content"]
            return content

        assert said() == "Hello from the cluster."
        config_map(tmp_path, "..2", text.replace("from the cluster", "again"))
        deadline = time.monotonic() + 30
        while (content := said()) != "Hello again.":
            assert (content, time.monotonic() < deadline) == ("Hello from the cluster.", True)


# The action


def step(name: str, **inputs: str) -> tuple[str, dict[str, str]]:
    """The script of a step, and its variables with the inputs in them."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    values = {each: str(facts["default"]) for each, facts in action["inputs"].items()} | inputs
    (found,) = [each for each in action["runs"]["steps"] if each["id"] == name]
    assert found["shell"] == "bash"
    assert "${{" not in found["run"]  # an input in a script would be code
    variables = {
        each: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: values[match[1]], text)
        for each, text in found["env"].items()
    }
    return found["run"], variables


def run_step(name: str, folder: Path, **inputs: str) -> "subprocess.CompletedProcess[str]":
    """A step as GitHub runs it."""
    script, variables = step(name, **inputs)
    files = {f"GITHUB_{each}": str(folder / each) for each in ("ENV", "OUTPUT", "PATH")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "RUNNER_TEMP": str(folder), "GITHUB_ACTION_PATH": str(ROOT), **files, **variables}
    given = {name: value for name, value in ENVIRONMENT.items() if not name.endswith(("_BASE_URL", "_API_KEY"))}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        capture_output=True, text=True, timeout=50, check=False, env={**given, **environment},
    )  # fmt: skip


def free_port() -> str:
    with served() as server:
        return str(server.port)


def test_the_action_starts_a_server_and_points_clients_at_it(tmp_path: Path, http: httpx.Client) -> None:
    port = free_port()
    done = run_step("start", tmp_path, port=port, options="--speed max --strict", scenario="flaky_then_fine")
    pid = int((tmp_path / "emulator.pid").read_text())
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "OUTPUT").read_text() == f"url=http://127.0.0.1:{port}\nlog={tmp_path}/emulator.log\n"
        assert f"OPENAI_BASE_URL=http://127.0.0.1:{port}/serevix/v1\n" in (tmp_path / "ENV").read_text()
        rules = http.get(f"http://127.0.0.1:{port}/__emulator/scenario").json()
        assert "flaky" in json.dumps(rules)
    finally:
        os.kill(pid, 15)


def test_the_action_says_why_the_server_did_not_start(tmp_path: Path) -> None:
    done = run_step("start", tmp_path, port=free_port(), scenario=str(tmp_path / "missing.yaml"))
    assert done.returncode == 1
    assert "::error title=The emulator did not start::" in done.stdout
    assert "missing.yaml" in done.stdout


def test_the_action_takes_no_other_server_for_its_own(reachable: Served, tmp_path: Path) -> None:
    done = run_step("start", tmp_path, port=str(reachable.port))
    assert done.returncode == 1
    assert f"{reachable.port}" in done.stdout.partition("::error title=The emulator did not start::")[2]


def test_outputs_of_the_action_come_from_its_steps() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    script, _ = step("start")
    for name, output in action["outputs"].items():
        assert output["value"] == f"${{{{ steps.start.outputs.{name} }}}}"
        assert f'echo "{name}=' in script
    assert shlex.split(step("install")[0])  # its quotes are closed
