package port

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/steppe-project/steppe/agent/rpc/authority"
	"github.com/steppe-project/steppe/model"
)

// KeyBytes is the length of a cluster key.
const KeyBytes = authority.KeyBytes

// Security encrypts and authenticates connections between agents, both ways:
//
//   - Plaintext: nothing, for development and trusted networks;
//   - FromKey: from the cluster's gossip key. Every agent derives the same certificate authority from it
//     and mints itself a certificate at start, so whoever holds the key is in and nobody else;
//   - FromFiles: certificates an operator made.
type Security struct {
	material atomic.Pointer[material]
	agentID  string // for SetKeys; "" unless made by FromKey
	region   string // this agent's; "" when it does not matter
}

// material is what handshakes use; a nil server means plaintext.
type material struct {
	// client is for a connection to an agent of that region.
	client func(region string) *tls.Config
	// server is for connections that come in, raft for those of raft among them.
	server, raft *tls.Config
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
// the agent agentID of a region. Federated regions have the same key; certificates
// tell them apart, so that no agent takes one of another region for its own.
func FromKey(key []byte, agentID, region string) (*Security, error) {
	s := &Security{agentID: agentID, region: region}
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
	ca, err := authority.Derive(primary)
	if err != nil {
		return err
	}
	roots.AddCert(ca.Cert)
	for _, k := range others {
		other, err := authority.Derive(k)
		if err != nil {
			return err
		}
		roots.AddCert(other.Cert)
	}
	leaf, err := ca.Mint(s.agentID, s.region)
	if err != nil {
		return err
	}
	s.material.Store(newMaterial(leaf, roots, func(region string) peerCheck {
		return peerCheck{roots: roots, region: region, stranger: strangerKey}
	}, s.region))
	return nil
}

// Files are an operator's certificates, PEM.
type Files struct {
	CA, Cert, Key string
	// VerifyServer has the certificate of every server dialled carry ServerName of its region, so that a
	// client's certificate cannot pose as a server, nor a server of one region as one of another.
	VerifyServer bool
	// Region is this agent's.
	Region string
}

// ServerName is the DNS name of a region's servers, which existing certificates carry.
func ServerName(region string) string { return "server." + region + ".nomad" }

// FromFiles reads certificates. Both sides must be signed by the CA.
func FromFiles(f Files) (*Security, error) {
	s := &Security{region: f.Region}
	return s, s.SetFiles(f)
}

// SetFiles reads certificates anew. Connections that stand are not touched; on failure nothing changes.
func (s *Security) SetFiles(f Files) error {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return model.Errorf(model.CodeInvalid, "tls ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return model.Errorf(model.CodeInvalid, "tls ca_file %s holds no certificate", f.CA)
	}
	leaf, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return model.Errorf(model.CodeInvalid, "tls cert_file, key_file: %w", err)
	}
	s.material.Store(newMaterial(leaf, roots, func(region string) peerCheck {
		check := peerCheck{roots: roots, stranger: "is not trusted by this agent's tls ca_file"}
		if f.VerifyServer && region != "" {
			check.name = ServerName(region)
		}
		return check
	}, ""))
	return nil
}

const strangerKey = "belongs to another cluster: its encrypt key differs (one of the two may have missed a key rotation), or it has tls certificates and this one has none"

// peerCheck is what a peer's certificate must be. Empty fields ask for nothing.
type peerCheck struct {
	roots    *x509.CertPool
	name     string // its DNS name
	region   string // of the agent it was minted for
	stranger string // completes "the agent at ADDR ..." when roots do not vouch for it
}

// newMaterial builds both sides. dialled is the check of an agent of a region;
// whoever speaks raft must be of the region raftRegion.
func newMaterial(leaf tls.Certificate, roots *x509.CertPool, dialled func(region string) peerCheck, raftRegion string) *material {
	stranger := dialled("").stranger
	incoming := func(check peerCheck) *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{leaf},
			ClientAuth: tls.RequireAnyClientCert, VerifyConnection: check.verify,
			// Every connection authenticates anew: after a key rotation no ticket of the old key may let anyone in.
			SessionTicketsDisabled: true,
		}
	}
	return &material{
		client: func(region string) *tls.Config {
			return &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{leaf},
				// The chain is verified by the check: agents are reached by address, and a stranger shall be told in words.
				InsecureSkipVerify: true, VerifyConnection: dialled(region).verify,
			}
		},
		server: incoming(peerCheck{roots: roots, stranger: stranger}),
		raft:   incoming(peerCheck{roots: roots, stranger: stranger, region: raftRegion}),
	}
}

// strangerError is a peer that the authority does not vouch for, or that is
// another than it should be.
type strangerError struct{ text string }

func (e *strangerError) Error() string { return e.text }

func (p peerCheck) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return &strangerError{"sent no certificate"}
	}
	rest := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		rest.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: p.roots, Intermediates: rest, DNSName: p.name, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return &strangerError{p.stranger}
	}
	if err != nil {
		return err
	}
	// A certificate of an earlier version names no region.
	if is := authority.RegionOf(cs.PeerCertificates[0]); p.region != "" && is != "" && is != p.region {
		return &strangerError{fmt.Sprintf("belongs to region %q, not %q", is, p.region)}
	}
	return nil
}

// Dial connects to the server at addr (host:port) for gRPC, greeted and encrypted.
// region is the one it must belong to; "" is this agent's own.
func (s *Security) Dial(ctx context.Context, addr, region string) (net.Conn, error) {
	if region == "" {
		region = s.region
	}
	return s.dial(ctx, addr, region, 0)
}

// dial connects to an agent and greets it. kind is the stream's first byte, 0
// for gRPC, which brings its own.
func (s *Security) dial(ctx context.Context, addr, region string, kind byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: setUnackedTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	out, err := s.greet(ctx, nc, region, kind)
	if err != nil {
		_ = nc.Close() // the greeting's error is the one that tells
		return nil, err
	}
	return out, nil
}

func (s *Security) greet(ctx context.Context, nc net.Conn, region string, kind byte) (net.Conn, error) {
	if kind != 0 {
		if _, err := nc.Write([]byte{kind}); err != nil {
			return nil, err
		}
	}
	m := s.material.Load()
	if m.client == nil {
		return nc, nil
	}
	tc := tls.Client(nc, m.client(region))
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
