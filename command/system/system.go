// Package system holds the verbs that are about the whole cluster or the binary.
package system

import (
	"context"
	"flag"
	"io"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/internal/version"
)

// GC is "system gc".
var GC = &base.Command{
	Name: "system gc", Synopsis: "Collect ended jobs, evaluations, allocations and lost nodes at once", Example: "steppe system gc",
	New: func() base.Runner { return &gc{} },
}

type gc struct{}

func (*gc) Flags(*flag.FlagSet) {}

func (*gc) Run(ctx context.Context, o *base.IO, _ []string) error { return o.Client.Cluster().GC(ctx) }

// Monitor is "monitor".
var Monitor = &base.Command{
	Name: "monitor", Synopsis: "Follow an agent's log", Example: "steppe monitor -log-level debug",
	New: func() base.Runner { return &monitor{} },
}

type monitor struct {
	level string
	json  bool
}

func (m *monitor) Flags(fs *flag.FlagSet) {
	fs.StringVar(&m.level, "log-level", "info", "Lines of at least this `level`: trace, debug, info, warn, error.")
	fs.BoolVar(&m.json, "json", false, "Print lines as JSON.")
}

func (m *monitor) Run(ctx context.Context, o *base.IO, _ []string) error {
	r, err := o.Client.Cluster().Monitor(ctx, m.level, m.json)
	if err != nil {
		return err
	}
	defer r.Close()
	return follow(ctx, o, r)
}

func follow(ctx context.Context, o *base.IO, r io.Reader) error {
	_, err := io.Copy(o.Out, r)
	if ctx.Err() != nil {
		return &base.Exit{Code: base.ExitOK}
	}
	return err
}

// EventStream is "event stream".
var EventStream = &base.Command{
	Name: "event stream", Synopsis: "Follow what changes, as JSON lines",
	Example: "steppe event stream -topic Job:web -topic Node",
	New:     func() base.Runner { return &eventStream{} },
}

type eventStream struct {
	topics base.Strings
	index  uint64
}

func (e *eventStream) Flags(fs *flag.FlagSet) {
	fs.Var(&e.topics, "topic", "`Topic[:key]` to follow, may be given many times: Job, Allocation, Evaluation, Node, Deployment. Default: all.")
	fs.Uint64Var(&e.index, "index", 0, "Begin after this index; 0 begins with all that is kept.")
}

func (e *eventStream) Run(ctx context.Context, o *base.IO, _ []string) error {
	r, err := o.Client.Cluster().Events(ctx, e.index, e.topics...)
	if err != nil {
		return err
	}
	defer r.Close()
	return follow(ctx, o, r)
}

// Version is "version".
var Version = &base.Command{
	Name: "version", Synopsis: "Print the version", Offline: true, Example: "steppe version",
	New: func() base.Runner { return &versionCmd{} },
}

type versionCmd struct{}

func (*versionCmd) Flags(*flag.FlagSet) {}

func (*versionCmd) Run(_ context.Context, o *base.IO, _ []string) error {
	o.Print("%s", version.Full())
	return nil
}
