package system

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/model"
)

// EventStream is "event stream".
var EventStream = &base.Command{
	Name: "event stream", Synopsis: "Follow what changes, as JSON lines",
	Long:    "Each line has the events of one index. It goes on until it is interrupted; -index continues where an earlier one ended.",
	Example: "steppe event stream -topic Job:web -topic Node",
	New:     func() base.Runner { return &eventStream{} },
}

type eventStream struct {
	topics base.Strings
	index  uint64
}

func (e *eventStream) Flags(fs *flag.FlagSet) {
	fs.Var(&e.topics, "topic", "`Topic[:key]` to follow, may be given many times: Job, Allocation, Evaluation, Node, Deployment, each with an id as key. Default: all.")
	fs.Uint64Var(&e.index, "index", 0, "Begin after this `index`. Default: with all that is kept.")
}

func (e *eventStream) Run(ctx context.Context, o *base.IO, _ []string) error {
	for _, t := range e.topics {
		if err := checkTopic(t); err != nil {
			return err
		}
	}
	r, err := o.Client.Cluster().Events(ctx, e.index, e.topics...)
	if err != nil {
		return err
	}
	defer r.Close()
	return unlessInterrupted(ctx, lines(o.Out, r))
}

// topics are those that the event stream knows; some have no events yet.
var topics = []string{
	model.TopicJob, model.TopicAllocation, model.TopicEvaluation, model.TopicNode, model.TopicDeployment, model.TopicNodePool,
	model.TopicService, "Variable", "ACLPolicy", "ACLToken", "ACLRole", "ACLAuthMethod", "ACLBindingRule", "HostVolume",
	"CSIVolume", "CSIPlugin", "Operator", model.TopicAll,
}

// checkTopic refuses a topic that will never have an event: the stream would just
// stay silent.
func checkTopic(text string) error {
	name, _, _ := strings.Cut(text, ":")
	if slices.Contains(topics, name) {
		return nil
	}
	hint := ""
	if c := base.Closest(name, topics); c != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", c)
	}
	return model.Errorf(model.CodeInvalid, "no topic %q%s; there are %s", name, hint, strings.Join(topics, ", "))
}

// lines copies JSON lines without the empty objects that keep a connection alive.
func lines(w io.Writer, r io.Reader) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 && string(text) != "{}" {
			if _, err := w.Write(append(text, '\n')); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
