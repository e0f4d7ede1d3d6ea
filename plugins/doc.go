// Package plugins holds the contracts that a third party implements to run
// tasks (Driver), offer devices (Device), networks (Network) or volumes
// (Storage) on a Steppe machine. Its closure is the standard library alone.
//
// A driver implements Driver and calls serve.Driver from its main:
//
//	func main() { serve.Driver(mydriver.New()) }
//
// The same interface is implemented by the built-in drivers in process, by
// plugins/proxy over gRPC, and by a subprocess that plugins/host runs; one
// conformance suite (plugins/suite) holds for all three.
package plugins
