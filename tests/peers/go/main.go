// Command peer is one end of a connection under test. As a server it tells on standard output, one JSON object a line,
// what it saw of each connection; as a client it does the jobs that arrive on standard input, one JSON object a line.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
)

// Files names the PEM files of this end: an authority to trust, and a certificate with its key.
type Files struct{ CA, Cert, Key string }

// Account is what a server saw of one connection.
type Account struct {
	Peer     string `json:"peer"`
	Local    string `json:"local"`
	Protocol string `json:"protocol,omitempty"`
	Version  string `json:"version,omitempty"`
	Cipher   string `json:"cipher,omitempty"`
	Client   string `json:"client,omitempty"`
	Requests int    `json:"requests,omitempty"`
	Pid      int    `json:"pid"`
	Error    string `json:"error,omitempty"`
}

var out sync.Mutex

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (f Files) load() (*x509.CertPool, tls.Certificate) {
	pem, err := os.ReadFile(f.CA)
	fail(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	fail(err)
	return pool, pair
}

func account(conn net.Conn) Account {
	return Account{Peer: conn.RemoteAddr().String(), Local: conn.LocalAddr().String(), Pid: os.Getpid()}
}

func (a *Account) tls(state tls.ConnectionState, ask bool) {
	a.Protocol = "tls"
	a.Version = map[uint16]string{tls.VersionTLS10: "1.0", tls.VersionTLS11: "1.1", tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}[state.Version]
	a.Cipher = tls.CipherSuiteName(state.CipherSuite)
	switch {
	case state.DidResume:
		a.Client = "resumed"
	case len(state.PeerCertificates) > 0:
		a.Client = "presented"
	case ask:
		a.Client = "declined"
	default:
		a.Client = "not_requested"
	}
}

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: peer server|client CONFIG"))
	}
	switch os.Args[1] {
	case "server":
		serve([]byte(os.Args[2]))
	case "client":
		dial([]byte(os.Args[2]))
	}
}
