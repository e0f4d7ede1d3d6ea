// Package rpc carries typed calls and streams between agents.
//
// A method is a value: its name, whether it is forwarded to the leader, and the
// types of its request and response. Handle registers a handler for it on a
// Server; Method.Call calls it through a Caller, which is one of
//
//   - Server.Caller: the handlers of this process, called directly, nothing encoded;
//   - Pool.Caller: any server of a list, moving to another when one dies;
//   - Pool.At: the server at one address;
//   - Tunnels.Node: a client agent, over the tunnel it opened (see ServeTunnel).
//
// Contract and invariants:
//
//   - Messages are tinylib/msgp types; a payload is at most MaxMessageBytes.
//   - In-process calls share memory: a handler must not change its request and a
//     caller must not change a response (copy first). Over the network both own
//     what they decoded, but code cannot know which way it is called.
//   - An error travels as its model.Code and message. A handler's error arrives
//     as *model.Error; so do transport failures (CodeUnavailable).
//   - A call marked Leader on a follower is forwarded at most one hop, and retried
//     only when it provably was not applied: never sent, or refused with
//     CodeNotLeader before anything was appended.
//   - A request is never sent twice otherwise, unless its method is Idempotent.
//   - Small calls that the leader answers share one stream of a connection, a lane:
//     a stream for each cost more than what the leader does for them. Nothing else
//     differs; one that knows no lanes is called as before.
//
// Example:
//
//	var JobRegister = rpc.Method[RegisterRequest, RegisterResponse]{Name: "Job.Register", Forward: rpc.Leader}
//
//	rpc.Handle(server, JobRegister, func(ctx context.Context, req *RegisterRequest) (*RegisterResponse, error) { ... })
//
//	resp, err := JobRegister.Call(ctx, server.Caller(), &RegisterRequest{...})
package rpc
