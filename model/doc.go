// Package model holds the words of the domain: jobs, nodes, allocations,
// evaluations, deployments and plans, as pure data with pure rules on it.
//
// Its JSON is the public JSON of the HTTP API (Go field names, durations in
// nanoseconds, []byte in base64), so no second set of types exists. Values
// read from the store are immutable: Copy before changing. The package has no
// clock, no dice and no input or output; times and ids are given to it.
//
// The msgpack form (codec_gen.go, generated) serves the raft log, snapshots and
// RPC: maps keyed by field name, so that fields can be added and unknown ones
// are skipped.
package model

//go:generate go tool msgp -file . -o codec_gen.go -tests=false -io=false
