package base

import (
	"flag"
	"fmt"
	"sort"
	"strings"
)

func (c *Command) flags(fs *flag.FlagSet, o *IO, r Runner) {
	fs.BoolVar(&o.noColor, "no-color", false, "Print without colour. So does NO_COLOR in the environment.")
	if !c.Offline {
		cl := &o.client
		fs.StringVar(&cl.Address, "address", cl.Address, "`url` of an agent: http(s)://host:port or unix:///path. Default STEPPE_ADDR, else NOMAD_ADDR, else http://127.0.0.1:4646.")
		fs.StringVar(&cl.Region, "region", cl.Region, "`name` of the region to ask. Default STEPPE_REGION, else the agent's.")
		fs.StringVar(&cl.Namespace, "namespace", cl.Namespace, "`name` of the namespace; * is all of them where something is listed. Default STEPPE_NAMESPACE, else default.")
		fs.StringVar(&cl.Token, "token", cl.Token, "`secret` of the caller. Default STEPPE_TOKEN.")
		fs.StringVar(&cl.TLS.CACert, "ca-cert", cl.TLS.CACert, "`file` with the CA's certificate. Default STEPPE_CACERT.")
		fs.StringVar(&cl.TLS.ClientCert, "client-cert", cl.TLS.ClientCert, "`file` with the caller's certificate. Default STEPPE_CLIENT_CERT.")
		fs.StringVar(&cl.TLS.ClientKey, "client-key", cl.TLS.ClientKey, "`file` with the key of -client-cert. Default STEPPE_CLIENT_KEY.")
		fs.StringVar(&cl.TLS.ServerName, "tls-server-name", cl.TLS.ServerName, "`name` that the agent's certificate must carry. Default STEPPE_TLS_SERVER_NAME.")
		fs.BoolVar(&cl.TLS.SkipVerify, "tls-skip-verify", cl.TLS.SkipVerify, "Do not check the agent's certificate. Unsafe. Default STEPPE_SKIP_VERIFY.")
	}
	r.Flags(fs)
}

// shared are the options that every help lists apart from the command's own.
var shared = map[string]bool{
	"address": true, "region": true, "namespace": true, "token": true, "ca-cert": true, "client-cert": true,
	"client-key": true, "tls-server-name": true, "tls-skip-verify": true, "no-color": true,
}

// DataOptions are embedded in commands that print data.
type DataOptions struct {
	JSON     bool
	Template string
	Verbose  bool
}

// DataFlags registers -json, -t and -verbose.
func (d *DataOptions) DataFlags(fs *flag.FlagSet) {
	fs.BoolVar(&d.JSON, "json", false, "Print as JSON.")
	fs.StringVar(&d.Template, "t", "", "Print through a Go `template`.")
	fs.BoolVar(&d.Verbose, "verbose", false, "Print whole ids and what is left out otherwise.")
}

// parseAnywhere takes options before, between and after the arguments, as people
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

// optionError says in our words what package flag found.
func optionError(fs *flag.FlagSet, err error) string {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		var names []string
		fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		text = "No such option: -" + Clean(name)
		if s := Closest(strings.TrimPrefix(name, "-"), names); s != "" {
			text += fmt.Sprintf(" (did you mean -%s?)", s)
		}
		return text
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return fmt.Sprintf("Option -%s needs a value.", Clean(name))
	}
	return Clean(text)
}

// lists are the command's own options and those it shares with others.
func (c *Command) lists() (own, common []*flag.Flag) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c.flags(fs, &IO{}, c.New())
	fs.VisitAll(func(f *flag.Flag) {
		if shared[f.Name] {
			common = append(common, f)
		} else {
			own = append(own, f)
		}
	})
	return own, common
}

// FlagNames lists the command's options, for completion.
func (c *Command) FlagNames() []string {
	own, common := c.lists()
	var names []string
	for _, f := range append(own, common...) {
		names = append(names, "-"+f.Name)
	}
	sort.Strings(names)
	return names
}

// Strings is an option that may be given many times.
type Strings []string

// String implements flag.Value.
func (s *Strings) String() string { return strings.Join(*s, ",") }

// Set implements flag.Value.
func (s *Strings) Set(v string) error {
	*s = append(*s, v)
	return nil
}
