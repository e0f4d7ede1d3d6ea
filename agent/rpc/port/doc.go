// Package port is the one TCP port of a server, and the way to another's: it
// accepts connections, encrypts and authenticates them both ways, and tells gRPC
// from raft by the first byte.
//
// Contract and invariants:
//
//   - A connection that is handed over has been authenticated as Security says;
//     one that is not is told why, as far as its protocol can say it, and logged.
//   - Silent, strange and too many connections are closed within named limits.
//   - Keys and certificates may change while connections stand: those stay.
//
// Example:
//
//	sec, err := port.FromKey(key, agentID)
//	l := port.NewListener(port.ListenerConfig{Listener: ln, Security: sec, Logger: log})
//	go l.Run(ctx)
//	err = server.Run(ctx, l.RPC())
package port
