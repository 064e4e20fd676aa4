package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// Where a pod listens, whether it speaks TLS, and whether it asks for a client certificate.
var listeners = []struct {
	address  string
	tls, ask bool
}{
	{":8080", false, false},
	{":8443", true, false},
	{":8444", true, true},
}

// Told is what the server saw of one request: the pod's side of the ground truth. It goes to standard output, which is
// the pod's log.
type Told struct {
	Time    string   `json:"time"`
	Peer    string   `json:"peer"`
	Local   string   `json:"local"`
	Number  int      `json:"number"`
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Object  string   `json:"object,omitempty"`
	Headers []string `json:"headers"`
	TLS     string   `json:"tls,omitempty"`
	Name    string   `json:"server_name,omitempty"`
	Client  string   `json:"client,omitempty"`
}

type arrival struct {
	conn     net.Conn
	ask      bool
	requests int
}

type arrivalKey struct{}

// web serves a pod's ports until it is told to stop. Its certificate is where its deployment mounts it.
func web() {
	folder := os.Getenv("CERTIFICATES")
	for _, l := range listeners {
		socket, err := net.Listen("tcp", l.address)
		fail(err)
		server := &http.Server{
			Handler:  http.HandlerFunc(serve),
			ErrorLog: log.New(io.Discard, "", 0),
			ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
				return context.WithValue(ctx, arrivalKey{}, &arrival{conn: conn, ask: l.ask})
			},
		}
		if !l.tls {
			go server.Serve(socket)
			continue
		}
		server.TLSConfig = &tls.Config{}
		if l.ask {
			server.TLSConfig.ClientAuth = tls.RequestClientCert
		}
		go server.ServeTLS(socket, folder+"/tls.crt", folder+"/tls.key")
	}
	pause()
}

func serve(w http.ResponseWriter, r *http.Request) {
	a := r.Context().Value(arrivalKey{}).(*arrival)
	a.requests++
	told := tell(a, r)
	say(told)
	switch {
	case r.Header.Get("Upgrade") != "":
		upgrade(w, r, told)
	case r.URL.Path == "/validate":
		validate(w, r)
	case len(r.URL.Path) > 6 && r.URL.Path[:6] == "/apis/":
		api(w, r)
	default:
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(told)
	}
}

func tell(a *arrival, r *http.Request) Told {
	told := Told{
		Time:   time.Now().UTC().Format(time.RFC3339Nano),
		Peer:   a.conn.RemoteAddr().String(),
		Local:  a.conn.LocalAddr().String(),
		Number: a.requests,
		Method: r.Method,
		Path:   r.URL.Path,
		Object: r.Header.Get("X-Forwarded-Uri"),
	}
	for name := range r.Header {
		told.Headers = append(told.Headers, name)
	}
	if state := r.TLS; state != nil {
		told.TLS = version(state.Version)
		told.Name = state.ServerName
		told.Client = clientCertificate(a.ask, state.DidResume, len(state.PeerCertificates) > 0)
	}
	return told
}

// clientCertificate is the name that an event has for it.
func clientCertificate(asked, resumed, given bool) string {
	switch {
	case resumed:
		return "resumed"
	case given:
		return "presented"
	case asked:
		return "declined"
	default:
		return "not_requested"
	}
}

func version(number uint16) string {
	return map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[number]
}

// upgrade switches protocols, tells who came, and then echoes: bytes are bytes, whatever was agreed on.
func upgrade(w http.ResponseWriter, r *http.Request, told Told) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+
		r.Header.Get("Upgrade")+"\r\n\r\n")
	line, _ := json.Marshal(told)
	conn.Write(append(line, '\n'))
	reader := bufio.NewReader(io.MultiReader(buffered.Reader, conn))
	io.Copy(conn, reader)
}

// validate is an admission webhook that allows everything.
func validate(w http.ResponseWriter, r *http.Request) {
	var review struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Request    struct {
			UID string `json:"uid"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": review.APIVersion, "kind": review.Kind,
		"response": map[string]any{"uid": review.Request.UID, "allowed": true},
	})
}

// api is an aggregated API with one resource and nothing in it.
func api(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{
		"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "toys.example/v1",
		"resources": []any{map[string]any{
			"name": "toys", "singularName": "toy", "namespaced": false, "kind": "Toy", "verbs": []string{"get"},
		}},
	})
}
