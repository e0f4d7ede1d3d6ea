// Package admit takes in the writes of the API and of nodes: it checks them,
// stamps ids and times, and proposes them.
//
// Contract and invariants:
//
//   - A write is one command with all of its effects: a job comes with the
//     evaluation that puts it into effect.
//   - What was answered is committed and visible on this server.
//   - A write with a RequestID that was done before has the outcome of the first.
//   - Requests are not changed, because callers in this process share them.
//   - Checks that depend on the state are repeated by the state machine; here
//     they only make for early and better words.
//   - A node is who it says only with the secret it first registered with.
//
// Example:
//
//	admit.New(admit.Config{Store: store, Proposer: host, Region: "global", Now: time.Now}).Register(server)
package admit
