package hook

import "context"

// driverConfig encodes the task's config block.
func driverConfig(_ context.Context, b *Build) error {
	out, err := b.Schema.Decode(b.Task.Config, b.Env.Vars())
	if err != nil {
		return err
	}
	b.Config.Msgpack = out
	return nil
}
