package api

import "context"

// Keyring is what agents have of cluster keys: Keys counts agents by key in
// base64, PrimaryKeys those that send with it, Messages says by agent what is amiss.
type Keyring struct {
	Messages    map[string]string
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int // that answered
}

// Keyring lists the cluster keys that the agents of all regions have.
func (c Cluster) Keyring(ctx context.Context) (*Keyring, error) {
	var out Keyring
	_, err := c.c.Get(ctx, "/v1/agent/keyring/list", nil, &out)
	return &out, err
}

// InstallKey has all agents understand a further key (base64).
func (c Cluster) InstallKey(ctx context.Context, key string) (*Keyring, error) {
	return c.changeKeyring(ctx, "install", key, false)
}

// UseKey has all agents send with a key that they have; with force also when some
// are not known to have it.
func (c Cluster) UseKey(ctx context.Context, key string, force bool) (*Keyring, error) {
	return c.changeKeyring(ctx, "use", key, force)
}

// RemoveKey has all agents forget a key that none sends with.
func (c Cluster) RemoveKey(ctx context.Context, key string) (*Keyring, error) {
	return c.changeKeyring(ctx, "remove", key, false)
}

func (c Cluster) changeKeyring(ctx context.Context, op, key string, force bool) (*Keyring, error) {
	var out Keyring
	_, err := c.c.Put(ctx, "/v1/agent/keyring/"+op, params("force", boolText(force)), map[string]string{"Key": key}, &out)
	return &out, err
}
