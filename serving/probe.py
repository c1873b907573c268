"""Whether a service takes requests, as an exit code: for container and supervisor health checks.

python -m firstedge.serving.probe [127.0.0.1:50051]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from firstedge.serving.wire import SERVICE

_TIMEOUT = 3.0


def main(args: Sequence[str]) -> int:
    """0 if the service at ``args[0]`` takes requests, 1 if not."""
    target = args[0] if args else "127.0.0.1:50051"
    with grpc.insecure_channel(target) as channel:
        ask = health_pb2_grpc.HealthStub(channel).Check
        try:
            answer = ask(health_pb2.HealthCheckRequest(service=SERVICE), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            print(f"{target}: {error.code().name}", file=sys.stderr)
            return 1
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        print(f"{target}: {status}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
