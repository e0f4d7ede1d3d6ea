// Package base is what all commands share: flags of the client, output, exit
// codes, help. A command is a value; the tree is a list of them.
//
//	var Stop = &base.Command{
//		Name: "job stop", Synopsis: "Stop a job", Args: "JOB", MinArgs: 1, MaxArgs: 1,
//		New: func() base.Runner { return &stop{} },
//	}
//
// Data goes to stdout, talk to stderr. A command returns an error; its text is
// printed once, here, and its exit code is 1 unless it is an Exit.
package base

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"

	"github.com/steppe-project/steppe/api"
	"github.com/steppe-project/steppe/model"
)

// Exit codes.
const (
	ExitOK        = 0
	ExitError     = 1
	ExitPlacement = 2   // nothing is wrong with the request, but not all could be placed
	ExitInterrupt = 130 // Ctrl-C
	ExitUnknown   = 127 // no such command
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
	Synopsis string // one line
	Args     string // "[options] FILE" without the options
	Long     string // paragraphs
	Example  string // lines, indented by the printer
	MinArgs  int
	MaxArgs  int // -1: any
	// Offline commands need no agent: no client flags.
	Offline bool
	Hidden  bool
	New     func() Runner
}

// Runner is one execution of a command: its options are its fields.
type Runner interface {
	// Flags registers the command's own options.
	Flags(fs *flag.FlagSet)
	Run(ctx context.Context, io *IO, args []string) error
}

// IO is what a command talks through.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// Client calls the agent; nil for offline commands.
	Client *api.Client
	// JSON and Template choose the form of data.
	JSON     bool
	Template string
	Verbose  bool
	// Color and Live are off when stdout is no terminal.
	Color, Live bool
	noColor     bool
	client      api.Config
}

// Say writes talk: a line to stderr.
func (o *IO) Say(format string, args ...any) { fmt.Fprintf(o.Err, format+"\n", args...) }

// Print writes data: a line to stdout.
func (o *IO) Print(format string, args ...any) { fmt.Fprintf(o.Out, format+"\n", args...) }

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
		return c.usage(o, err.Error()+suggestFlag(fs, err.Error()))
	case len(rest) < c.MinArgs:
		return c.usage(o, fmt.Sprintf("%s needs more arguments: %s", c.Name, c.Args))
	case c.MaxArgs >= 0 && len(rest) > c.MaxArgs:
		return c.usage(o, fmt.Sprintf("%s takes fewer arguments: %s (got %q)", c.Name, c.Args, rest))
	}
	o.terminal()
	if !c.Offline {
		if o.Client, err = api.New(o.client); err != nil {
			return report(o, err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return report(o, r.Run(ctx, o, rest))
}

func report(o *IO, err error) int {
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
	o.Say("Error: %s", strings.TrimSpace(err.Error()))
	if model.CodeOf(err) == model.CodeUnavailable && o.Client != nil {
		o.Say("Is an agent running there? Start one with `steppe agent -dev`, or name another with -address or STEPPE_ADDR.")
	}
	return ExitError
}

func (c *Command) usage(o *IO, text string) int {
	o.Say("%s", text)
	o.Say("For help: steppe %s -help", c.Name)
	return ExitError
}

func (c *Command) flags(fs *flag.FlagSet, o *IO, r Runner) {
	fs.BoolVar(&o.noColor, "no-color", false, "Print without colour.")
	if !c.Offline {
		cl := &o.client
		fs.StringVar(&cl.Address, "address", cl.Address, "Address of an agent: http(s)://host:port or unix:///path. Default STEPPE_ADDR, NOMAD_ADDR, or http://127.0.0.1:4646.")
		fs.StringVar(&cl.Region, "region", cl.Region, "Region to ask. Default STEPPE_REGION, or the agent's.")
		fs.StringVar(&cl.Namespace, "namespace", cl.Namespace, "Namespace; * is all where a list is asked for. Default STEPPE_NAMESPACE, or default.")
		fs.StringVar(&cl.Token, "token", cl.Token, "Token of the caller. Default STEPPE_TOKEN.")
		fs.StringVar(&cl.TLS.CACert, "ca-cert", cl.TLS.CACert, "File with the CA's certificate. Default STEPPE_CACERT.")
		fs.StringVar(&cl.TLS.ClientCert, "client-cert", cl.TLS.ClientCert, "File with the caller's certificate.")
		fs.StringVar(&cl.TLS.ClientKey, "client-key", cl.TLS.ClientKey, "File with the key of -client-cert.")
		fs.StringVar(&cl.TLS.ServerName, "tls-server-name", cl.TLS.ServerName, "Name that the agent's certificate must carry.")
		fs.BoolVar(&cl.TLS.SkipVerify, "tls-skip-verify", cl.TLS.SkipVerify, "Do not check the agent's certificate. Unsafe.")
	}
	r.Flags(fs)
}

// clientFlags are listed once in every help, apart from the command's own.
var clientFlags = map[string]bool{
	"address": true, "region": true, "namespace": true, "token": true, "ca-cert": true, "client-cert": true,
	"client-key": true, "tls-server-name": true, "tls-skip-verify": true, "no-color": true,
}

// DataFlags registers -json and -t, for commands that print data.
func (o *DataOptions) DataFlags(fs *flag.FlagSet) {
	fs.BoolVar(&o.JSON, "json", false, "Print as JSON.")
	fs.StringVar(&o.Template, "t", "", "Print through a Go template.")
	fs.BoolVar(&o.Verbose, "verbose", false, "Print whole ids and more columns.")
}

// DataOptions are embedded in commands that print data.
type DataOptions struct {
	JSON     bool
	Template string
	Verbose  bool
}

// parseAnywhere takes flags before, between and after the arguments, as people
// type them; "--" ends them.
func parseAnywhere(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if used := len(args) - len(left); used > 0 && args[used-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func suggestFlag(fs *flag.FlagSet, text string) string {
	name, ok := strings.CutPrefix(text, "flag provided but not defined: -")
	if !ok {
		return ""
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if s := Closest(strings.TrimPrefix(name, "-"), names); s != "" {
		return fmt.Sprintf(" (did you mean -%s?)", s)
	}
	return ""
}

// Help is the command's help text.
func (c *Command) Help() string {
	var b strings.Builder
	options := ""
	own, shared := c.flagLists()
	if len(own)+len(shared) > 0 {
		options = " [options]"
	}
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n", strings.TrimSpace("steppe "+c.Name+options+" "+c.Args), indent(c.Synopsis+"."))
	if c.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", indent(c.Long))
	}
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExample:\n\n%s\n", indent("  "+strings.ReplaceAll(c.Example, "\n", "\n  ")))
	}
	writeFlags(&b, "Options:", own)
	writeFlags(&b, "Options of the client:", shared)
	return b.String()
}

func (c *Command) flagLists() (own, shared []*flag.Flag) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.flags(fs, &IO{}, c.New())
	fs.VisitAll(func(f *flag.Flag) {
		if clientFlags[f.Name] {
			shared = append(shared, f)
		} else {
			own = append(own, f)
		}
	})
	return own, shared
}

// FlagNames lists the command's options, for completion.
func (c *Command) FlagNames() []string {
	own, shared := c.flagLists()
	var names []string
	for _, f := range append(own, shared...) {
		names = append(names, "-"+f.Name)
	}
	sort.Strings(names)
	return names
}

func writeFlags(b *strings.Builder, title string, flags []*flag.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, f := range flags {
		name, usage := flag.UnquoteUsage(f)
		if name != "" {
			name = "=<" + name + ">"
		}
		fmt.Fprintf(b, "\n  -%s%s\n%s\n", f.Name, name, indentBy("      ", usage))
	}
}

func indent(s string) string { return indentBy("  ", s) }

// helpWidth is where help texts wrap.
const helpWidth = 96

func indentBy(pad, s string) string {
	var out []string
	for _, para := range strings.Split(s, "\n") {
		if strings.HasPrefix(para, " ") || para == "" {
			out = append(out, strings.TrimRight(pad+para, " "))
			continue
		}
		line := pad
		for _, w := range strings.Fields(para) {
			if len(line)+len(w)+1 > helpWidth && line != pad {
				out = append(out, strings.TrimRight(line, " "))
				line = pad
			}
			line += w + " "
		}
		out = append(out, strings.TrimRight(line, " "))
	}
	return strings.Join(out, "\n")
}

// Strings is a flag that may be given many times.
type Strings []string

// String implements flag.Value.
func (s *Strings) String() string { return strings.Join(*s, ",") }

// Set implements flag.Value.
func (s *Strings) Set(v string) error {
	*s = append(*s, v)
	return nil
}
