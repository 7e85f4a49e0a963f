// A reverse proxy that puts an ID token on each request, with nothing but Go's standard library.
// Usage: go-proxy KEY-FILE SERVICE-URL CONNECT-TO CA-FILE
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

var encode = base64.RawURLEncoding.EncodeToString

// tokenSource caches an ID token for 45 minutes.
type tokenSource struct {
	mutex    sync.Mutex
	token    string
	due      time.Time
	audience string
	key      struct {
		Email string `json:"client_email"`
		PEM   string `json:"private_key"`
		URI   string `json:"token_uri"`
	}
}

func (s *tokenSource) get() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if time.Now().After(s.due) {
		s.token, s.due = s.mint(), time.Now().Add(45*time.Minute)
	}
	return s.token
}

func (s *tokenSource) mint() string {
	block, _ := pem.Decode([]byte(s.key.PEM))
	key := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
	now := time.Now().Unix()
	claims := must(json.Marshal(map[string]any{"iss": s.key.Email, "aud": "https://oauth2.googleapis.com/token",
		"iat": now, "exp": now + 3600, "target_audience": s.audience}))
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature := must(rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]))
	answer := must(http.PostForm(s.key.URI, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed + "." + encode(signature)}}))
	defer answer.Body.Close()
	var body struct {
		Token string `json:"id_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || body.Token == "" {
		log.Fatalf("no ID token: status %d", answer.StatusCode)
	}
	return body.Token
}

func main() {
	service, connectTo := must(url.Parse(os.Args[2])), os.Args[3]
	tokens := &tokenSource{audience: os.Args[2]}
	if err := json.Unmarshal(must(os.ReadFile(os.Args[1])), &tokens.key); err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(os.Args[4])))
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(service)
			r.Out.Header.Set("Authorization", "Bearer "+tokens.get())
		},
		// Clients that end the load leave requests behind.
		ErrorLog: log.New(io.Discard, "", 0),
		Transport: &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, connectTo)
			},
		},
	}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println(listener.Addr())
	log.Fatal(http.Serve(listener, proxy))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
