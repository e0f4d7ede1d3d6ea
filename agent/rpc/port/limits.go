package port

import "time"

const (
	// DefaultMaxConns bounds the inbound connections of one agent: a server of a
	// fleet of ten thousand with room for its share of the nodes.
	DefaultMaxConns = 20_000
	// DefaultMaxConnsPerIP bounds one address, so that one machine cannot use up
	// the whole of DefaultMaxConns.
	DefaultMaxConnsPerIP = 5_000
	// HelloTimeout bounds the time from accept to first byte and TLS handshake,
	// so that silent connections do not pile up.
	HelloTimeout = 5 * time.Second
	// refuseTimeout and refuseBytes bound waiting for a refused peer to hang up.
	refuseTimeout = time.Second
	refuseBytes   = 64 << 10
	// acceptQueue is how many greeted connections wait for their server.
	acceptQueue = 128

	// DialTimeout bounds connecting to one address.
	DialTimeout = 3 * time.Second
	// probeInterval and probeCount are TCP keep-alive: a vanished machine is
	// noticed after probeInterval*(probeCount+1), three seconds.
	probeInterval = time.Second
	probeCount    = 2
	// unackedTimeout ends a connection whose sent data nobody acknowledges.
	unackedTimeout = 3 * time.Second
)
