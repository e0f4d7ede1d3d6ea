package rpc

import "github.com/tinylib/msgp/msgp"

// Ping is answered by every Server: it tells that the agent is reached and runs.
var Ping = Method[Nothing, Nothing]{Name: "Agent.Ping", Idempotent: true}

// Nothing is a message without content. What a later version may put in is
// skipped.
type Nothing struct{}

// MarshalMsg implements Message.
func (*Nothing) MarshalMsg(b []byte) ([]byte, error) { return msgp.AppendMapHeader(b, 0), nil }

// UnmarshalMsg implements Message.
func (*Nothing) UnmarshalMsg(b []byte) ([]byte, error) { return msgp.Skip(b) }
