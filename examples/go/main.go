// Sets the count of a Deployment over HTTP/2, and tries again where that is safe: under one Idempotency-Key a set is
// stored once, however often it is sent. It needs nothing but the standard library.
//
//	cd examples/go && go run . NAMESPACE/NAME COUNT
//
// SCALEGATE_SERVER, SCALEGATE_CA, SCALEGATE_CERT and SCALEGATE_KEY: see ../README.md.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const attempts = 5

// body is what a set asks for.
type body struct {
	Replicas int    `json:"replicas"`
	Reason   string `json:"reason"`
}

// state is a part of the answer.
type state struct {
	Version  string `json:"version"`
	Repeated bool   `json:"repeated"`
	Progress struct {
		Accepted bool `json:"accepted"`
		Applied  bool `json:"applied"`
		Ready    bool `json:"ready"`
	} `json:"progress"`
}

// problem is an error of the gateway. Code is stable; Detail is for people.
type problem struct {
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	RequestID string `json:"requestId"`

	// After is how long to wait before the next attempt; zero where there is none.
	After time.Duration `json:"-"`
}

func (p *problem) Error() string {
	return fmt.Sprintf("%s: %s (request %s)", p.Code, p.Detail, p.RequestID)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 2 {
		return errors.New("usage: scale NAMESPACE/NAME COUNT")
	}
	namespace, name, _ := strings.Cut(arguments[0], "/")
	count, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	client, err := newClient()
	if err != nil {
		return err
	}
	url := fmt.Sprintf("%s/v1/namespaces/%s/deployments/%s/replicas", os.Getenv("SCALEGATE_SERVER"), namespace, name)
	set, err := json.Marshal(body{Replicas: count, Reason: "an example"})
	if err != nil {
		return err
	}
	stored, err := retry(client, url, set)
	if err != nil {
		return err
	}
	fmt.Printf("stored as version %s; %+v\n", stored.Version, stored.Progress)
	return nil
}

// newClient shows the certificate, and trusts the gateway's CA alone.
func newClient() (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(os.Getenv("SCALEGATE_CERT"), os.Getenv("SCALEGATE_KEY"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(os.Getenv("SCALEGATE_CA"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}}
	if !config.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("SCALEGATE_CA has no certificate")
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	return &http.Client{Transport: transport, Timeout: time.Minute}, nil
}

// retry sends the set until it is answered, with one key for all attempts. It waits for as long as the gateway says, or
// a second where the answer was lost.
func retry(client *http.Client, url string, set []byte) (*state, error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	key := hex.EncodeToString(random)
	for attempt := 1; ; attempt++ {
		stored, err := send(client, url, key, set)
		if err == nil {
			return stored, nil
		}
		wait := time.Second
		var refused *problem
		if errors.As(err, &refused) {
			wait = refused.After
		}
		if wait == 0 || attempt == attempts {
			return nil, err
		}
		time.Sleep(wait)
	}
}

func send(client *http.Client, url, key string, set []byte) (*state, error) {
	request, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(set))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 400 {
		stored := &state{}
		return stored, json.NewDecoder(answer.Body).Decode(stored)
	}
	refused := &problem{}
	if err := json.NewDecoder(answer.Body).Decode(refused); err != nil {
		return nil, fmt.Errorf("%s: %w", answer.Status, err)
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	refused.After = time.Duration(seconds) * time.Second
	return nil, refused
}
