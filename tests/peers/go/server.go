package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Listener is one port: Kind is tls (one request a connection, read by hand), https, http or h2c.
type Listener struct {
	Port    int
	Host    string
	Kind    string
	Version string
	Ask     bool
}

const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

func serve(config []byte) {
	var c struct {
		Files
		Listeners []Listener
	}
	fail(json.Unmarshal(config, &c))
	pool, pair := c.load()
	for _, l := range c.Listeners {
		host := l.Host
		if host == "" {
			host = "::"
		}
		socket, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(l.Port)))
		fail(err)
		settings := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool}
		switch l.Version {
		case "1.2":
			settings.MaxVersion = tls.VersionTLS12
		case "1.3":
			settings.MinVersion = tls.VersionTLS13
		}
		if l.Ask {
			settings.ClientAuth = tls.RequestClientCert
		}
		switch l.Kind {
		case "http", "https", "h2c":
			go serveHTTP(socket, l, settings)
		default:
			go serveTLS(socket, l.Ask, settings)
		}
	}
	say(map[string]bool{"ready": true})
	select {}
}

func serveTLS(socket net.Listener, ask bool, settings *tls.Config) {
	for {
		conn, err := socket.Accept()
		if err != nil {
			continue
		}
		go func() {
			a := account(conn)
			defer func() { conn.Close(); say(a) }()
			conn.SetDeadline(time.Now().Add(60 * time.Second))
			secure := tls.Server(conn, settings)
			if err := secure.Handshake(); err != nil {
				a.Error = err.Error()
				return
			}
			a.tls(secure.ConnectionState(), ask)
			if readHead(secure) == nil {
				io.WriteString(secure, answer)
				secure.Close()
			}
		}()
	}
}

// readHead reads to the end of one request head.
func readHead(conn net.Conn) error {
	var head []byte
	part := make([]byte, 4096)
	for !bytes.Contains(head, []byte("\r\n\r\n")) {
		n, err := conn.Read(part)
		head = append(head, part[:n]...)
		if err != nil {
			return err
		}
	}
	return nil
}

type held struct {
	conn     net.Conn
	account  Account
	requests atomic.Int64
	version  atomic.Value
}

type key struct{}

func serveHTTP(socket net.Listener, l Listener, settings *tls.Config) {
	conns := newTable()
	server := &http.Server{
		TLSConfig: settings,
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			h := &held{conn: conn, account: account(conn)}
			conns.put(conn, h)
			return context.WithValue(ctx, key{}, h)
		},
		ConnState: func(conn net.Conn, state http.ConnState) {
			if state != http.StateClosed && state != http.StateHijacked {
				return
			}
			if h := conns.take(conn); h != nil {
				h.account.Requests = int(h.requests.Load())
				h.account.Protocol, _ = h.version.Load().(string)
				if secure, ok := conn.(*tls.Conn); ok {
					h.account.tls(secure.ConnectionState(), l.Ask)
					h.account.Requests = 0
				}
				say(h.account)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h, ok := r.Context().Value(key{}).(*held); ok {
				h.requests.Add(1)
				h.version.Store(map[int]string{1: "http", 2: "http2"}[r.ProtoMajor])
			}
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "ok")
		}),
	}
	if l.Kind == "h2c" {
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
	}
	if l.Kind == "https" {
		server.ServeTLS(socket, "", "")
	} else {
		server.Serve(socket)
	}
}
