package msg

import "github.com/steppe-project/steppe/agent/rpc"

//go:generate go tool msgp -file keyring.go -tests=false -io=false

// KeyringRequest reads the cluster keys of agents, or changes them.
type KeyringRequest struct {
	WriteOptions
	// Op is install, use or remove; "" only reads.
	Op  string
	Key []byte
	// Force has a key used that not all agents have.
	Force bool
	// Within keeps the request to the region that it is sent to.
	Within bool
}

// KeyringMember is the keyring of one agent after the request.
type KeyringMember struct {
	Name string // "<name>.<region>"
	// Keys are the agent's, the first is the one it sends with.
	Keys [][]byte
	// Err is why the agent did not do what was asked; "" when it did.
	Err string
	// Down tells that gossip holds the agent for failed: it was not asked.
	Down bool
}

// KeyringResponse has an entry for every agent.
type KeyringResponse struct{ Members []*KeyringMember }

// Cluster keys. AgentKeyring is answered by one agent for itself, Keyring by a
// server for all agents of all regions.
var (
	AgentKeyring = rpc.Method[KeyringRequest, KeyringResponse]{Name: "Agent.Keyring", Idempotent: true, Inside: true}
	Keyring      = rpc.Method[KeyringRequest, KeyringResponse]{Name: "Operator.Keyring", Idempotent: true}
)
