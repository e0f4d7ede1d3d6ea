package alloc

import (
	"bufio"
	"context"
	"flag"
	"io"
	"sort"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// Logs is "alloc logs".
var Logs = &base.Command{
	Name: "alloc logs", Synopsis: "Print or follow a task's log", Args: "ALLOC [TASK]", MinArgs: 1, MaxArgs: 2,
	Long:    "Prints what a task wrote to its standard output or error. With -job the argument is a job: an allocation of it is chosen, one that runs before others. TASK may be left out when there is only one.",
	Example: "steppe alloc logs -f -job web",
	New:     func() base.Runner { return &logs{} },
}

// tailBytes is read from the end to find the last lines; a line is rarely longer than 1 KB.
const tailBytes = 1 << 10

type logs struct {
	follow, tail, stderr, stdout, job bool
	lines, bytes                      int64
	task                              string
}

func (l *logs) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&l.follow, "f", false, "Follow the log as it grows.")
	fs.BoolVar(&l.tail, "tail", false, "Begin near the end: the last 10 lines.")
	fs.BoolVar(&l.stderr, "stderr", false, "Print standard error.")
	fs.BoolVar(&l.stdout, "stdout", false, "Print standard output, the default.")
	fs.BoolVar(&l.job, "job", false, "The argument is a job.")
	fs.Int64Var(&l.lines, "n", 0, "Begin `lines` lines before the end.")
	fs.Int64Var(&l.bytes, "c", 0, "Begin `bytes` bytes before the end.")
	fs.StringVar(&l.task, "task", "", "The `task`, as the second argument.")
}

func (l *logs) Run(ctx context.Context, o *base.IO, args []string) error {
	if l.stdout && l.stderr {
		return model.Errorf(model.CodeInvalid, "-stdout and -stderr exclude each other")
	}
	a, err := l.alloc(ctx, o, args[0])
	if err != nil {
		return err
	}
	if len(args) == 2 {
		l.task = args[1]
	}
	task, err := taskOf(a, l.task)
	if err != nil {
		return err
	}
	req := api.Logs{Task: task, Stderr: l.stderr, Follow: l.follow}
	lines := l.lines
	if l.tail && lines == 0 && l.bytes == 0 {
		lines = 10
	}
	switch {
	case l.bytes > 0:
		req.FromEnd, req.Offset = true, l.bytes
	case lines > 0:
		req.FromEnd, req.Offset = true, (lines+1)*tailBytes
	}
	r, err := o.Client.Allocations().Logs(ctx, a.ID, req)
	if err != nil {
		return err
	}
	defer r.Close()
	if lines > 0 {
		return lastLines(ctx, o, r, int(lines), l.follow, a.ID, task, l.stderr)
	}
	return copyOut(ctx, o, r)
}

func (l *logs) alloc(ctx context.Context, o *base.IO, id string) (*model.Allocation, error) {
	if !l.job {
		return o.Alloc(ctx, id)
	}
	job, err := o.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	all, _, err := o.Client.Jobs().Allocations(ctx, job.ID, false, &api.Query{Namespace: job.Namespace})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, model.Errorf(model.CodeNotFound, "job %q has no allocations", job.ID)
	}
	sort.SliceStable(all, func(i, j int) bool {
		ri, rj := all[i].ClientStatus == model.ClientRunning, all[j].ClientStatus == model.ClientRunning
		if ri != rj {
			return ri
		}
		return all[i].CreateIndex > all[j].CreateIndex
	})
	a, _, err := o.Client.Allocations().Get(ctx, all[0].ID, nil)
	return a, err
}

func copyOut(ctx context.Context, o *base.IO, r io.Reader) error {
	_, err := io.Copy(o.Out, r)
	if ctx.Err() != nil {
		return &base.Exit{Code: base.ExitOK}
	}
	return err
}

// lastLines prints the last n lines of what is there, and goes on when following.
func lastLines(ctx context.Context, o *base.IO, r io.Reader, n int, follow bool, id, task string, stderr bool) error {
	if !follow {
		keep := make([]string, 0, n)
		br := bufio.NewReader(r)
		for {
			line, err := br.ReadString('\n')
			if line != "" {
				if len(keep) == n {
					keep = append(keep[:0], keep[1:]...)
				}
				keep = append(keep, line)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
		}
		for _, l := range keep {
			if _, err := io.WriteString(o.Out, l); err != nil {
				return err
			}
		}
		return nil
	}
	// What is there is read without following first, to know where to begin.
	past, err := o.Client.Allocations().Logs(ctx, id, api.Logs{Task: task, Stderr: stderr, FromEnd: true, Offset: int64(n+1) * tailBytes})
	if err != nil {
		return err
	}
	data, err := io.ReadAll(past)
	_ = past.Close()
	if err != nil {
		return err
	}
	skip := len(data)
	for count := 0; skip > 0; skip-- {
		if data[skip-1] == '\n' {
			if count++; count > n {
				break
			}
		}
	}
	if _, err := io.CopyN(io.Discard, r, int64(skip)); err != nil && err != io.EOF {
		return err
	}
	return copyOut(ctx, o, r)
}
