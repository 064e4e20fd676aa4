package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Job is one thing that a client is to do: Count connections at once (1 unless told), each held for Hold milliseconds
// after all stand.
type Job struct {
	ID       int
	Kind     string
	Host     string
	Port     int
	Cert     bool
	Resume   bool
	Count    int
	Hold     int
	Requests int
	Body     int
	Headers  map[string]string
	Path     string
}

// Done is the client's answer to a job.
type Done struct {
	ID    int      `json:"id"`
	Local []string `json:"local"`
	Body  string   `json:"body,omitempty"`
	Error string   `json:"error,omitempty"`
}

func dial(config []byte) {
	var files Files
	fail(json.Unmarshal(config, &files))
	pool, pair := files.load()
	cache := tls.NewLRUClientSessionCache(64)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var job Job
		fail(json.Unmarshal(lines.Bytes(), &job))
		settings := &tls.Config{RootCAs: pool, ServerName: "localhost"}
		if job.Cert {
			settings.Certificates = []tls.Certificate{pair}
		}
		if job.Resume {
			// One session for each server, kept by its name.
			settings.ClientSessionCache = named{cache, fmt.Sprint(job.Port)}
		}
		done := Done{ID: job.ID}
		switch job.Kind {
		case "http", "https", "h2c":
			done.http(job, settings)
		default:
			done.tls(job, settings)
		}
		say(done)
	}
}

type named struct {
	tls.ClientSessionCache
	name string
}

func (n named) Get(string) (*tls.ClientSessionState, bool) { return n.ClientSessionCache.Get(n.name) }
func (n named) Put(_ string, session *tls.ClientSessionState) {
	n.ClientSessionCache.Put(n.name, session)
}

func (d *Done) tls(job Job, settings *tls.Config) {
	count := max(job.Count, 1)
	var mutex sync.Mutex
	var all, stood sync.WaitGroup
	stood.Add(count)
	slots := make(chan struct{}, 200)
	for range count {
		all.Add(1)
		go func() {
			defer all.Done()
			slots <- struct{}{}
			conn, err := net.DialTimeout("tcp", net.JoinHostPort(job.Host, fmt.Sprint(job.Port)), 20*time.Second)
			var secure *tls.Conn
			if err == nil {
				mutex.Lock()
				d.Local = append(d.Local, conn.LocalAddr().String())
				mutex.Unlock()
				defer conn.Close()
				secure = tls.Client(conn, settings)
				err = secure.Handshake()
			}
			<-slots
			stood.Done()
			var body []byte
			if err == nil {
				if job.Hold > 0 {
					stood.Wait()
					time.Sleep(time.Duration(job.Hold) * time.Millisecond)
				}
				_, err = io.WriteString(secure, "GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				if err == nil {
					body, err = io.ReadAll(secure)
				}
				secure.Close()
			}
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				d.Error = err.Error()
			}
			if count == 1 {
				d.Body = string(body)
			}
		}()
	}
	all.Wait()
}

func (d *Done) http(job Job, settings *tls.Config) {
	var mutex sync.Mutex
	transport := &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: job.Kind == "https"}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			mutex.Lock()
			d.Local = append(d.Local, conn.LocalAddr().String())
			mutex.Unlock()
		}
		return conn, err
	}
	scheme := "http"
	if job.Kind == "https" {
		scheme = "https"
	}
	if job.Kind == "h2c" {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for i := range max(job.Requests, 1) {
		path := job.Path
		if path == "" {
			path = "/pod/%d"
		}
		if strings.Contains(path, "%d") {
			path = fmt.Sprintf(path, i)
		}
		method, body := "GET", io.Reader(nil)
		if job.Body > 0 {
			method, body = "POST", bytes.NewReader(make([]byte, job.Body))
		}
		request, err := http.NewRequest(method, scheme+"://"+net.JoinHostPort(job.Host, fmt.Sprint(job.Port))+path, body)
		fail(err)
		for name, value := range job.Headers {
			request.Header.Set(name, value)
		}
		response, err := client.Do(request)
		if err != nil {
			d.Error = err.Error()
			break
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	time.Sleep(time.Duration(job.Hold) * time.Millisecond)
	transport.CloseIdleConnections()
}
