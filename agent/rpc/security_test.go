package rpc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steppe-project/steppe/agent/rpc/port"
	"github.com/steppe-project/steppe/model"
)

// operator makes certificates as an operator would.
type operator struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newOperator(t *testing.T) *operator {
	a := &operator{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *operator) newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return k
}

func (a *operator) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func (a *operator) issue(name string) port.Files {
	k := a.newKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return port.Files{
		CA:   filepath.Join(a.dir, "ca.pem"),
		Cert: a.write(name+".pem", "CERTIFICATE", der),
		Key:  a.write(name+".key", "EC PRIVATE KEY", keyDER),
	}
}

func fromFiles(t *testing.T, f port.Files) *port.Security {
	t.Helper()
	s, err := port.FromFiles(f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOperatorCertificates(t *testing.T) {
	ca := newOperator(t)
	server := startAgent(t, "a", fromFiles(t, ca.issue("server.global.nomad")))
	imposter := startAgent(t, "i", fromFiles(t, ca.issue("client.global.nomad")))
	named := ca.issue("other.global.nomad")
	named.VerifyServer, named.Region = true, "global"
	stranger := newOperator(t).issue("server.global.nomad")
	tests := []struct {
		name string
		with port.Files
		to   *agent
		want string
	}{
		{"same authority", ca.issue("x"), server, ""},
		{"server's name checked", named, server, ""},
		{"a client poses as server", named, imposter, "not server.global.nomad"},
		{"another authority", stranger, server, "is not trusted by this agent's tls ca_file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pool := NewPool(fromFiles(t, tt.with), slog.Default())
			defer pool.Close()
			_, err := echo.Call(testCtx(t), pool.At(tt.to.addr), &note{})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestBadSecurity(t *testing.T) {
	good := newOperator(t).issue("x")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]port.Files{
		"no ca":        {CA: empty + "x", Cert: good.Cert, Key: good.Key},
		"empty ca":     {CA: empty, Cert: good.Cert, Key: good.Key},
		"wrong key":    {CA: good.CA, Cert: good.Cert, Key: good.Cert},
		"missing cert": {CA: good.CA, Cert: "", Key: good.Key},
	} {
		if _, err := port.FromFiles(f); model.CodeOf(err) != model.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := port.FromKey([]byte("short"), "a", ""); model.CodeOf(err) != model.CodeInvalid {
		t.Errorf("short key: %v", err)
	}
}

func TestPeerName(t *testing.T) {
	a := startAgent(t, "a", fromKey(t, testKey, "id-of-a"))
	b := startAgent(t, "b", fromKey(t, testKey, "id-of-b"))
	who := Method[note, note]{Name: "Test.Who"}
	handleWho(a, who)
	out, err := who.Call(testCtx(t), b.pool.At(a.addr), &note{})
	if err != nil || out.Text != "id-of-b" {
		t.Errorf("over the network: %v %v", out, err)
	}
	if out, err := who.Call(testCtx(t), a.Caller(), &note{}); err != nil || out.Text != "local" {
		t.Errorf("in process: %v %v", out, err)
	}
}
