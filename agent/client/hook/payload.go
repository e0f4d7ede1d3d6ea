package hook

import (
	"context"
	"os"
	"path"

	"github.com/steppe-project/steppe/agent/client/allocdir"
)

// payloadMode lets every user of the task read it.
const payloadMode = 0o644

// payload writes what the job was dispatched with to the task's file. It is written anew
// for every start: a task that changed it finds it as it was. os.Root keeps the task's
// own links from leading the agent elsewhere.
func payload(_ context.Context, b *Build) error {
	d := b.Task.DispatchPayload
	if d == nil || len(b.Job.Payload) == 0 {
		return nil
	}
	root, err := b.Dir.Open()
	if err != nil {
		return err
	}
	defer root.Close()
	local, err := root.OpenRoot(path.Join(b.Task.Name, allocdir.Local))
	if err != nil {
		return err
	}
	defer local.Close()
	if dir := path.Dir(path.Clean(d.File)); dir != "." {
		if err := local.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// A new file, so that a link in its place is not followed and its owner is the agent.
	if err := local.Remove(d.File); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := local.OpenFile(d.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, payloadMode)
	if err != nil {
		return err
	}
	if err := f.Chmod(payloadMode); err != nil { // the umask does not count
		f.Close()
		return err
	}
	if _, err := f.Write(b.Job.Payload); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
