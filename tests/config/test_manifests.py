"""What docker/ promises about draining, probes and privileges, held against the code's figures."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from django.conf import settings

from config import serve
from gateway.services import SETTLE_SECONDS
from tests.stack import PROJECT

DOCKER = PROJECT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
BALANCER = (DOCKER / "haproxy" / "balancer.cfg").read_text()
RESOURCES: dict[str, dict[str, Any]] = {
    f"{found['kind']}/{found['metadata']['name']}": found
    for path in (DOCKER / "kubernetes").glob("*.yaml")
    for found in yaml.safe_load_all(path.read_text())
    if "metadata" in found
}
PODS = {
    name: found["spec"]["template"]["spec"]
    for name, found in RESOURCES.items()
    if name.startswith(("Deployment/", "Job/"))
}
DRAIN_SECONDS = serve.DRAIN_SECONDS + SETTLE_SECONDS


def test_every_deployment_gives_a_gateway_the_time_it_drains() -> None:
    assert f'"--drain-seconds", "{serve.DRAIN_SECONDS}"' in DOCKERFILE
    for name in ("gateway-1", "gateway-2"):
        assert _seconds(COMPOSE["services"][name]["stop_grace_period"]) >= DRAIN_SECONDS
    pod = PODS["Deployment/gateway"]
    (container,) = pod["containers"]
    (_, waits) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= int(waits) + DRAIN_SECONDS
    assert _configured("hard-stop-after") >= serve.DRAIN_SECONDS


def test_the_balancer_waits_longer_than_the_gateway_and_retries_nothing_that_was_sent() -> None:
    longest = max(settings.GATEWAY["ANSWER_TIMEOUT_SECONDS"], settings.GATEWAY["KEEPALIVE_SECONDS"])
    assert _configured("timeout server") > longest
    assert _configured("timeout client") > longest
    assert _configured("timeout http-keep-alive") < serve.KEEP_ALIVE_SECONDS
    assert re.findall(r"retry-on (.+)", BALANCER) == ["conn-failure"]
    assert "option httpchk" in BALANCER
    assert "uri /readyz" in BALANCER


def test_the_gateway_is_probed_and_a_store_away_does_not_kill_it() -> None:
    (container,) = PODS["Deployment/gateway"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "/readyz" in re.findall(r"HEALTHCHECK(?s:.)+?CMD (.+)", DOCKERFILE)[0]


@pytest.mark.parametrize("name", PODS)
def test_no_container_has_more_than_it_needs(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_the_image_runs_as_a_user_under_an_init_that_reaps() -> None:
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001$", final, re.MULTILINE)
    assert 'ENTRYPOINT ["/usr/bin/tini", "--"]' in final
    assert "collectstatic" not in final, "assets are built in before"


def test_gateways_scale_and_are_never_all_away() -> None:
    assert RESOURCES["HorizontalPodAutoscaler/gateway"]["spec"]["minReplicas"] >= 2
    assert RESOURCES["PodDisruptionBudget/gateway"]["spec"]["maxUnavailable"] == 1
    most = RESOURCES["HorizontalPodAutoscaler/gateway"]["spec"]["maxReplicas"]
    shared = RESOURCES["ConfigMap/ttonkapi"]["data"]["TTONK_GATEWAY_PROCESSES"]
    assert int(shared) >= most, "a local share of a limit is never too large"


def test_the_example_of_a_secret_holds_none() -> None:
    assert set(RESOURCES["Secret/ttonkapi"]["stringData"].values()) == {""}
    kustomization = yaml.safe_load((DOCKER / "kubernetes" / "kustomization.yaml").read_text())
    assert "secret.example.yaml" not in kustomization["resources"]


def test_compose_runs_two_gateways_behind_one_door_each_with_its_own_spool() -> None:
    services = COMPOSE["services"]
    spools = {services[name]["volumes"][0].partition(":")[0] for name in ("gateway-1", "gateway-2")}
    assert len(spools) == 2
    assert [name for name, each in services.items() if "8000:8000" in each.get("ports", ())] == [
        "balancer"
    ]
    address = services["balancer"]["networks"]["default"]["ipv4_address"]
    assert services["gateway-1"]["environment"]["TTONK_TRUSTED_PROXIES"] == f"{address}/32"


def _configured(name: str) -> float:
    return _seconds(re.findall(rf"^\s*{name} (\S+)$", BALANCER, re.MULTILINE)[0])


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))
