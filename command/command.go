// Package command is the command line: the tree of verbs and the way into it.
//
//	os.Exit(command.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
//
// Invariants: every verb is in Tree, with a synopsis and an example; all but
// "agent" talk to the HTTP API only; the manual under website/docs/cli is
// written from the tree.
package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/steppe-project/steppe/command/agent"
	"github.com/steppe-project/steppe/command/alloc"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/deployment"
	"github.com/steppe-project/steppe/command/eval"
	"github.com/steppe-project/steppe/command/explain"
	"github.com/steppe-project/steppe/command/job"
	"github.com/steppe-project/steppe/command/namespace"
	"github.com/steppe-project/steppe/command/node"
	"github.com/steppe-project/steppe/command/nodepool"
	"github.com/steppe-project/steppe/command/operator"
	"github.com/steppe-project/steppe/command/quota"
	"github.com/steppe-project/steppe/command/server"
	"github.com/steppe-project/steppe/command/system"
	"github.com/steppe-project/steppe/command/whatif"
)

// Tree lists every command by name.
func Tree() []*base.Command {
	list := []*base.Command{
		agent.Agent, agent.Recover, completion,
		job.Run, job.Plan, job.Validate, job.Status, job.Stop, job.Inspect, job.History, job.Scale, job.ScalingEvents, job.Eval, job.Allocs, job.Init, job.Dispatch, job.PeriodicForce,
		job.Deployments, job.Promote, job.Revert, job.TagApply, job.TagUnset,
		deployment.List, deployment.Status, deployment.Promote, deployment.Fail, deployment.Pause, deployment.Resume, deployment.Unblock,
		alloc.Status, alloc.Logs, alloc.Stop, alloc.Restart, alloc.Signal, alloc.FS,
		node.Status, node.Eligibility, node.Drain,
		nodepool.Apply, nodepool.Delete, nodepool.Info, nodepool.Init, nodepool.Jobs, nodepool.List, nodepool.Nodes,
		namespace.Apply, namespace.Delete, namespace.Inspect, namespace.List, namespace.Status,
		quota.Apply, quota.Delete, quota.Init, quota.Inspect, quota.List, quota.Status,
		eval.List, eval.Status, explain.Eval, explain.Explain, whatif.WhatIf,
		server.Members, server.Join, server.Leave, server.ForceLeave,
		operator.RaftList, operator.RaftRemove, operator.RaftTransfer, operator.SnapshotSave, operator.SnapshotRestore,
		operator.SnapshotInspect, operator.SchedulerGet, operator.SchedulerSet, operator.BrakeStatus, operator.BrakeRelease, operator.AutopilotGet, operator.AutopilotSet,
		operator.AutopilotHealth, operator.FeatureList, operator.FeatureActivate, operator.API, operator.KeyGenerate, operator.KeyList, operator.KeyInstall, operator.KeyUse, operator.KeyRemove,
		system.GC, system.Monitor, system.EventStream, system.Version, system.Status,
		short("run", job.Run), short("plan", job.Plan), short("stop", job.Stop), short("validate", job.Validate), short("init", job.Init),
		short("logs", alloc.Logs),
	}
	slices.SortFunc(list, func(a, b *base.Command) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// short is another, shorter name of a command.
func short(name string, c *base.Command) *base.Command {
	alias := *c
	alias.Name, alias.Alias = name, c.Name
	alias.Long = strings.TrimSpace("The same as: steppe " + c.Name + ".\n\n" + c.Long)
	return &alias
}

// Run runs one command line (without the program's name) and returns the exit code.
func Run(args []string, in io.Reader, out, errOut io.Writer) int {
	tree := Tree()
	if len(args) == 0 {
		fmt.Fprint(errOut, overview(tree, ""))
		return base.ExitUnknown
	}
	switch args[0] {
	case "-version", "--version", "-v":
		args = []string{"version"}
	case "-h", "-help", "--help":
		args[0] = "help"
	}
	if args[0] == "help" {
		return help(tree, args[1:], out, errOut)
	}
	if strings.HasPrefix(args[0], "-") {
		fmt.Fprintf(errOut, "Options come after the command: steppe COMMAND %s ...\nFor a list of commands: steppe help\n", base.Clean(args[0]))
		return base.ExitUnknown
	}
	if cmd, rest := find(tree, args); cmd != nil {
		return cmd.Run(rest, in, out, errOut)
	}
	prefix := deepest(tree, args)
	rest := args[len(strings.Fields(prefix)):]
	if prefix != "" && len(rest) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, rest[0]) {
		fmt.Fprint(out, overview(tree, prefix))
		return base.ExitOK
	}
	if prefix != "" && len(rest) == 0 {
		fmt.Fprint(errOut, overview(tree, prefix))
		return base.ExitUnknown
	}
	if prefix != "" && strings.HasPrefix(rest[0], "-") {
		fmt.Fprintf(errOut, "Options come after the command: steppe %s COMMAND %s ...\nFor a list of commands: steppe help %s\n", prefix, base.Clean(rest[0]), prefix)
		return base.ExitUnknown
	}
	return unknown(tree, args, prefix, errOut)
}

// mostWords is how many words a command's name has at most.
const mostWords = 4

// find matches the longest command name at the beginning of args.
func find(tree []*base.Command, args []string) (*base.Command, []string) {
	for n := min(len(args), mostWords); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for _, c := range tree {
			if c.Name == name {
				return c, args[n:]
			}
		}
	}
	return nil, args
}

// deepest is the longest beginning of args that commands begin with: "job",
// "operator raft"; "" when there is none.
func deepest(tree []*base.Command, args []string) string {
	best := ""
	for n := 1; n <= len(args); n++ {
		name := strings.Join(args[:n], " ")
		if !slices.ContainsFunc(tree, func(c *base.Command) bool { return strings.HasPrefix(c.Name, name+" ") }) {
			break
		}
		best = name
	}
	return best
}

func help(tree []*base.Command, args []string, out, errOut io.Writer) int {
	if len(args) == 1 && args[0] == "exit-codes" {
		fmt.Fprint(out, ExitCodes)
		return base.ExitOK
	}
	if c, rest := find(tree, args); c != nil && len(rest) == 0 {
		fmt.Fprint(out, c.Help())
		return base.ExitOK
	}
	prefix := deepest(tree, args)
	if prefix == strings.Join(args, " ") {
		fmt.Fprint(out, overview(tree, prefix))
		return base.ExitOK
	}
	return unknown(tree, args, prefix, errOut)
}

// ExitCodes is the text of `steppe help exit-codes`.
const ExitCodes = `Exit codes:

  0    It worked. job run, scale, eval, alloc stop: the tasks run, or a batch job's have
       completed. job stop: they have ended.
  1    An error, or tasks failed.
  2    Nothing is wrong with the request, but not everything could be placed; what is
       missing is placed as soon as that is possible.
  127  No such command.
  130  Interrupted. A job that was followed goes on.
`

// unknown says that there is no such command, and which was meant.
func unknown(tree []*base.Command, args []string, prefix string, errOut io.Writer) int {
	var names []string
	for _, c := range tree {
		words := strings.Fields(c.Name)
		for n := 1; n <= len(words); n++ {
			names = append(names, strings.Join(words[:n], " "))
		}
	}
	words := args
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") }); i >= 0 {
		words = args[:i]
	}
	// What follows the command's name may be its arguments.
	words = words[:min(len(words), len(strings.Fields(prefix))+1)]
	fmt.Fprintf(errOut, "No such command: steppe %s", base.Clean(strings.Join(words, " ")))
	if c := base.Closest(strings.Join(words, " "), names); c != "" {
		fmt.Fprintf(errOut, " (did you mean steppe %s?)", c)
	}
	fmt.Fprintf(errOut, "\nFor a list: steppe %s\n", strings.TrimSpace("help "+prefix))
	return base.ExitUnknown
}

// overview lists the commands below a prefix.
func overview(tree []*base.Command, prefix string) string {
	var b strings.Builder
	b.WriteString("Usage: steppe " + strings.TrimSpace(prefix+" COMMAND [options] [arguments]") + "\n\n")
	if prefix == "" {
		b.WriteString("Steppe runs jobs on machines. To begin: steppe agent -dev\n\n")
	}
	var rows [][]string
	for _, c := range tree {
		if prefix == "" || strings.HasPrefix(c.Name, prefix+" ") {
			rows = append(rows, []string{"  " + c.Name, c.Synopsis})
		}
	}
	base.WriteTable(&b, nil, rows)
	b.WriteString("\nFor help on one: steppe COMMAND -help. Exit codes: steppe help exit-codes\n")
	return b.String()
}
