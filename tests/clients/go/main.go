// Sends the requests that stdin describes, and prints what came of each as a line of JSON: see ../README.md.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	piece    = 8 * 1024
	patience = 20 * time.Second
)

type options map[string]string

type result struct {
	Status   int               `json:"status,omitempty"`
	Protocol string            `json:"protocol,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Body     string            `json:"body"`
	Error    string            `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		given := options{}
		for _, option := range strings.Split(lines.Text(), "\t") {
			name, value, _ := strings.Cut(option, "=")
			given[name] = value
		}
		given.run()
	}
}

func (given options) run() {
	var transport *http.Transport
	for range given.number("tries") {
		if transport == nil {
			transport = given.transport()
		}
		line, err := json.Marshal(given.ask(&http.Client{Transport: transport}))
		check(err)
		fmt.Println(string(line))
		if given["kept"] == "" {
			transport.CloseIdleConnections()
			transport = nil
		}
	}
}

func (given options) transport() *http.Transport {
	authorities, err := os.ReadFile(given["ca"])
	check(err)
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authorities)
	if given["cert"] != "" {
		pair, err := tls.LoadX509KeyPair(given["cert"], given["key"])
		check(err)
		// Go would leave out a certificate that none of the authorities which the gateway names has signed.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	transport := &http.Transport{TLSClientConfig: config, ExpectContinueTimeout: 2 * patience}
	if given["protocol"] == "h2" {
		transport.ForceAttemptHTTP2 = true
	} else {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return transport
}

func (given options) ask(client *http.Client) result {
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := client.Do(given.request(limit))
	if err != nil {
		return failed(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return failed(err)
	}
	headers := map[string]string{}
	for name := range answer.Header {
		headers[name] = answer.Header.Get(name)
	}
	return result{Status: answer.StatusCode, Protocol: fmt.Sprintf("h%d", answer.ProtoMajor), Headers: headers, Body: string(body)}
}

func (given options) request(limit context.Context) *http.Request {
	request, err := http.NewRequestWithContext(limit, given["method"], given["url"], nil)
	check(err)
	if given["type"] != "" {
		request.Header.Set("Content-Type", given["type"])
	}
	if given["expect"] != "" {
		request.Header.Set("Expect", "100-continue")
	}
	if given["body"] == "none" {
		return request
	}
	size := given.number("size")
	text := fmt.Sprintf("%-*s", size, `{"replicas":4}`)[:size]
	body := &slow{rest: text, pause: time.Duration(given.number("pause")) * time.Millisecond}
	request.Body, request.ContentLength = body, -1
	switch given["body"] {
	case "length":
		request.ContentLength = int64(size)
		if size == 0 {
			request.Body = http.NoBody
		}
	case "trailers":
		request.Trailer = http.Header{"X-End": nil}
		body.end = func() { request.Trailer.Set("X-End", "yes") }
	}
	return request
}

// slow gives a body late and little by little.
type slow struct {
	rest  string
	pause time.Duration
	end   func()
}

func (body *slow) Read(buffer []byte) (int, error) {
	time.Sleep(body.pause)
	body.pause = 0
	if body.rest == "" {
		if body.end != nil {
			body.end()
		}
		return 0, io.EOF
	}
	count := copy(buffer, body.rest[:min(piece, len(body.rest))])
	body.rest = body.rest[count:]
	return count, nil
}

func (body *slow) Close() error { return nil }

func (given options) number(name string) int {
	number, err := strconv.Atoi(given[name])
	check(err)
	return number
}

func failed(err error) result {
	if errors.Is(err, context.DeadlineExceeded) {
		return result{Error: "timeout"}
	}
	return result{Error: err.Error()}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
