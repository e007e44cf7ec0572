"""The graph as a service gets it: nothing of this machine is in it, and each stage asks for the machine it needs."""

import base64
import bz2
import re
from dataclasses import replace

import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.portability.common_urns import resource_hints
from speechmill.core import config_file
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.fetch import model_folder
from speechmill.runner.beam import make_graph
from speechmill.runner.beam.options import read_options
from speechmill.stages.hypotheses import folder_of
from speechmill.stages.profiles import plan_build

OPTIONS = (
    "--runner=DataflowRunner", "--dry_run=True", "--project=my-project-1", "--region=europe-west4", "--no_auth",
    "--temp_location=gs://speechmill-test/temp", "--staging_location=gs://speechmill-test/staging",
    "--sdk_container_image=europe-docker.pkg.dev/my-project-1/speechmill/worker:0.2", "--sdk_location=container",
)  # fmt: skip
MAX_ELEMENT_BYTES = 1_000_000
LOCAL_PATH = re.compile(rb"/(?:root|home|tmp|Users|work|var|opt|private)/[\w./+-]{2,}")
Needs = dict[str, tuple[str, str]]  # accelerator and memory by stage


@pytest.fixture
def build() -> Build:
    settings = ("device=cuda", "asr.model=tiny.en", "speakers.model=null", "turns.model=null")
    config = config_file.load(None, settings, inputs=("https://example.org/feed.xml",), output="memory://corpus")
    return plan_build(config, Store("memory://corpus"), find_model=model_folder)


def translated(build: Build, *options: str) -> api.Pipeline:
    proto, _ = make_graph(build, read_options((*OPTIONS, *options))).to_runner_api(return_context=True)
    return proto


def needs(proto: api.Pipeline) -> Needs:
    """What each transform that has hints asks for."""
    found = {}
    for transform in proto.components.transforms.values():
        hints = proto.components.environments[transform.environment_id].resource_hints
        if hints and transform.spec.urn == "beam:transform:pardo:v1":
            wanted = (resource_hints.ACCELERATOR.urn, resource_hints.MIN_RAM_BYTES.urn)
            found[transform.unique_name.removeprefix("stages/")] = tuple(hints.get(urn, b"").decode() for urn in wanted)
    return found


GPU = "type:nvidia-l4;count:1;install-nvidia-driver"


def test_only_stages_that_run_on_a_gpu_get_one(build: Build) -> None:
    expected = {"score": (GPU, ""), "transcribe": (GPU, "8000000000"), "tokenise": (GPU, "")}
    assert needs(translated(build)) == expected


def test_another_accelerator_can_be_asked_for(build: Build) -> None:
    t4 = "type:nvidia-tesla-t4;count:1"
    assert {one[0] for one in needs(translated(build, f"--stage_accelerator={t4}")).values()} == {t4}


def test_without_a_gpu_only_memory_is_asked_for(build: Build) -> None:
    found = needs(translated(replace(build, device="cpu")))
    assert found == {"transcribe": ("", "8000000000")}


def test_other_runners_get_no_hints_and_so_one_environment(build: Build) -> None:
    proto = make_graph(build, read_options(())).to_runner_api()
    assert len({one.environment_id for one in proto.components.transforms.values() if one.environment_id}) == 1
    assert not needs(proto)


def pickled(proto: api.Pipeline) -> bytes:
    """All that the graph carries in pickles, which Beam compresses."""
    functions = (
        api.ParDoPayload.FromString(transform.spec.payload).do_fn.payload
        for transform in proto.components.transforms.values()
        if transform.spec.urn == "beam:transform:pardo:v1"
    )
    return b"".join(bz2.decompress(base64.b64decode(payload)) for payload in functions)


def paths_in(proto: api.Pipeline) -> set[bytes]:
    """Local paths; without names of source files, which stand in the code that lambdas are."""
    whole = proto.SerializeToString() + pickled(proto)
    return {found for found in LOCAL_PATH.findall(whole) if not found.endswith(b".py")}


def test_nothing_of_this_machine_is_in_the_graph(build: Build) -> None:
    """No path of a model, and no pickled main session."""
    proto = translated(build)
    assert not paths_in(proto)
    assert b"__main__" not in pickled(proto)
    assert not [one for environment in proto.components.environments.values() for one in environment.dependencies]
    here = make_graph(build, read_options(())).to_runner_api()
    assert str(model_folder("tiny.en")).encode() in paths_in(here), "it would not be seen if there were any"


def test_the_graph_does_not_grow_with_the_corpus(build: Build) -> None:
    """Dataflow refuses graphs of more than 10 MB."""
    assert translated(build).ByteSize() < 300_000


def test_dataflow_translates_it(build: Build) -> None:
    """By the runner's own code, without a connection."""
    pytest.importorskip("apitools", reason="Dataflow's client is not installed: pip install 'speechmill[gcp]'")
    from apache_beam.runners.dataflow.internal import apiclient

    options = read_options((*OPTIONS, "--dataflow_service_options=enable_prime"))
    pipeline = make_graph(build, options)
    result = pipeline.run()
    assert result.state == "DONE"
    proto = pipeline.runner.proto_pipeline
    assert set(needs(proto)) == {"score", "transcribe", "tokenise"}
    packed = apiclient.Environment([], options, "2.77.0", "gs://speechmill-test/p.pb", proto_pipeline=proto).proto
    images = {one.container_image for one in packed.worker_pools[0].sdk_harness_container_images}
    assert images == {"europe-docker.pkg.dev/my-project-1/speechmill/worker:0.2"}


def test_a_worker_finds_its_model_by_name_and_knows_another_one(build: Build) -> None:
    (model,) = build.by_reference().models["transcribe"]
    assert not model.files
    assert folder_of(model) == str(model_folder("tiny.en"))
    with pytest.raises(
        ConfigError, match=r"asr\.model: tiny\.en on a worker is another model than where the run began"
    ):
        folder_of(replace(model, sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"asr\.model: "):
        folder_of(replace(model, name="no/such-model-here"))
