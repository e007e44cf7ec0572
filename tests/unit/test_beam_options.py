"""Options that go to Beam: a slip of the pen costs no run."""

import logging

import pytest
from speechmill.core.config_errors import ConfigError
from speechmill.runner import beam


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--direct_running_mode=multi_processing", "--direct_num_workers=2"),
        ("--direct_num_workers", "2"),
        ("--runner=FlinkRunner", "--flink_master=localhost:8081"),
        ("--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://b/t"),
        ("--s3_endpoint_url=http://127.0.0.1:5000", "--s3_disable_ssl"),
    ],
)
def test_options_that_beam_has(given: tuple[str, ...]) -> None:
    beam.check_options(given)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--no_such_option=1", "--direct_num_workers=2"), "--no_such_option=1 is unknown"),
        (("--direct_num_worker=2",), r"--direct_num_worker=2 is unknown; did you mean --direct_num_workers\?"),
        (("--direct_num_workers=two",), "invalid int value: 'two'"),
        (("--direct_running_mode=threads",), "invalid choice"),
        (("podcast.yaml",), "podcast.yaml is unknown"),
        (("-x",), "-x is unknown"),
        (("--runner=NoSuch",), "--runner=NoSuch: Unexpected pipeline runner"),
        (("--runner=no.such.Runner",), "--runner=no.such.Runner: "),
        (("--direct_num_workers=-3",), "--direct_num_workers=-3: must be 1 or more"),
    ],
)
def test_options_that_beam_would_drop(given: tuple[str, ...], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        beam.check_options(given)
    assert "\n" not in str(caught.value)


def test_a_job_service_may_know_more(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("speechmill").propagate = True
    beam.check_options(("--runner=FlinkRunner", "--flink_version_of_tomorrow=3"))
    assert "--flink_version_of_tomorrow=3 is unknown" in caplog.text
