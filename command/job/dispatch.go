package job

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
	"github.com/steppe-project/steppe/model/launch"
)

// Dispatch is "job dispatch".
var Dispatch = &base.Command{
	Name: "job dispatch", Synopsis: "Launch a parameterized job", Args: "JOB [INPUT]", MinArgs: 1, MaxArgs: 2,
	Long: `Launches a child of a parameterized job and follows it until its instances have completed. INPUT is a file with the payload, of at most 16 KiB; - is standard input. The child runs what the job is now: later changes of the job do not reach it.

Exit codes: as of job run.`,
	Example: "steppe job dispatch -meta user=jane encode input.json\nsteppe job dispatch -idempotency-token 7f3a -detach encode -",
	New:     func() base.Runner { return &dispatch{} },
}

type dispatch struct {
	following
	meta     base.Strings
	token    string
	prefix   string
	priority int
}

func (d *dispatch) Flags(fs *flag.FlagSet) {
	d.following.Flags(fs)
	fs.Var(&d.meta, "meta", "A `key=value` that the child gets; may be given many times.")
	fs.StringVar(&d.token, "idempotency-token", "", "A `token` that stands for one child: while the job has a child with it, no other is launched.")
	fs.StringVar(&d.prefix, "id-prefix-template", "", "A `prefix` for the changing part of the child's id.")
	fs.IntVar(&d.priority, "priority", 0, "The child's `priority`, 1 to 100. Default: the job's.")
}

func (d *dispatch) Run(ctx context.Context, o *base.IO, args []string) error {
	req := &api.Dispatch{IDPrefixTemplate: d.prefix, Token: d.token, Priority: d.priority, Meta: make(map[string]string, len(d.meta))}
	for _, pair := range d.meta {
		k, v, ok := strings.Cut(pair, "=")
		if _, twice := req.Meta[k]; !ok || k == "" || twice {
			return model.Errorf(model.CodeInvalid, "-meta %q is not key=value, or the key was given before", pair)
		}
		req.Meta[k] = v
	}
	if len(args) > 1 {
		var err error
		if req.Payload, err = input(o.In, args[1]); err != nil {
			return err
		}
	}
	job, err := o.Job(ctx, args[0])
	if err != nil {
		return err
	}
	out, err := o.Client.Jobs().Dispatch(ctx, job.ID, req, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return err
	}
	return d.launched(ctx, o, out, job.Namespace)
}

// launched follows a child, or says that it was there.
func (f *following) launched(ctx context.Context, o *base.IO, out *api.Launched, namespace string) error {
	if f.detach || out.EvalID == "" {
		o.Print("Job ID: %s", out.JobID)
	} else {
		o.Say("Job %q", base.Clean(out.JobID))
	}
	if out.EvalID == "" {
		o.Say("It was launched with this token before. See: steppe job status %s", base.Clean(out.JobID))
		return nil
	}
	return f.end(ctx, o, &api.Registered{EvalID: out.EvalID}, out.JobID, namespace)
}

// input reads a payload.
func input(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, launch.MaxPayloadBytes+1))
	if err == nil && len(b) > launch.MaxPayloadBytes {
		err = model.Errorf(model.CodeInvalid, "%s is longer than %d bytes: hand over where it is instead, with -meta", name, launch.MaxPayloadBytes)
	}
	return b, err
}
