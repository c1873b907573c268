"""Files to deploy with: their tools accept them, and they agree with the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from neo4j import GraphDatabase
from packaging.requirements import Requirement

from firstedge.graph.errors import QueryError
from firstedge.models.bundle_file import save_bundle
from firstedge.serving.client import Client
from firstedge.serving.filter import Filter
from firstedge.serving.metrics import Metrics
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Event, Query
from firstedge.serving.wire import SERVICE
from firstedge.settings import SETTINGS, read_settings
from tests.conftest import ROOT
from tests.models.bundles import random_bundle

DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path = DEPLOY) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def test_the_image_is_well_defined() -> None:
    run(TOOLS / "hadolint", "--failure-threshold", "style", "Dockerfile")
    text = (DEPLOY / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.M)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert "USER 10001" in text


def needed(package: str, extra: str = "") -> Iterator[str]:
    """The names of all that a package needs here."""
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return
    for line in lines:
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            yield one.name.lower()
            yield from needed(one.name)


def test_the_image_has_no_torch() -> None:
    for extra in ("serve", "ann", "otel"):
        names = set(needed("firstedge", extra))
        assert {"numpy", "ladybug"} < names
        assert not names & {"torch", "torch-geometric", "transformers", "scikit-learn"}


def test_compose_accepts_its_file() -> None:
    run(TOOLS / "docker-compose", "-f", "compose.yaml", "config", "--quiet")
    (compose,) = documents("compose.yaml")
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            known = place in compose["volumes"] or (DEPLOY / place).exists()
            assert known or place == "./bundle"


def test_compose_and_neo4j_accept_the_file_of_the_database(neo4j_server: Any) -> None:
    run(TOOLS / "docker-compose", "-f", "compose.neo4j.yaml", "config", "--quiet")
    (compose,) = documents("compose.neo4j.yaml")
    service = compose["services"]["neo4j"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # As the image makes settings of its environment: a dot of each "_", a "_" of each "__".
    names = {
        name.removeprefix("NEO4J_").replace("__", " ").replace("_", ".").replace(" ", "_")
        for name in service["environment"]
        if name != "NEO4J_AUTH_FILE"
    }
    with (
        GraphDatabase.driver(neo4j_server.url, auth=("neo4j", neo4j_server.password)) as driver,
        driver.session() as session,
    ):
        known = {row["name"] for row in session.run("SHOW SETTINGS YIELD name")}
    assert len(names) == 4
    assert names <= known


def test_kubernetes_accepts_its_manifests() -> None:
    run(TOOLS / "kubernetes-validate", "--strict", "kubernetes.yaml")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_accepts_its_unit(tmp_path: Path) -> None:
    unit = (DEPLOY / "firstedge.service").read_text()
    command = "/opt/firstedge/bin/firstedge"
    assert f"ExecStart={command} serve --schema /etc/firstedge/firstedge.toml" in unit
    (tmp_path / "firstedge.service").write_text(unit.replace(command, str(TOOLS / "firstedge")))
    run("systemd-analyze", "verify", tmp_path / "firstedge.service")


def manifests() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in documents("kubernetes.yaml")}


def test_settings_and_ports_agree(tmp_path: Path) -> None:
    settings = read_settings(DEPLOY / "firstedge.toml")
    inside = tmp_path / "firstedge.toml"
    inside.write_text(manifests()["ConfigMap"]["data"]["firstedge.toml"])
    assert read_settings(inside)["bundle"] == settings["bundle"]
    port, metrics_port = settings["port"], settings["metrics_port"]
    assert f"EXPOSE {port} {metrics_port}" in (DEPLOY / "Dockerfile").read_text()
    (prometheus,) = documents("prometheus.yaml")
    assert prometheus["scrape_configs"][0]["static_configs"] == [
        {"targets": [f"firstedge:{metrics_port}"]}
    ]
    pod = manifests()["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert [one["containerPort"] for one in container["ports"]] == [port, metrics_port]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(metrics_port)
    probes = [container[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")]
    assert probes == [
        {"port": port, "service": SERVICE},
        {"port": port, "service": SERVICE},
        {"port": port},
    ]
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace > ServiceOptions(Path(), port=0).drain_seconds


def test_the_dashboard_shows_what_is_counted() -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "firstedge.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = set(re.findall(r"\b(?:firstedge|process)_\w+", " ".join(asked)))
    metrics = Metrics()
    metrics.answered("Recommend", "RESOURCE_EXHAUSTED", 0.1)
    counted = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    counted |= {family.name for family in metrics.registry.collect()}
    assert names - counted == set()
    own = {name for name in names if name.startswith("firstedge_")}
    assert len(own) >= 10
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_setting_of_serve_is_one_of_the_file() -> None:
    import inspect

    from firstedge.cli_serve import serve

    parameters = {**inspect.signature(serve, eval_str=True).parameters}
    del parameters["as_json"], parameters["schema"]
    assert set(parameters) - set(SETTINGS) == set()
    table = (ROOT / "docs" / "operating.md").read_text("utf-8")
    for name, parameter in parameters.items():
        (option,) = parameter.annotation.__metadata__
        assert option.envvar == f"FIRSTEDGE_{name.upper()}"
        assert f"`{name}`" in table


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    save_bundle(random_bundle(), tmp_path / "bundle")
    (tmp_path / "firstedge.toml").write_text(
        f'[settings]\nbundle = "{tmp_path / "bundle"}"\nport = 1\nmetrics_port = 1\n'
        'log_format = "json"\nhost = "localhost"\nmax_k = 5\nmax_events = 7\nmax_ids = 7\n'
    )
    environment = {
        "FIRSTEDGE_METRICS_PORT": "0",
        "FIRSTEDGE_PORT": "2",
        "FIRSTEDGE_MAX_EVENTS": "1",
        "FIRSTEDGE_MAX_IDS": "1",
    }
    server = subprocess.Popen(
        [TOOLS / "firstedge", "serve", "--json", "--port", "0", "--max-ids", "2"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = json.loads(server.stdout.readline())
        assert found["host"] == "localhost"
        assert found["port"] > 2
        assert found["metrics_port"] > 2
        with Client(f"localhost:{found['port']}") as client:
            assert len(client.recommend(k=5)) == 5
            with pytest.raises(QueryError, match="k: up to 5 here, got 6"):
                client.recommend(k=6)
            with pytest.raises(QueryError, match="events: up to 1 here, got 2"):
                client.recommend(Query([Event("i003"), Event("i004")]))
            with pytest.raises(QueryError, match=r"filter\.denied: up to 2 here, got 3"):
                client.recommend(k=1, filter=Filter(denied=("i001", "i002", "i003")))
        probe = [sys.executable, "-m", "firstedge.serving.probe"]
        run(*probe, f"localhost:{found['port']}")
    finally:
        server.terminate()
        server.communicate(timeout=60)
    assert server.returncode == 0
    gone = subprocess.run([*probe, f"localhost:{found['port']}"], capture_output=True, text=True)
    assert (gone.returncode, gone.stderr) == (1, f"localhost:{found['port']}: UNAVAILABLE\n")
