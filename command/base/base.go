// Package base is what all commands share: options of the client, output, exit
// codes, help. A command is a value; the tree is a list of them.
//
//	var Stop = &base.Command{
//		Name: "job stop", Synopsis: "Stop a job", Args: "JOB", MinArgs: 1, MaxArgs: 1,
//		Example: "steppe job stop web",
//		New:     func() base.Runner { return &stop{} },
//	}
//
// Invariants:
//
//   - Data goes to stdout, talk to stderr; nothing else is printed on stdout.
//   - A command returns an error; its text is printed once, here, and its exit
//     code is ExitError unless it is an Exit.
//   - Text that came from elsewhere is cleaned of control characters, except
//     what a task wrote (logs, files) and JSON.
//   - Escape sequences are written to terminals only.
package base

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// Exit codes, as `steppe help exit-codes` lists them.
const (
	ExitOK        = 0
	ExitError     = 1
	ExitPlacement = 2   // nothing is wrong with the request, but not all could be placed
	ExitUnknown   = 127 // no such command
	ExitInterrupt = 130 // Ctrl-C
)

// Exit is an error with an exit code; an empty text prints nothing.
type Exit struct {
	Code int
	Text string
}

// Error is the text.
func (e *Exit) Error() string { return e.Text }

// Command is one verb.
type Command struct {
	Name     string // "job run"
	Synopsis string // one line, without a full stop
	Args     string // the arguments after the options: "FILE"
	Long     string // paragraphs, wrapped by the printer
	Example  string // command lines, one a line
	MinArgs  int
	MaxArgs  int // -1: any
	// Offline commands need no agent: they have no options of the client.
	Offline bool
	// Alias is the name of the command that this one is a shorter form of.
	Alias string
	// Fault is the exit code of errors; 0 means ExitError.
	Fault int
	New   func() Runner
}

// Runner is one execution of a command: its options are its fields.
type Runner interface {
	// Flags registers the command's own options.
	Flags(fs *flag.FlagSet)
	// Run does the work; args are what is left of the command line, their number
	// within MinArgs and MaxArgs.
	Run(ctx context.Context, o *IO, args []string) error
}

// Run parses the arguments and runs the command; it returns the exit code.
func (c *Command) Run(args []string, in io.Reader, out, errOut io.Writer) int {
	o := &IO{In: in, Out: out, Err: errOut, client: api.FromEnv()}
	r := c.New()
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.flags(fs, o, r)
	rest, err := parseAnywhere(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, c.Help())
		return ExitOK
	case err != nil:
		return c.usage(o, optionError(fs, err))
	case len(rest) < c.MinArgs:
		return c.usage(o, fmt.Sprintf("Too few arguments: %s takes %s.", c.Name, c.Args))
	case c.MaxArgs >= 0 && len(rest) > c.MaxArgs:
		return c.usage(o, fmt.Sprintf("Too many arguments: %s takes %s, not %q.", c.Name, orNothing(c.Args), rest))
	}
	o.terminal()
	if !c.Offline {
		if o.Client, err = api.New(o.client); err != nil {
			return c.report(o, err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.report(o, r.Run(ctx, o, rest))
}

func orNothing(args string) string {
	if args == "" {
		return "none"
	}
	return args
}

// report prints what went wrong and maps it to an exit code.
func (c *Command) report(o *IO, err error) int {
	var exit *Exit
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		if exit.Text != "" {
			o.Say("%s", exit.Text)
		}
		return exit.Code
	case errors.Is(err, context.Canceled):
		return ExitInterrupt
	case errors.Is(err, syscall.EPIPE):
		return ExitOK // the reader of our output has seen enough
	}
	o.Say("%s %s", o.Paint(Red, "Error:"), strings.TrimSpace(err.Error()))
	if model.CodeOf(err) == model.CodeUnavailable && o.Client != nil {
		o.Say("Is an agent running there? Start one with `steppe agent -dev`, or name another with -address or STEPPE_ADDR.")
	}
	return c.fault()
}

func (c *Command) fault() int {
	if c.Fault != 0 {
		return c.Fault
	}
	return ExitError
}

func (c *Command) usage(o *IO, text string) int {
	o.Say("%s", text)
	o.Say("For help: steppe %s -help", c.Name)
	return c.fault()
}
