// Command peer-grpc is a gRPC server or client of the health service, plain or with TLS; the words are those of the Go
// peer (../go/main.go).
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	pb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"
)

type config struct {
	CA, Cert, Key string
	Port          int
	Host          string
	TLS           bool
	Calls         int
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(value any) {
	line, err := json.Marshal(value)
	fail(err)
	os.Stdout.Write(append(line, '\n'))
}

// handler counts the calls of each connection.
type handler struct{}

type connection struct {
	peer  string
	calls atomic.Int64
}

type key struct{}

func (handler) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, key{}, &connection{peer: info.RemoteAddr.String()})
}
func (handler) HandleConn(ctx context.Context, event stats.ConnStats) {
	if _, ended := event.(*stats.ConnEnd); ended {
		c := ctx.Value(key{}).(*connection)
		say(map[string]any{"peer": c.peer, "requests": c.calls.Load(), "pid": os.Getpid()})
	}
}
func (handler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (handler) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, began := event.(*stats.Begin); began {
		ctx.Value(key{}).(*connection).calls.Add(1)
	}
}

func main() {
	var c config
	fail(json.Unmarshal([]byte(os.Args[2]), &c))
	pem, err := os.ReadFile(c.CA)
	fail(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	fail(err)
	safe := credentials.NewTLS(&tls.Config{
		RootCAs: pool, ClientCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: "localhost",
		ClientAuth: tls.RequireAndVerifyClientCert,
	})
	if !c.TLS {
		safe = insecure.NewCredentials()
	}
	address := net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	if os.Args[1] == "server" {
		socket, err := net.Listen("tcp", address)
		fail(err)
		server := grpc.NewServer(grpc.Creds(safe), grpc.StatsHandler(handler{}))
		pb.RegisterHealthServer(server, health.NewServer())
		say(map[string]bool{"ready": true})
		fail(server.Serve(socket))
	}
	client, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(safe))
	fail(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for range c.Calls {
		_, err = pb.NewHealthClient(client).Check(ctx, &pb.HealthCheckRequest{})
		fail(err)
	}
	client.Close()
	say(map[string]bool{"done": true})
}
