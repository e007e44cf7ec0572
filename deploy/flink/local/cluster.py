"""A Flink cluster of separate processes on one machine, with an S3 server as its shared storage.

    deploy/flink/local/install
    python deploy/flink/local/cluster.py -- speechmill run --input recordings/ --output s3://speechmill/corpus

A job manager, two task managers of two slots, a worker pool for each, Beam's job server, and moto, which keeps what is
written to it in memory. The command is run with `--runner` and so on added, and its exit code is the program's; then
everything is stopped. All listen on addresses of the loopback interface but Beam's job server, which cannot be told to
and runs what it is given: on a machine that others reach, keep them away from its ports.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
LIBRARIES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "speechmill", "flink")  # as in `install`
TASK_MANAGERS = 2
START_S = 600.0  # a busy machine takes minutes; what has ended is not waited for
BUCKET = "speechmill"
POOL = "worker-pool"  # a name that each task manager resolves to the address of its own pool, as a pod does localhost
SECRETS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
OPENS = [  # what Flink's own scripts open of Java 17 and later
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang", "java.net", "java.io", "java.nio", "java.util", "java.text", "java.time", "java.lang.reflect",
        "java.lang.invoke", "sun.nio.ch", "java.util.concurrent", "java.util.concurrent.atomic",
        "java.util.concurrent.locks", "sun.net.util",
    )
]  # fmt: skip
MEMORY = {  # of a task manager, which Flink's own scripts would work out
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.task.heap.size": "256m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.off-heap.size": "128m",
    "taskmanager.memory.network.min": "192m",
    "taskmanager.memory.network.max": "192m",
    "taskmanager.network.sort-shuffle.min-buffers": 64,  # of each shuffle; 512 by default, more than there are
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}

LOG4J = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1} %m%n
"""


class Cluster:
    """Context manager that starts the processes of a cluster and stops them.

    Args:
        state: Folder for its logs, its configuration and what Flink keeps on disk.
        libraries: Folder that `install` filled.
        environment: Variables of the processes that start workers, beside those of this process.
        slots: Slots of each task manager, and so worker processes of each pool.
    """

    def __init__(
        self, state: Path, libraries: Path = LIBRARIES, environment: Mapping[str, str] | None = None, *, slots: int = 2
    ) -> None:
        self.state, self._libraries, self._slots = state, libraries, slots
        names = ("s3", "rest", "rpc", "job", "artifacts", "expansion", "pool")
        self.ports = dict(zip(names, free_ports(len(names))))
        self.environment = SECRETS | {"AWS_ENDPOINT_URL": self.s3} | dict(environment or {})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def s3(self) -> str:
        """Address of the S3 server, for `AWS_ENDPOINT_URL`."""
        return f"http://127.0.0.1:{self.ports['s3']}"

    @property
    def beam_options(self) -> tuple[str, ...]:
        """Options for Beam, after `--`."""
        return (
            "--runner=PortableRunner",
            f"--job_endpoint=127.0.0.1:{self.ports['job']}",
            f"--artifact_endpoint=127.0.0.1:{self.ports['artifacts']}",
            "--environment_type=EXTERNAL",
            f"--environment_config={POOL}:{self.ports['pool']}",
            f"--sdk_worker_parallelism={self._slots}",
            f"--parallelism={TASK_MANAGERS * self._slots}",
        )

    def __enter__(self) -> Self:
        """Start everything, and wait until it answers. Raises RuntimeError with the end of a log if it does not."""
        self._configure()
        try:
            for name in self.names:
                self.start(name)
            for name in ("s3", "jobmanager", "jobserver"):
                self.wait(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str) -> None:
        """Start one of its processes, or start it again after `kill`."""
        with (self.state / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self._command(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.state,
                env=os.environ | self.environment, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """End a process and its children at once, as a machine that is lost does."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()

    def stop(self) -> None:
        """End all processes."""
        for name in list(self.processes):
            self.kill(name)

    def slots(self) -> int:
        """Slots of task managers that the job manager knows."""
        return int(self.ask("overview")["slots-total"])

    def ask(self, path: str) -> dict[str, object]:
        """What the job manager answers, such as `jobs/overview`. Raises OSError while it does not."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['rest']}/{path}", timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
        return found

    @property
    def names(self) -> list[str]:
        """Names of its processes."""
        workers = [f"{kind}-{number + 1}" for number in range(TASK_MANAGERS) for kind in ("pool", "taskmanager")]
        return ["s3", "jobmanager", *workers, "jobserver"]

    def _configure(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": self.ports["rpc"],
            "jobmanager.bind-host": "127.0.0.1",
            "jobmanager.memory.process.size": "1g",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": self.ports["rest"],
            "taskmanager.host": "127.0.0.1",
            "taskmanager.bind-host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": self._slots,
            "taskmanager.cpu.cores": self._slots,
            "io.tmp.dirs": str(self.state),
            "heartbeat.interval": 2000,  # milliseconds: a killed task manager is missed soon
            "heartbeat.timeout": 10000,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 10,
            "restart-strategy.fixed-delay.delay": "1 s",
            "jobmanager.execution.failover-strategy": "region",
        }
        lines = [f"{key}: {value}" for key, value in (settings | MEMORY).items()]
        (self.state / "config.yaml").write_text("\n".join(lines) + "\n")
        (self.state / "log4j2.properties").write_text(LOG4J)
        for number in range(TASK_MANAGERS):
            hosts = f"127.0.0.1 localhost {socket.gethostname()}\n127.0.0.{number + 1} {POOL}\n"
            (self.state / f"hosts-{number + 1}").write_text(hosts)

    def _command(self, name: str) -> list[str]:
        """Command of one of its processes."""
        kind, _, number = name.partition("-")
        ports, configured = self.ports, ("--configDir", str(self.state))
        if kind == "s3":
            return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports["s3"])]
        if kind == "pool":
            return [sys.executable, str(HERE / "pool.py"), f"127.0.0.{number}:{ports['pool']}"]
        if kind == "jobmanager":
            return self._java("512m", "flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", *configured)
        if kind == "taskmanager":
            hosts = f"-Djdk.net.hosts.file={self.state}/hosts-{number}"
            return self._java("384m", "flink.runtime.taskexecutor.TaskManagerRunner", *configured, jvm=(hosts,))
        return self._java(
            "512m", "beam.runners.flink.FlinkJobServerDriver", f"--flink-master=127.0.0.1:{ports['rest']}",
            "--job-host=127.0.0.1", f"--job-port={ports['job']}", f"--artifact-port={ports['artifacts']}",
            f"--expansion-port={ports['expansion']}", f"--artifacts-dir={self.state}/artifacts",
        )  # fmt: skip

    def _java(self, heap: str, main: str, *arguments: str, jvm: tuple[str, ...] = ()) -> list[str]:
        folders = ("flink", "beam") if main.startswith("beam") else ("flink",)
        classes = ":".join(f"{self._libraries}/{folder}/*" for folder in folders)
        log = f"-Dlog4j2.configurationFile={self.state}/log4j2.properties"
        return ["java", f"-Xmx{heap}", log, *OPENS, *jvm, "-cp", classes, f"org.apache.{main}", *arguments]

    def wait(self, name: str) -> None:
        """Wait until a process that others ask is ready: the job manager once all task managers are with it.

        Raises RuntimeError when it ended, or after START_S.
        """
        is_ready: Callable[[], bool] = {
            "s3": self._has_bucket,
            "jobmanager": lambda: self.slots() == TASK_MANAGERS * self._slots,
            "jobserver": lambda: is_open(self.ports["job"]),
        }[name]
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.processes[name].poll() is None:
            with suppress(OSError):
                if is_ready():
                    return
            time.sleep(0.2)
        log = self.state / f"{name}.log"
        raise RuntimeError(f"{name} does not answer; see {log}: {log.read_text(errors='replace')[-2000:]}")

    def _has_bucket(self) -> bool:
        """Make the bucket on the S3 server."""
        request = urllib.request.Request(f"{self.s3}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def is_open(port: int) -> bool:
    """Whether somebody listens at a port."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def main() -> int:
    """Start a cluster, run a command on it, and return its exit code."""
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--libraries", type=Path, default=LIBRARIES, help="folder that install filled")
    parser.add_argument("--state", type=Path, help="keep logs in this folder; else they are deleted at the end")
    parser.add_argument("command", nargs="+", help="command of speechmill, after --")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Cluster((chosen.state or Path(scratch)).resolve(), chosen.libraries) as cluster,
    ):
        command = [*chosen.command, "--", *cluster.beam_options]
        return subprocess.run(command, env=os.environ | cluster.environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
