package hook

import (
	"context"
	"testing"

	"github.com/steppe-project/steppe/plugins"
	"github.com/steppe-project/steppe/plugins/host"
)

// BenchmarkPrepare is the preparation of one start, on a real disk.
func BenchmarkPrepare(b *testing.B) {
	decoder, err := host.NewDecoder(&plugins.Spec{Object: map[string]*plugins.Spec{
		"command": plugins.Attr("command", "string", true), "args": plugins.Attr("args", "list(string)", false),
	}})
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		b.StopTimer()
		in := build(b)
		in.Schema = decoder
		in.Task.Config = map[string]any{"command": "/bin/sh", "args": []any{"-c", "echo ${NOMAD_TASK_NAME}"}}
		b.StartTimer()
		if err := in.Dir.Build(); err != nil {
			b.Fatal(err)
		}
		if err := Prepare(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}
