package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"time"
)

// Job is one thing that a client is to do.
type Job struct {
	// Kind is http (a request, over TLS if the URL says so), upgrade (a request that changes the protocol, and an echo
	// through it) or raw (the bytes of Body, and what comes back).
	Kind    string
	Method  string
	URL     string
	Headers map[string]string
	Body    string
	// CA, Cert and Key are PEM files; without CA the server is not verified.
	CA, Cert, Key string
	// Most is the newest TLS version to offer: 1.2 or nothing.
	Most string
	// Keep names a connection that is kept for the next job of this name.
	Keep string
	// Close ends what Keep kept, after this job.
	Close bool
}

// Done is what became of it, in the client's words.
type Done struct {
	Start  string `json:"start"`
	End    string `json:"end"`
	Local  string `json:"local"`
	Remote string `json:"remote"`
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	TLS    string `json:"tls,omitempty"`
	Client string `json:"client,omitempty"`
	Error  string `json:"error,omitempty"`
}

const patience = 20 * time.Second

// client does the jobs that arrive on standard input, one JSON object a line, and answers each with a line.
func client() {
	say(map[string]int{"pid": os.Getpid()})
	all := map[string]*kept{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var job Job
		fail(json.Unmarshal(lines.Bytes(), &job))
		done := Done{Start: now()}
		var err error
		switch job.Kind {
		case "raw":
			err = done.raw(job)
		case "upgrade":
			err = done.upgrade(job)
		default:
			err = done.http(job, all)
		}
		if err != nil {
			done.Error = err.Error()
		}
		done.End = now()
		say(done)
	}
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }

// kept is a client with at most one connection, and what the handshake of that was like.
type kept struct {
	http             *http.Client
	asked, presented bool
}

func settings(job Job, presented, asked *bool) (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: job.CA == ""}
	if job.CA != "" {
		text, err := os.ReadFile(job.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(text)
	}
	if job.Most == "1.2" {
		config.MaxVersion = tls.VersionTLS12
	}
	var own tls.Certificate
	if job.Cert != "" {
		var err error
		if own, err = tls.LoadX509KeyPair(job.Cert, job.Key); err != nil {
			return nil, err
		}
	}
	// Called only if the server asks.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked, *presented = true, job.Cert != ""
		return &own, nil
	}
	return config, nil
}

func (d *Done) handshake(state *tls.ConnectionState, asked, presented bool) {
	if state != nil {
		d.TLS = version(state.Version)
		d.Client = clientCertificate(asked, state.DidResume, presented)
	}
}

func (d *Done) http(job Job, all map[string]*kept) error {
	it := all[job.Keep]
	if it == nil {
		it = &kept{}
		config, err := settings(job, &it.presented, &it.asked)
		if err != nil {
			return err
		}
		it.http = &http.Client{
			Timeout:       patience,
			Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: job.Keep == ""},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		if job.Keep != "" {
			all[job.Keep] = it
		}
	}
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { d.ends(got.Conn) }}
	ctx := httptrace.WithClientTrace(context.Background(), trace)
	request, err := http.NewRequestWithContext(ctx, job.Method, job.URL, strings.NewReader(job.Body))
	if err != nil {
		return err
	}
	job.dress(request)
	response, err := it.http.Do(request)
	if err != nil {
		// With TLS 1.3 a server refuses after the client's handshake has ended well.
		if it.asked {
			d.Client = clientCertificate(it.asked, false, it.presented)
		}
		return err
	}
	defer response.Body.Close()
	d.Status = response.StatusCode
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	d.Body = string(body)
	d.handshake(response.TLS, it.asked, it.presented)
	if job.Close {
		it.http.CloseIdleConnections()
		delete(all, job.Keep)
	}
	return err
}

func (d *Done) ends(conn net.Conn) {
	d.Local, d.Remote = conn.LocalAddr().String(), conn.RemoteAddr().String()
}

func (j Job) dress(request *http.Request) {
	for name, value := range j.Headers {
		request.Header.Set(name, value)
	}
}

// connect dials what a URL names.
func (d *Done) connect(job Job, target *url.URL) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", target.Host, patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	d.ends(conn)
	if target.Scheme != "https" {
		return conn, nil
	}
	var asked, presented bool
	config, err := settings(job, &presented, &asked)
	if err != nil {
		return nil, err
	}
	config.ServerName = target.Hostname()
	secure := tls.Client(conn, config)
	if err := secure.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	state := secure.ConnectionState()
	d.handshake(&state, asked, presented)
	return secure, nil
}

func (d *Done) raw(job Job) error {
	target, err := url.Parse(job.URL)
	if err != nil {
		return err
	}
	conn, err := d.connect(job, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, job.Body); err != nil {
		return err
	}
	said, err := io.ReadAll(io.LimitReader(conn, 1<<16))
	d.Body = string(said)
	return err
}

func (d *Done) upgrade(job Job) error {
	target, err := url.Parse(job.URL)
	if err != nil {
		return err
	}
	conn, err := d.connect(job, target)
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := http.NewRequest(job.Method, job.URL, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Connection", "Upgrade")
	job.dress(request)
	if err := request.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return err
	}
	d.Status = response.StatusCode
	if d.Status != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		d.Body = string(body)
		return errors.New("the protocol was not changed")
	}
	// The pod says who came, and then gives back what it is given.
	if d.Body, err = reader.ReadString('\n'); err != nil {
		return err
	}
	word := []byte(job.Body)
	if _, err := conn.Write(word); err != nil {
		return err
	}
	back := make([]byte, len(word))
	if _, err := io.ReadFull(reader, back); err != nil {
		return err
	}
	if !bytes.Equal(word, back) {
		return errors.New("the echo differs")
	}
	return nil
}
