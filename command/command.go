// Package command is the command line: the tree of verbs and the way into it.
package command

import (
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/steppe-project/steppe/command/agent"
	"github.com/steppe-project/steppe/command/alloc"
	"github.com/steppe-project/steppe/command/base"
	"github.com/steppe-project/steppe/command/eval"
	"github.com/steppe-project/steppe/command/job"
	"github.com/steppe-project/steppe/command/node"
	"github.com/steppe-project/steppe/command/operator"
	"github.com/steppe-project/steppe/command/server"
	"github.com/steppe-project/steppe/command/system"
)

// Tree lists every command.
func Tree() []*base.Command {
	list := []*base.Command{
		agent.Agent,
		job.Run, job.Validate, job.Status, job.Stop, job.Inspect, job.History, job.Scale, job.Eval, job.Allocs, job.Init,
		alloc.Status, alloc.Logs, alloc.Stop, alloc.Restart, alloc.Signal, alloc.FS,
		node.Status, node.Eligibility,
		eval.List, eval.Status,
		server.Members, server.Join, server.Leave, server.ForceLeave,
		operator.RaftList, operator.RaftRemove, operator.RaftTransfer, operator.SnapshotSave, operator.SnapshotRestore,
		operator.SnapshotInspect, operator.SchedulerGet, operator.SchedulerSet, operator.AutopilotGet, operator.AutopilotSet,
		operator.AutopilotHealth, operator.API, operator.KeyGenerate,
		system.GC, system.Monitor, system.EventStream, system.Version,
		short("run", job.Run), short("status", job.Status), short("stop", job.Stop), short("validate", job.Validate),
		short("init", job.Init), short("logs", alloc.Logs),
	}
	list = append(list, completionCommand)
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// short is another, shorter name of a command.
func short(name string, c *base.Command) *base.Command {
	alias := *c
	alias.Name = name
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
		args = append([]string{"help"}, args[1:]...)
	}
	if args[0] == "help" {
		return help(tree, args[1:], out, errOut)
	}
	cmd, rest := find(tree, args)
	if cmd != nil {
		return cmd.Run(rest, in, out, errOut)
	}
	prefix := deepest(tree, args)
	if len(rest) > 0 && strings.HasPrefix(rest[0], "-h") || len(rest) > 0 && rest[0] == "--help" {
		fmt.Fprint(out, overview(tree, prefix))
		return base.ExitOK
	}
	return unknown(tree, args, prefix, errOut)
}

// find matches the longest command name at the beginning of args.
func find(tree []*base.Command, args []string) (*base.Command, []string) {
	for n := min(len(args), 4); n > 0; n-- {
		name := strings.Join(args[:n], " ")
		for _, c := range tree {
			if c.Name == name {
				return c, args[n:]
			}
		}
	}
	n := 0
	for n < len(args) && !strings.HasPrefix(args[n], "-") && isPrefix(tree, strings.Join(args[:n+1], " ")) {
		n++
	}
	return nil, args[n:]
}

func isPrefix(tree []*base.Command, name string) bool {
	for _, c := range tree {
		if strings.HasPrefix(c.Name, name+" ") {
			return true
		}
	}
	return false
}

func deepest(tree []*base.Command, args []string) string {
	best := ""
	for n := 1; n <= len(args); n++ {
		name := strings.Join(args[:n], " ")
		if !isPrefix(tree, name) {
			break
		}
		best = name
	}
	return best
}

func help(tree []*base.Command, args []string, out, errOut io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(out, overview(tree, ""))
		return base.ExitOK
	}
	if len(args) == 1 && args[0] == "exit-codes" {
		fmt.Fprint(out, exitCodes)
		return base.ExitOK
	}
	if c, rest := find(tree, args); c != nil && len(rest) == 0 {
		fmt.Fprint(out, c.Help())
		return base.ExitOK
	}
	if p := deepest(tree, args); p == strings.Join(args, " ") {
		fmt.Fprint(out, overview(tree, p))
		return base.ExitOK
	}
	return unknown(tree, args, deepest(tree, args), errOut)
}

const exitCodes = `Exit codes:

  0    it worked; for job run and job scale: the tasks run
  1    an error, or tasks that failed
  2    the request was right but not everything could be placed
  127  no such command
  130  interrupted
`

func unknown(tree []*base.Command, args []string, prefix string, errOut io.Writer) int {
	said := strings.Join(args, " ")
	if prefix != "" && said == prefix {
		fmt.Fprint(errOut, overview(tree, prefix))
		return base.ExitUnknown
	}
	var names []string
	for _, c := range tree {
		names = append(names, c.Name)
		if first, _, ok := strings.Cut(c.Name, " "); ok {
			names = append(names, first)
		}
	}
	words := args
	for i, a := range words {
		if strings.HasPrefix(a, "-") {
			words = words[:i]
			break
		}
	}
	fmt.Fprintf(errOut, "No such command: steppe %s", base.Clean(strings.Join(words, " ")))
	for n := len(words); n > 0; n-- {
		if c := base.Closest(strings.Join(words[:n], " "), names); c != "" {
			fmt.Fprintf(errOut, " (did you mean steppe %s?)", c)
			break
		}
	}
	fmt.Fprintf(errOut, "\nFor a list: steppe %s\n", strings.TrimSpace("help "+prefix))
	return base.ExitUnknown
}

// overview lists the commands below a prefix.
func overview(tree []*base.Command, prefix string) string {
	var b strings.Builder
	b.WriteString("Usage: steppe " + strings.TrimSpace(prefix+" COMMAND [options] [arguments]") + "\n\n")
	if prefix == "" {
		b.WriteString("Steppe runs jobs on machines. Start with: steppe agent -dev\n\n")
	}
	var rows [][]string
	for _, c := range tree {
		if c.Hidden || prefix != "" && !strings.HasPrefix(c.Name, prefix+" ") {
			continue
		}
		rows = append(rows, []string{"  " + c.Name, c.Synopsis})
	}
	base.WriteTable(&b, nil, rows)
	b.WriteString("\nFor help on one: steppe COMMAND -help. Exit codes: steppe help exit-codes\n")
	return b.String()
}
