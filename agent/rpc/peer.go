package rpc

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/steppe-project/steppe/agent/rpc/authority"
)

// Peer is who sent a request.
type Peer struct {
	// Local is true for a call from the same process.
	Local bool
	// Addr is the sender's address, "" when Local.
	Addr string
	// Name is the common name of its certificate: an agent id when the cluster
	// key made it; "" without encryption. Every agent of the cluster could make a
	// certificate of any name: it identifies honest agents, it does not
	// authorize.
	Name string
	// Region is that of the agent, as its certificate says; "" without encryption,
	// with an operator's certificates, or for an agent of an earlier version.
	Region string
}

type peerCtx struct{}

func withPeer(ctx context.Context, p Peer) context.Context {
	return context.WithValue(ctx, peerCtx{}, p)
}

// PeerOf returns who sent the request that ctx belongs to; Local when ctx
// belongs to none that came over the network.
func PeerOf(ctx context.Context) Peer {
	if p, ok := ctx.Value(peerCtx{}).(Peer); ok {
		return p
	}
	return Peer{Local: true}
}

// peerOf reads it off a gRPC context.
func peerOf(ctx context.Context) Peer {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Peer{}
	}
	out := Peer{Addr: p.Addr.String()}
	if info, ok := p.AuthInfo.(connInfo); ok {
		out.Name, out.Region = info.name, info.region
	}
	return out
}

// connInfo is what the connection's own handshake found out.
type connInfo struct{ name, region string }

// AuthType implements credentials.AuthInfo.
func (connInfo) AuthType() string { return "steppe" }

// connCredentials tells gRPC that connections come ready: package port did encryption and authentication before.
type connCredentials struct{}

func infoOf(c net.Conn) connInfo {
	if t, ok := c.(*tls.Conn); ok {
		if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
			return connInfo{name: certs[0].Subject.CommonName, region: authority.RegionOf(certs[0])}
		}
	}
	return connInfo{}
}

// ClientHandshake implements credentials.TransportCredentials.
func (connCredentials) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, infoOf(c), nil
}

// ServerHandshake implements credentials.TransportCredentials.
func (connCredentials) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, infoOf(c), nil
}

// Info implements credentials.TransportCredentials.
func (connCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "steppe"}
}

// Clone implements credentials.TransportCredentials.
func (c connCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (connCredentials) OverrideServerName(string) error { return nil }
