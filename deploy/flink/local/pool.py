"""A Beam worker pool that listens on one address: `python pool.py 127.0.0.2:50000`.

`python -m apache_beam.runners.worker.worker_pool_main` listens on every address of a machine, where anybody may ask it
to start a process, and so a machine has room for one of a port. A pod has an address of its own and needs only that.
"""

import os
import sys
from pathlib import Path
from threading import Event

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance


def main(address: str) -> None:
    """Start workers, each a process with the Python of this one, for whoever asks at an address, until killed."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # a worker is the first `python` in it
    server = grpc.server(shared_unbounded_instance())
    pool = BeamFnExternalWorkerPoolServicer(use_process=True)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(address)
    server.start()
    Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
