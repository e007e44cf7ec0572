"""What lies in deploy/: manifests against the schema of what reads them, scripts, and versions in one place."""

import re
import subprocess
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from speechmill.core.config_errors import ConfigError
from speechmill.runner.beam import check_options

from deploy.flink.local.cluster import LIBRARIES, OPENS

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRIPTS = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.read_bytes().startswith(b"#!")]
MANIFESTS = sorted(DEPLOY.rglob("*.yaml"))


def operator_schema() -> dict[str, Any]:
    """The schema of a FlinkDeployment, from the operator's own jar."""
    jars = sorted((LIBRARIES / "operator").glob("*.jar"))
    if not jars:
        pytest.skip(f"no schema of the Flink operator in {LIBRARIES}: deploy/flink/local/install")
    with zipfile.ZipFile(jars[-1]) as jar:
        crd = yaml.safe_load(jar.read("META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"))
    (version,) = (one for one in crd["spec"]["versions"] if one["name"] == "v1beta1")
    return version["schema"]["openAPIV3Schema"]


def unknown(value: Any, schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Keys that a schema does not have, which the API server would drop in silence."""
    if isinstance(value, list):
        for one in value:
            yield from unknown(one, schema.get("items", {}), place)
    if not isinstance(value, dict) or "properties" not in schema:
        return
    for key, below in value.items():
        if key not in schema["properties"]:
            yield f"{place}.{key}"
        else:
            yield from unknown(below, schema["properties"][key], f"{place}.{key}")


def flaws(manifest: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    found = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest)]
    always = (".apiVersion", ".kind", ".metadata")  # of every object, which schemas leave out
    return found + [place for place in unknown(manifest, schema) if place not in always]


def test_the_session_cluster_is_one_for_the_operator() -> None:
    schema, manifest = operator_schema(), yaml.safe_load((DEPLOY / "flink/session.yaml").read_text())
    assert flaws(manifest, schema) == []
    manifest["spec"]["taskManager"]["podTemplate"]["spec"]["containers"][1]["readinesProbe"] = {}
    manifest["spec"]["flinkVersion"] = "v0_1"
    assert len(flaws(manifest, schema)) == 2, "a slip would be seen"


def test_versions_of_flink_and_beam_agree() -> None:
    """The versions of pom.xml and install are those of manifests and image."""
    pom = (DEPLOY / "flink/local/pom.xml").read_text()
    minor = re.search(r"beam-runners-flink-([\d.]+)<", pom)[1]
    assert re.search(r"^flink=([\d]+\.[\d]+)\.", (DEPLOY / "flink/local/install").read_text(), re.M)[1] == minor
    spec = yaml.safe_load((DEPLOY / "flink/session.yaml").read_text())["spec"]
    assert spec["flinkVersion"] == f"v{minor.replace('.', '_')}"
    assert spec["image"] == f"flink:{minor}"
    image = re.search(
        r"^FROM apache/beam_python([\d.]+)_sdk:([\d.]+) AS beam", (DEPLOY / "Dockerfile").read_text(), re.M
    )
    assert image[2] == metadata.version("apache-beam")
    assert f"python{image[1]}/" in (DEPLOY / "Dockerfile").read_text()


def test_the_image_of_the_job_server_starts_it_as_the_local_cluster_does() -> None:
    text = (DEPLOY / "flink/Dockerfile").read_text()
    assert set(re.findall(r"--add-opens=[\w./]+=[\w-]+", text)) == set(OPENS)
    copied = {name for line in re.findall(r"^COPY (deploy/.+) /src/$", text, re.M) for name in line.split()}
    assert copied == {f"deploy/flink/local/{name}" for name in ("install", "pom.xml", "files.sha256")}
    assert {"flink", "beam"} == set(re.findall(r"^COPY --from=libraries /opt/speechmill/(\w+) ", text, re.M))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_scripts_are_right_for_the_shell(path: Path) -> None:
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_beam_knows_the_options_that_scripts_and_manifests_give() -> None:
    script = (DEPLOY / "dataflow/run").read_text()
    options = re.findall(r'^  "?(--[^"\s]+)"?', script.partition("options=(")[2], re.M)
    assert len(options) > 9
    check_options(tuple(re.sub(r"\$\{?\w+(:-[\w-]+)?\}?", "x", option) for option in options))
    job = yaml.safe_load((DEPLOY / "flink/run.yaml").read_text())
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    check_options(tuple(arguments[arguments.index("--") + 1 :]))
    with pytest.raises(ConfigError, match="is unknown"):
        check_options(("--runner=DataflowRunner", "--no_such=1"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_manifests_run_as_the_image_does(path: Path) -> None:
    """They call the command line and nothing else, and restart what was lost."""
    manifest = yaml.safe_load(path.read_text())
    if manifest["kind"] != "Job":
        return
    pod = manifest["spec"]["template"]["spec"]
    assert [one["command"] for one in pod["containers"]] == [["speechmill", "run"]]
    assert pod["restartPolicy"] == "OnFailure"


def test_what_the_readme_names_is_there() -> None:
    text = (DEPLOY / "README.md").read_text()
    named = set(re.findall(r"`((?:flink|dataflow|slurm|kubernetes|prism)/[\w./-]*)`", text))
    named |= {path.removeprefix("deploy/") for path in re.findall(r"deploy/[\w./-]+", text)}
    assert len(named) > 8
    assert not {path for path in named if not (DEPLOY / path).exists()}
    options = set(re.findall(r"(?<![\w-])--(?:shard|until|input|output|set|stage_accelerator)\b", text))
    assert options == {"--shard", "--until", "--input", "--output", "--set", "--stage_accelerator"}
