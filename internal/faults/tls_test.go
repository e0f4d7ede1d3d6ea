package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steppe-project/steppe/api"
)

// signer is a certificate authority of a test, with its files in a directory.
type signer struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newSigner(t *testing.T, dir string) *signer {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &signer{t: t, dir: dir}
	template := s.template("the test's authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	s.key, s.cert = s.write("ca", template)
	return s
}

func (s *signer) template(name string) *x509.Certificate {
	s.next++
	return &x509.Certificate{
		SerialNumber: big.NewInt(s.next), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// write signs a certificate (the first one itself) and writes NAME.pem and
// NAME-key.pem.
func (s *signer) write(file string, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	parent, parentKey := s.cert, s.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		s.certFile(file): {Type: "CERTIFICATE", Bytes: der}, s.keyFile(file): {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return key, cert
}

func (s *signer) certFile(file string) string { return filepath.Join(s.dir, file+".pem") }
func (s *signer) keyFile(file string) string  { return filepath.Join(s.dir, file+"-key.pem") }

// leaf writes the certificate of an agent or a caller.
func (s *signer) leaf(file, name string, addrs ...string) *x509.Certificate {
	s.t.Helper()
	template := s.template(name)
	template.DNSNames = []string{name}
	for _, a := range addrs {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	_, cert := s.write(file, template)
	return cert
}

// block is the tls block of an agent with that certificate.
func (s *signer) block(file string) string {
	return fmt.Sprintf(`
tls {
	http = true
	rpc  = true
	ca_file   = %q
	cert_file = %q
	key_file  = %q
	verify_server_hostname = true
	verify_https_client    = true
}
`, s.certFile("ca"), s.certFile(file), s.keyFile(file))
}

func (s *signer) caller(file string) api.TLSConfig {
	return api.TLSConfig{CACert: s.certFile("ca"), ClientCert: s.certFile(file), ClientKey: s.keyFile(file)}
}

// encrypted is a site of a server and a client with certificates; the client's
// tasks need nothing but raw_exec.
func encrypted(t *testing.T) (*Site, *signer, *Agent, *Agent) {
	t.Helper()
	s := NewSite(t, Loopback)
	ca := newSigner(t, filepath.Join(s.Dir(), "ca"))
	server := s.Agent("server", "")
	client := s.Agent("client", "")
	ca.leaf("server", "server.global.nomad", server.Addr)
	ca.leaf("client", "client.global.nomad", client.Addr)
	ca.leaf("cli", "cli.global.nomad")
	server.Configure(serverOnly + ca.block("server"))
	client.Configure(clientOf(server) + ca.block("client"))
	for _, a := range []*Agent{server, client} {
		a.UseTLS(ca.caller("cli"))
		a.Start()
	}
	s.Await("the client is ready", Patience, func() error { return server.Nodes(1) })
	return s, ca, server, client
}

// TestTLS: agents and callers with certificates work together, those without are
// refused in words.
func TestTLS(t *testing.T) {
	t.Parallel()
	s, ca, server, client := encrypted(t)
	says := func(what string, a *Agent, env, args []string, words ...string) {
		t.Helper()
		a.Env = env
		out, err := a.CLI(args...)
		if (err == nil) != (what == "works") {
			t.Errorf("%s: %v %s", what, err, out)
		}
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in %s", what, w, out)
			}
		}
	}
	members := []string{"server", "members"}
	flags := func(more ...string) []string { return append(append([]string{}, members...), more...) }
	cert := []string{"-ca-cert", ca.certFile("ca"), "-client-cert", ca.certFile("cli"), "-client-key", ca.keyFile("cli")}
	says("works", server, nil, flags(cert...), "server.global", "alive")
	says("works", client, []string{"NOMAD_CACERT=" + ca.certFile("ca"), "NOMAD_CLIENT_CERT=" + ca.certFile("cli"), "NOMAD_CLIENT_KEY=" + ca.keyFile("cli")}, members, "server.global")
	says("works", server, []string{"STEPPE_CACERT=" + ca.certFile("ca"), "NOMAD_TLS_SERVER_NAME=server.global.nomad"}, flags(cert[2:]...), "server.global")
	says("another name", server, nil, flags(append(cert, "-tls-server-name", "example.org")...), "example.org", "-tls-server-name")
	says("no authority", server, nil, flags(cert[2:]...), "-ca-cert")
	says("no certificate", server, nil, flags(cert[:2]...), "-client-cert")
	says("no TLS", server, []string{"STEPPE_ADDR=http://" + server.Addr + ":4646"}, members, "https://")

	server.Env = nil
	server.Register(s.Script("task", "service", "raw_exec", 1, Forever))
	server.AwaitRunning("task", 1)
	server.AwaitGone("task")

	other := newSigner(t, filepath.Join(s.Dir(), "other"))
	for name, conf := range map[string]func(a *Agent) (block, word string){
		"plain": func(*Agent) (string, string) { return "", "tls certificates" },
		"stranger": func(a *Agent) (string, string) {
			other.leaf("client", "client.global.nomad", a.Addr)
			return strings.Replace(other.block("client"), other.certFile("ca"), ca.certFile("ca"), 1), "may not trust this agent"
		},
	} {
		a := s.Agent(name, "")
		block, word := conf(a)
		a.Configure(clientOf(server) + block)
		a.Start()
		s.Await(name+" is told why", Patience, func() error {
			if !strings.Contains(a.Log(64<<10), word) {
				return errors.New("not yet")
			}
			return nil
		})
	}
	if err := server.Nodes(1); err != nil {
		t.Error(err)
	}
}

// TestCertificatesAreReloaded: SIGHUP has an agent use the certificates that are
// there now; without one it can read it keeps those it has.
func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	s, ca, server, client := encrypted(t)
	serial := func(a *Agent) string {
		conn, err := a.TLSConn(ca.caller("cli"))
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	hangUp := func(a *Agent, word string) {
		t.Helper()
		if err := syscall.Kill(a.PID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.Await("the agent says "+word, Patience, func() error {
			if !strings.Contains(a.Log(64<<10), word) {
				return errors.New("not yet")
			}
			return nil
		})
	}
	next := ca.leaf("server", "server.global.nomad", server.Addr).SerialNumber.String()
	if serial(server) == next {
		t.Fatal("the new certificate is used already")
	}
	hangUp(server, "msg=reloaded")
	if got := serial(server); got != next {
		t.Errorf("certificate %s after the reload, want %s", got, next)
	}
	if err := os.WriteFile(ca.certFile("server"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(server, "certificates were not reloaded")
	if got := serial(server); got != next {
		t.Errorf("certificate %s after a failed reload, want %s", got, next)
	}
	// The certificate of a client is no server's: verify_server_hostname.
	ca.leaf("server", "client.global.nomad", server.Addr)
	if err := syscall.Kill(server.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.Await("a client's certificate is served", Patience, func() error {
		if serial(server) == next {
			return errors.New("not yet")
		}
		return nil
	})
	client.Signal(syscall.SIGTERM)
	client.Start()
	s.Await("the client refuses a server with a client's certificate", Patience, func() error {
		if !strings.Contains(client.Log(64<<10), "not server.global.nomad") {
			return errors.New("not yet")
		}
		return nil
	})
}
