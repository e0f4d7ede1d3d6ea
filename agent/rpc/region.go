package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/steppe-project/steppe/model"
)

// Regions tells a server where the servers of other regions are. The WAN gossip
// knows; the composition root joins them.
type Regions interface {
	// Name is this server's own region.
	Name() string
	// Servers returns the rpc addresses of the living servers of another region;
	// known is false for a region that nobody has heard of. It must not block.
	Servers(region string) (addrs []string, known bool)
}

// Request headers of a call for another region.
const (
	regionKey    = "steppe-region"     // the region that must answer
	regionHopKey = "steppe-region-hop" // set between regions: it is not passed on again
)

// NoPathToRegion is the text that clients of the API know for a region that
// nobody has heard of.
const NoPathToRegion = "No path to region"

// InRegion returns the way to a region's handlers by way of servers that c
// reaches. Those pass the call on, at most one hop from region to region.
func InRegion(c Caller, region string) Caller { return regional{c, region} }

type regional struct {
	by     Caller
	region string
}

// Invoke implements Caller.
func (r regional) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	return r.by.Invoke(outgoing(ctx, regionKey, r.region), spec, req, resp)
}

// Open implements Caller.
func (r regional) Open(ctx context.Context, spec Spec) (Wire, error) {
	return r.by.Open(outgoing(ctx, regionKey, r.region), spec)
}

// elsewhere is the way to the region that ctx asks for, nil when that is this
// server's own. The context to call with says that it comes from a server.
func (s *Server) elsewhere(ctx context.Context) (context.Context, *wayTo, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	asked := md.Get(regionKey)
	if len(asked) == 0 || s.cfg.Regions == nil || asked[0] == s.cfg.Regions.Name() {
		return ctx, nil, nil
	}
	way, err := s.wayTo(asked[0])
	return outgoing(ctx, regionHopKey, "1"), way, err
}

// wayTo is the way to a region's servers.
type wayTo struct {
	*Servers
	region string
}

// wayTo returns the way to another region. One is kept for each that is known.
func (s *Server) wayTo(region string) (*wayTo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.cfg.Regions.Servers(region); !known {
		delete(s.regions, region)
		return nil, model.Errorf(model.CodeInternal, NoPathToRegion)
	}
	way := s.regions[region]
	if way == nil {
		way = &wayTo{region: region, Servers: s.cfg.Pool.serversOf(region, func() []string {
			addrs, _ := s.cfg.Regions.Servers(region)
			return addrs
		})}
		s.regions[region] = way
	}
	return way, nil
}

// explain names the region that cannot be reached.
func (w *wayTo) explain(err error) error {
	if !isNotSent(err) {
		return err
	}
	return &notSent{cause: model.Errorf(model.CodeUnavailable, "no server of region %q can be reached: %w", w.region, err)}
}

// Invoke implements Caller.
func (w *wayTo) Invoke(ctx context.Context, spec Spec, req Message, resp func() Message) (Message, error) {
	out, err := w.Servers.Invoke(ctx, spec, req, resp)
	return out, w.explain(err)
}

// Open implements Caller.
func (w *wayTo) Open(ctx context.Context, spec Spec) (Wire, error) {
	out, err := w.Servers.Open(ctx, spec)
	return out, w.explain(err)
}

// border decides about a call by the regions of its sender and of who shall
// answer it: it is passed on, which is done then, or refused, or may be answered
// here.
func (s *Server) border(st grpc.ServerStream, name string, md metadata.MD) (done bool, err error) {
	if s.cfg.Regions == nil {
		return false, nil
	}
	own, asked := s.cfg.Regions.Name(), ""
	if v := md.Get(regionKey); len(v) > 0 {
		asked = v[0]
	}
	if asked == "" || asked == own {
		return false, s.admit(peerOf(st.Context()), name, asked)
	}
	if len(md.Get(regionHopKey)) > 0 {
		return false, errWrongRegion // gossip of the sender was behind
	}
	way, err := s.wayTo(asked)
	if err != nil {
		return false, err
	}
	return true, s.passToRegion(st, way, name, md)
}

// admit refuses an agent of another region that calls as if it were of this one.
func (s *Server) admit(peer Peer, name, asked string) error {
	own := s.cfg.Regions.Name()
	if peer.Region == "" || peer.Region == own {
		return nil
	}
	h, err := s.lookup(name)
	if err != nil {
		return err
	}
	if asked == "" || h.spec.Inside {
		return model.Errorf(model.CodeDenied, "%s: this server is of region %q, the calling agent of %q: only requests that name the region cross over", name, own, peer.Region)
	}
	return nil
}

// passToRegion carries a call or stream on to a server of another region,
// undecoded where its fate does not depend on what it says.
func (s *Server) passToRegion(st grpc.ServerStream, way *wayTo, name string, md metadata.MD) error {
	h, err := s.lookup(name)
	if err != nil {
		return err
	}
	ctx := outgoing(st.Context(), regionKey, way.region, regionHopKey, "1")
	if len(md.Get(staleKey)) > 0 {
		ctx = outgoing(ctx, staleKey, "1")
	}
	if h.stream != nil {
		var out *clientWire
		err := way.try(h.spec, func(c *conn) (err error) {
			out, err = c.open(ctx, methodPrefix+name)
			return err
		})
		if err != nil {
			return way.explain(err)
		}
		return s.splice(st, out)
	}
	var in frame
	if err := st.RecvMsg(&in); err != nil {
		if errors.Is(err, io.EOF) {
			return protocolErrorf("%s: no request", name)
		}
		return fromStatus(ctx, err, nil)
	}
	defer in.free()
	spec := h.spec
	if spec.Keyed {
		req := h.newReq()
		if err := in.decode(req); err != nil {
			return model.Errorf(model.CodeInvalid, "%s: %w", name, err)
		}
		spec = spec.of(req)
	}
	var out frame
	defer func() { out.free() }()
	err = way.try(spec, func(c *conn) error {
		out.free()
		out = frame{}
		return c.invoke(ctx, spec, false, &in, &out)
	})
	if err != nil {
		return way.explain(err)
	}
	return st.SendMsg(&out)
}
