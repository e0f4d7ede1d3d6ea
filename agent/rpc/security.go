package rpc

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/model"
)

// KeyBytes is the length of a cluster key (gossip's AES-256).
const KeyBytes = 32

// Security encrypts and authenticates connections between agents, both ways:
//
//   - Plaintext: nothing, for development and trusted networks;
//   - FromKey: from the cluster's gossip key. Every agent derives the same
//     certificate authority from it and mints itself a certificate at start, so
//     whoever holds the key is in and nobody else;
//   - FromFiles: certificates an operator made.
type Security struct {
	material atomic.Pointer[material]
	agentID  string // for SetKeys; "" unless made by FromKey
}

// material is what handshakes use; nil tls means plaintext.
type material struct {
	client *tls.Config
	server *tls.Config
}

// Plaintext is no security.
func Plaintext() *Security {
	s := new(Security)
	s.material.Store(&material{})
	return s
}

// Encrypted reports whether connections are encrypted.
func (s *Security) Encrypted() bool { return s.material.Load().server != nil }

// FromKey makes the security of the cluster with this key (KeyBytes long) for
// the agent agentID.
func FromKey(key []byte, agentID string) (*Security, error) {
	s := &Security{agentID: agentID}
	if err := s.SetKeys(key); err != nil {
		return nil, err
	}
	return s, nil
}

// SetKeys changes the cluster key, for rotation: primary makes this agent's
// certificate, peers of primary and of others are accepted. Connections that
// stand are not touched. Only for a Security made by FromKey.
func (s *Security) SetKeys(primary []byte, others ...[]byte) error {
	roots := x509.NewCertPool()
	ca, caKey, err := deriveCA(primary)
	if err != nil {
		return err
	}
	roots.AddCert(ca)
	for _, k := range others {
		other, _, err := deriveCA(k)
		if err != nil {
			return err
		}
		roots.AddCert(other)
	}
	leaf, err := mintLeaf(ca, caKey, s.agentID)
	if err != nil {
		return fmt.Errorf("rpc: make certificate: %w", err)
	}
	s.material.Store(newMaterial(leaf, roots, "", "belongs to another cluster: its encrypt key differs"))
	return nil
}

// validity of derived certificates: the key is the secret and the certificates
// live as long as the process, so clocks that are wrong must not matter.
var (
	validFrom  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// deriveCA makes the authority of a cluster key: the same bytes on every agent.
func deriveCA(key []byte) (*x509.Certificate, ed25519.PrivateKey, error) {
	if len(key) != KeyBytes {
		return nil, nil, model.Errorf(model.CodeInvalid, "encrypt key has %d bytes, %d are needed", len(key), KeyBytes)
	}
	seed, err := hkdf.Key(sha256.New, key, nil, "steppe agent authority v1", ed25519.SeedSize)
	if err != nil {
		return nil, nil, fmt.Errorf("rpc: derive authority: %w", err)
	}
	priv := ed25519.NewKeyFromSeed(seed)
	pub := priv.Public().(ed25519.PublicKey)
	mark := sha256.Sum256(pub)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "steppe cluster " + hex.EncodeToString(mark[:4])},
		NotBefore:    validFrom, NotAfter: validUntil,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, tmpl, tmpl, pub, priv)
	if err != nil {
		return nil, nil, fmt.Errorf("rpc: make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("rpc: read authority back: %w", err)
	}
	return cert, priv, nil
}

// mintLeaf makes this process's certificate; its private key is in memory only.
func mintLeaf(ca *x509.Certificate, caKey ed25519.PrivateKey, name string) (tls.Certificate, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: validFrom, NotAfter: validUntil, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, pub, caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, nil
}

// Files are an operator's certificates, PEM.
type Files struct {
	CA, Cert, Key string
	// ServerName, when set, is a DNS name that the certificate of every server
	// dialled must carry ("server.global.steppe"), so that a client's certificate
	// cannot pose as a server.
	ServerName string
}

// FromFiles reads certificates. Both sides must be signed by the CA.
func FromFiles(f Files) (*Security, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "tls ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, model.Errorf(model.CodeInvalid, "tls ca_file %s holds no certificate", f.CA)
	}
	leaf, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, model.Errorf(model.CodeInvalid, "tls cert_file, key_file: %w", err)
	}
	s := new(Security)
	s.material.Store(newMaterial(leaf, roots, f.ServerName, "is not trusted by this agent's tls ca_file"))
	return s, nil
}

// newMaterial builds both sides. stranger completes "the agent at ADDR ..." for
// a peer whose certificate roots do not vouch for.
func newMaterial(leaf tls.Certificate, roots *x509.CertPool, serverName, stranger string) *material {
	check := func(name string) func(tls.ConnectionState) error {
		return func(cs tls.ConnectionState) error { return verifyPeer(cs, roots, name, stranger) }
	}
	return &material{
		client: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{leaf},
			// The chain is verified by check: agents are reached by address, and
			// a stranger shall be told in words.
			InsecureSkipVerify: true, VerifyConnection: check(serverName),
		},
		server: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{leaf},
			ClientAuth: tls.RequireAnyClientCert, VerifyConnection: check(""),
			// Every connection authenticates anew: after a key rotation no ticket
			// of the old key may let anyone in.
			SessionTicketsDisabled: true,
		},
	}
}

// strangerError is a peer that the authority does not vouch for.
type strangerError struct{ text string }

func (e *strangerError) Error() string { return e.text }

func verifyPeer(cs tls.ConnectionState, roots *x509.CertPool, name, stranger string) error {
	if len(cs.PeerCertificates) == 0 {
		return &strangerError{"sent no certificate"}
	}
	rest := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		rest.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: rest, DNSName: name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return &strangerError{stranger}
	}
	return err
}

// dial connects to an agent and greets it. kind is the stream's first byte, 0
// for gRPC, which brings its own.
func (s *Security) dial(ctx context.Context, addr string, kind byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: setUnackedTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	out, err := s.greet(ctx, nc, kind)
	if err != nil {
		_ = nc.Close() // the greeting's error is the one that tells
		return nil, err
	}
	return out, nil
}

func (s *Security) greet(ctx context.Context, nc net.Conn, kind byte) (net.Conn, error) {
	if kind != 0 {
		if _, err := nc.Write([]byte{kind}); err != nil {
			return nil, err
		}
	}
	m := s.material.Load()
	if m.client == nil {
		return nc, nil
	}
	tc := tls.Client(nc, m.client)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, explainHandshake(nc.RemoteAddr().String(), err)
	}
	return tc, nil
}

// explainHandshake gives words to what usually goes wrong.
func explainHandshake(addr string, err error) error {
	var stranger *strangerError
	var remote *net.OpError
	switch {
	case errors.As(err, &stranger):
		return fmt.Errorf("the agent at %s %s", addr, stranger.text)
	case errors.As(err, new(tls.RecordHeaderError)):
		return fmt.Errorf("the agent at %s does not encrypt: it has no encrypt key or tls certificates, this one has", addr)
	case errors.As(err, &remote) && remote.Op == "remote error" && remote.Err.Error() == tls.AlertError(alertNoEncryption).Error():
		return fmt.Errorf("the agent at %s does not encrypt: it has no encrypt key or tls certificates, this one has", addr)
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return fmt.Errorf("the agent at %s closed the connection during the handshake: it may belong to another cluster, or be out of connections", addr)
	}
	return fmt.Errorf("handshake with the agent at %s: %w", addr, err)
}

// keepAlive finds out in about three seconds that a machine is gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: probeInterval, Interval: probeInterval, Count: probeCount}
