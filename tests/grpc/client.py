"""Asks a gateway with grpcio, as README.md says: client.py ADDRESS CERTS NAMESPACE, with the stubs on PYTHONPATH."""

import sys

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from scalegate.v1 import replica_service_pb2 as messages
from scalegate.v1 import replica_service_pb2_grpc as services

PATIENCE_SECONDS = 60


def channel(address, certs):
    def read(name):
        with open(f"{certs}/{name}", "rb") as file:
            return file.read()

    key, chain = read("clients/operator-key.pem"), read("clients/operator.pem")
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(read("ca.pem"), key, chain))


def stable_code(error):
    """The reason of the error's ErrorInfo."""
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(info):
            return info.reason
    return "no ErrorInfo"


def ask(method, message, show):
    name = message.DESCRIPTOR.name.removesuffix("Request")
    try:
        print(name, "OK", show(method(message, timeout=PATIENCE_SECONDS)))
    except grpc.RpcError as error:
        print(name, error.code().name, stable_code(error))


def main(address, certs, namespace):
    with channel(address, certs) as opened:
        service, health = services.ReplicaServiceStub(opened), health_pb2_grpc.HealthStub(opened)
        web = messages.Workload(namespace=namespace, name="web")
        setting = messages.SetReplicasRequest
        serving = health_pb2.HealthCheckResponse.ServingStatus.Name
        ask(health.Check, health_pb2.HealthCheckRequest(), lambda answer: serving(answer.status))
        ask(service.ListReplicas, messages.ListReplicasRequest(namespace=namespace), lambda answer: len(answer.replicas))
        ask(service.GetReplicas, messages.GetReplicasRequest(workload=web), lambda answer: answer.replicas.replicas)
        wanted = setting(workload=web, replicas=4, reason="größer")
        ask(service.SetReplicas, wanted, lambda answer: answer.replicas.target.replicas)
        for wrong in [
            setting(workload=web, replicas=40),
            setting(workload=web),
            setting(workload=web, replicas=4, duration=Duration(seconds=1)),
        ]:
            ask(service.SetReplicas, wrong, lambda answer: "accepted")
        gone = messages.GetReplicasRequest(workload=messages.Workload(namespace=namespace, name="nothing"))
        ask(service.GetReplicas, gone, lambda answer: "there")
        ask(service.ReleaseReplicas, messages.ReleaseReplicasRequest(workload=web), lambda answer: "released")


if __name__ == "__main__":
    main(*sys.argv[1:4])
