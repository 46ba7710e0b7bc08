"""The container server's manifests against Kubernetes' own schemas, and against what the server and its image say."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from inference import server
from inference.server import ServerSettings
from pawl.settings import variables

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "functions" / "inference" / "kubernetes"
DOCKERFILE = ROOT / "functions" / "inference" / "Dockerfile"
Manifest = dict[str, Any]


def _documents() -> Iterator[Manifest]:
    for path in sorted(FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


MANIFESTS = {each["kind"]: each for each in _documents()}


@pytest.fixture
def pod() -> Manifest:
    return MANIFESTS["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    (container,) = pod["containers"]
    return container


@pytest.fixture
def environment(container: Manifest) -> dict[str, Manifest]:
    return {each["name"]: each for each in container["env"]}


@pytest.fixture
def instructions() -> list[list[str]]:
    """The Dockerfile's instructions as words, continued lines joined."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def _said(instructions: list[list[str]], word: str) -> list[list[str]]:
    return [words[1:] for words in instructions if words[0] == word]


# ---- Kubernetes


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("kind", sorted(MANIFESTS))
def test_a_manifest_is_what_kubernetes_takes_and_has_no_field_that_it_does_not_know(kind: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[kind], version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    service = {**MANIFESTS["Service"], "spce": {}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, kubernetes_validate.latest_version(), strict=True)


def test_there_is_one_of_each_kind_and_all_mean_the_same_pods() -> None:
    assert sorted(MANIFESTS) == ["Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"]
    deployment = MANIFESTS["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    selectors = [deployment["selector"]["matchLabels"], MANIFESTS["Service"]["spec"]["selector"]]
    selectors.append(MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"])
    assert all(selector.items() <= labels for selector in selectors)
    target = MANIFESTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", MANIFESTS["Deployment"]["metadata"]["name"])


def test_nothing_runs_as_root_nor_may_become_it(pod: Manifest, container: Manifest) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_nothing_can_be_written_anywhere(pod: Manifest, container: Manifest) -> None:
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_an_image_is_named_by_a_version_or_a_digest(container: Manifest) -> None:
    assert re.fullmatch(r"[^:@]+(:\d+\.\d+\.\d+|@sha256:[0-9a-f]{64})", container["image"])
    assert ":latest" not in DOCKERFILE.read_text(encoding="utf-8")


def test_processor_and_memory_are_asked_for_and_limited(container: Manifest) -> None:
    for side in ("requests", "limits"):
        assert set(container["resources"][side]) == {"cpu", "memory"}


def test_probes_ask_what_the_server_answers_without_a_key(container: Manifest) -> None:
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {
        "startupProbe": "/v2/health/ready",
        "readinessProbe": "/v2/health/ready",
        "livenessProbe": "/v2/health/live",
    }
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert all(container[name]["httpGet"]["port"] in ports for name in paths)


def test_the_service_publishes_every_port_but_the_one_that_wants_no_key(container: Manifest) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service = MANIFESTS["Service"]["spec"]["ports"]
    annotations = MANIFESTS["Deployment"]["spec"]["template"]["metadata"]["annotations"]

    assert {port["targetPort"] for port in service} == set(ports) - {"metrics"}
    assert annotations["prometheus.io/port"] == str(ports["metrics"])


def test_how_many_pods_there_are_is_the_autoscalers_to_say() -> None:
    """A number in the deployment would set it back at each apply."""
    scaler = MANIFESTS["HorizontalPodAutoscaler"]["spec"]

    assert "replicas" not in MANIFESTS["Deployment"]["spec"]
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]


def test_the_pod_has_time_to_drain(pod: Manifest, environment: dict[str, Manifest]) -> None:
    seconds = [float(environment[name]["value"]) for name in ("LINGER_S", "DRAIN_S")]
    probe = pod["containers"][0]["readinessProbe"]

    assert pod["terminationGracePeriodSeconds"] > sum(seconds) + server.FLUSH_S
    assert seconds[0] >= probe["periodSeconds"]


def test_the_environment_has_only_settings_that_the_server_reads_and_no_secret(
    environment: dict[str, Manifest],
) -> None:
    assert set(environment) <= set(variables(ServerSettings))
    for name in ("API_KEYS", "RECEIPT_KEYS", "TRUSTED_KEYS", "CAPTURE_QUEUE_URL"):
        assert "secretKeyRef" in environment[name]["valueFrom"]


# ---- the image


def test_whatever_the_image_copies_is_there(instructions: list[list[str]]) -> None:
    sources = [
        source for words in _said(instructions, "COPY") if not words[0].startswith("--from") for source in words[:-1]
    ]

    assert "functions/inference" in sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_installs_packages_that_the_project_names_at_its_constraints(instructions: list[list[str]]) -> None:
    (install,) = [words for words in _said(instructions, "RUN") if "pip" in " ".join(words)]
    extras = re.findall(r"\.\[([a-z,]+)\]", " ".join(install))[0].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    assert {"serving", "server"} <= set(extras) <= set(known)
    assert install[install.index("--constraint") + 1] == "constraints.txt"


def test_the_image_runs_the_server_as_somebody_who_owns_nothing(
    instructions: list[list[str]], container: Manifest, pod: Manifest
) -> None:
    user = pod["securityContext"]["runAsUser"]
    group = pod["securityContext"]["runAsGroup"]
    assert _said(instructions, "USER") == [[f"{user}:{group}"]]
    assert "".join(_said(instructions, "CMD")[0]) == "[python,-m,inference.server]"
    assert _said(instructions, "EXPOSE") == [[str(port["containerPort"]) for port in container["ports"]]]


def test_the_images_environment_is_the_servers_settings(instructions: list[list[str]], container: Manifest) -> None:
    (words,) = _said(instructions, "ENV")
    given = dict(word.split("=", 1) for word in words)
    settings = {name: value for name, value in given.items() if name in variables(ServerSettings)}

    places = {"MODELS": "/models", "LISTEN": "0.0.0.0"}
    assert settings == {**places, "HTTP_PORT": "8080", "GRPC_PORT": "8081", "METRICS_PORT": "8082"}
    assert settings["MODELS"] == container["volumeMounts"][0]["mountPath"]
    of_libraries = {"PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "ORT_DISABLE_TELEMETRY"}
    assert not set(given) - set(settings) - of_libraries
