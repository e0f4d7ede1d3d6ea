package hook

import (
	"context"

	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/plugins"
)

// nowhere is where output goes that nobody keeps.
const nowhere = "/dev/null"

// logs says where output goes. Drivers that rotate logs get the directory; for
// the others the shell replaces the paths by those of its pipes (package logpump).
func logs(_ context.Context, b *Build) error {
	c := b.Config
	c.StdoutPath, c.StderrPath = nowhere, nowhere
	settings := b.Task.LogConfig
	if settings == nil {
		settings = model.NewLogConfig()
	}
	if settings.Disabled || b.Caps.DisableLogCollection {
		return nil
	}
	c.Logs = &plugins.LogRotation{
		Dir: b.Dir.LogPath(), Name: b.Task.Name,
		MaxFiles: max(settings.MaxFiles, 1), MaxBytes: int64(max(settings.MaxFileSizeMB, 1)) * megabyte,
	}
	return nil
}
