// Asks a gateway with grpc-go, as ../README.md says: client ADDRESS CERTS NAMESPACE DESCRIPTORS. Its messages are made
// of the descriptors, so that no generated code is needed.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const patience = time.Minute

// The names of codes, as other languages write them.
var names = map[codes.Code]string{
	codes.InvalidArgument:  "INVALID_ARGUMENT",
	codes.NotFound:         "NOT_FOUND",
	codes.PermissionDenied: "PERMISSION_DENIED",
	codes.Unimplemented:    "UNIMPLEMENTED",
}

type client struct {
	connection *grpc.ClientConn
	files      *protoregistry.Files
}

func main() {
	address, certs, namespace := os.Args[1], os.Args[2], os.Args[3]
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(identity(certs)))
	check(err)
	defer connection.Close()
	to := client{connection, descriptors(os.Args[4])}

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := health.NewHealthClient(connection).Check(ctx, &health.HealthCheckRequest{})
	check(err)
	fmt.Println("HealthCheck OK", answer.Status)

	named := func(name string) string {
		return fmt.Sprintf(`"workload": {"namespace": %q, "name": %q}`, namespace, name)
	}
	web := named("web")
	to.ask("ListReplicas", fmt.Sprintf(`{"namespace": %q}`, namespace), "replicas")
	to.ask("GetReplicas", "{"+web+"}", "replicas", "replicas")
	to.ask("SetReplicas", "{"+web+`, "replicas": 4, "reason": "größer"}`, "replicas", "target", "replicas")
	to.ask("SetReplicas", "{"+web+`, "replicas": 40}`)
	to.ask("SetReplicas", "{"+web+"}")
	to.ask("SetReplicas", "{"+web+`, "replicas": 4, "duration": "1s"}`)
	to.ask("GetReplicas", "{"+named("nothing")+"}")
	to.ask("ReleaseReplicas", "{"+web+"}")
}

// ask prints what came of a call: of an answer, the field that the path leads to, or of a list how long it is.
func (to client) ask(method, request string, path ...protoreflect.Name) {
	found, err := to.files.FindDescriptorByName("scalegate.v1.ReplicaService")
	check(err)
	described := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
	message, answer := dynamicpb.NewMessage(described.Input()), dynamicpb.NewMessage(described.Output())
	check(protojson.Unmarshal([]byte(request), message))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := to.connection.Invoke(ctx, "/scalegate.v1.ReplicaService/"+method, message, answer); err != nil {
		fmt.Println(method, names[status.Code(err)], stableCode(err))
		return
	}
	fmt.Println(method, "OK", shown(answer, path))
}

func shown(message protoreflect.Message, path []protoreflect.Name) any {
	if len(path) == 0 {
		return "released"
	}
	field := message.Descriptor().Fields().ByName(path[0])
	value := message.Get(field)
	switch {
	case field.IsList():
		return value.List().Len()
	case len(path) > 1:
		return shown(value.Message(), path[1:])
	default:
		return value.Interface()
	}
}

func stableCode(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return "no ErrorInfo: " + err.Error()
}

func identity(certs string) credentials.TransportCredentials {
	authorities, err := os.ReadFile(certs + "/ca.pem")
	check(err)
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authorities)
	pair, err := tls.LoadX509KeyPair(certs+"/clients/operator.pem", certs+"/clients/operator-key.pem")
	check(err)
	config.Certificates = []tls.Certificate{pair}
	return credentials.NewTLS(config)
}

func descriptors(path string) *protoregistry.Files {
	bytes, err := os.ReadFile(path)
	check(err)
	set := &descriptorpb.FileDescriptorSet{}
	check(proto.Unmarshal(bytes, set))
	files, err := protodesc.NewFiles(set)
	check(err)
	return files
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}
