"""Sets the count of a Deployment over gRPC, and follows it until its replicas are ready.

    PYTHONPATH=target/stubs target/venv/bin/python examples/python/scale.py NAMESPACE/NAME COUNT

../README.md has the commands that make target/venv and target/stubs, and the variables SCALEGATE_SERVER, SCALEGATE_CA,
SCALEGATE_CERT and SCALEGATE_KEY.
"""

import os
import sys
from urllib.parse import urlsplit

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from scalegate.v1 import replica_service_pb2 as api
from scalegate.v1.replica_service_pb2_grpc import ReplicaServiceStub

PATIENCE_SECONDS = 60


def connect():
    def read(variable):
        with open(os.environ[variable], "rb") as file:
            return file.read()

    ca, certificate, key = read("SCALEGATE_CA"), read("SCALEGATE_CERT"), read("SCALEGATE_KEY")
    address = urlsplit(os.environ["SCALEGATE_SERVER"]).netloc
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate))


def explain(error):
    """The stable code, and the reasons of the policies if they refused."""
    code, reasons = error.code().name, []
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info, failure = error_details_pb2.ErrorInfo(), error_details_pb2.PreconditionFailure()
        if detail.Unpack(info):
            code = info.reason
        elif detail.Unpack(failure):
            reasons = [violation.description for violation in failure.violations]
    return f"{code}: {'; '.join(reasons) or error.details()}"


def scale(service, workload, count):
    request = api.SetReplicasRequest(workload=workload, replicas=count, reason="an example")
    stored = service.SetReplicas(request, timeout=PATIENCE_SECONDS).replicas
    print("stored as version", stored.version)
    # First the present state, then each change.
    for event in service.WatchReplicas(api.WatchReplicasRequest(workload=workload), timeout=PATIENCE_SECONDS):
        if event.WhichOneof("event") != "replicas":
            continue
        seen = event.replicas
        print(f"{seen.status.ready_replicas} of {seen.replicas} replicas are ready")
        if seen.version == stored.version and seen.progress.ready:
            return


def main(workload, count):
    namespace, name = workload.split("/")
    with connect() as channel:
        try:
            scale(ReplicaServiceStub(channel), api.Workload(namespace=namespace, name=name), int(count))
        except grpc.RpcError as error:
            sys.exit(explain(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
