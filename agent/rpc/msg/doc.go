// Package msg is the one table of RPC methods (methods.go) with their messages.
// Messages speak model; their msgpack codecs are generated.
package msg
